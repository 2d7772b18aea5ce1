"""The system as processes on private servers, and the seed of everything that happens by chance."""

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from servers import PostgreSQL, RabbitMQ, Servers
from system.fleet import Fleet, sailing


@pytest.fixture
def chance() -> random.Random:
    """What happens by chance; printed, so that FAULTS_SEED can bring it back."""
    seed = int(os.environ.get("FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"\nFAULTS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def long() -> int:
    """How many times longer the storms are than in the usual run: FAULTS_LONG=10 makes hours of it."""
    return int(os.environ.get("FAULTS_LONG", "1"))


@pytest.fixture
async def fleet(
    servers: Servers, postgres_server: PostgreSQL, rabbitmq_server: RabbitMQ, database: str, rabbitmq: str,
    tmp_path: Path,
) -> AsyncIterator[Fleet]:  # fmt: skip
    """Every part as a process."""
    async with sailing(servers, database, rabbitmq, tmp_path) as running:
        yield running
        assert not running.died, "\n".join(running.died)
