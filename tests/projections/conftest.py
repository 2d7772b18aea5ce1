"""Installations of the core for the tests of its parts."""

from collections.abc import AsyncIterator

import pytest
from installation import Installation, installed


@pytest.fixture
async def core(database: str) -> AsyncIterator[Installation]:
    """The core on PostgreSQL 18."""
    async with installed(database) as installation:
        yield installation
