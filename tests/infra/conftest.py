"""Installations of the core for the tests of its parts."""

from collections.abc import AsyncIterator

import pytest
from installation import Installation, installed


@pytest.fixture
async def core(database: str) -> AsyncIterator[Installation]:
    """The core on PostgreSQL 18."""
    async with installed(database) as installation:
        yield installation


@pytest.fixture(params=["18", "15"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[Installation]:
    """The core on each PostgreSQL that is promised."""
    url = request.getfixturevalue("database" if request.param == "18" else "database15")
    async with installed(url) as installation:
        yield installation
