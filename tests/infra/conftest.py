"""Fixtures for the laptop's PostgreSQL."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from kept import OWNER, gone


@pytest.fixture
def home() -> Iterator[Path]:
    """A short directory that every account can reach: pytest's own are for one account only."""
    with tempfile.TemporaryDirectory(prefix="spinor-test-", dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory) / "data"


@pytest.fixture
async def owner(home: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Another process that has the database, and its URL."""
    command = (sys.executable, "-c", OWNER, str(home))
    pipe, cwd = asyncio.subprocess.PIPE, Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdout=pipe)
    assert process.stdout
    yield process, (await process.stdout.readline()).decode().strip()
    if process.returncode is None:
        process.kill()
    await process.communicate()
    await gone(home)
