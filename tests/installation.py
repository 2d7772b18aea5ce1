"""The core on a database of its own, without the parts that run by themselves: for tests of those parts, one by one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from sqlalchemy import Select

from domain.job import Job, SubmitJob
from domain.messages import Command, Event, Origin, Recorded
from domain.requirements import Requirements
from domain.values import job_stream
from infra.app import CORE
from infra.bus.messages import Request
from infra.decider import Ask, Decider, Verdict
from infra.migrate import migrate
from infra.store import Store, record
from infra.system import System
from infra.views import DIALECT
from infra.wake import Wakes

WANTED = Requirements(cpu_time=3600)


@dataclass
class Installation:
    """What a process opens, by hand."""

    url: str
    pool: asyncpg.Pool
    system: System
    store: Store
    decider: Decider
    wakes: Wakes
    partitions: int = 16

    async def append(self, *events: Recorded[Event], log: str = "jobs") -> None:
        """Append in a transaction of its own, without views."""
        async with self.store.transaction() as connection:
            await self.store.append(connection, log, events)

    async def ask(self, *commands: Command, actor: str = "user:ann", vo: str = "lhcb") -> list[Verdict]:
        """Decide commands in one transaction."""
        async with self.store.transaction() as connection:
            asks = [Ask(command, origin(actor, vo)) for command in commands]
            return await self.decider.decide(connection, asks)

    async def read(self, query: Select[Any]) -> list[dict[str, Any]]:
        """The rows of a query."""
        text = str(query.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
        return [dict(row) for row in await self.pool.fetch(text)]

    async def final(self, log: str = "jobs") -> None:
        """Say that everything in the log is final, as the relay does."""
        await self.pool.execute(
            f"update log_heads set position = coalesce((select max(position) from log_{log}), 0) where log = $1",
            f"log_{log}",
        )

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(await self.pool.fetchval(f"select count(*) from {table}"))


@asynccontextmanager
async def installed(url: str, system: System = CORE, connections: int = 12) -> AsyncIterator[Installation]:
    """Migrate a database and open it."""
    pool = await asyncpg.create_pool(url, min_size=1, max_size=connections)
    try:
        await migrate(pool, system)
        store = Store(pool, system.codec())
        yield Installation(url, pool, system, store, Decider(system, store), Wakes(pool))
    finally:
        pool.terminate()  # a test that failed may have left connections in use, and close() would wait for them


def origin(actor: str = "user:ann", vo: str = "lhcb") -> Origin:
    """Somebody who asks now."""
    return Origin(actor, vo, datetime.now(UTC))


def fact(event: Event, job: int = 1, version: int = 1, stream: UUID | None = None, vo: str = "lhcb") -> Recorded[Event]:
    """An event to append to the stream of a job."""
    return record(event, stream or job_stream(job), version, origin(vo=vo))


def submitted(job: int, owner: str = "ann", name: str = "Ann") -> Job.Submitted:
    """A job was accepted."""
    return Job.Submitted(job, owner, name, "user", "digest", WANTED)


def submit(job: int, owner: str = "ann", name: str = "Ann") -> SubmitJob:
    """Accept a job."""
    return SubmitJob(job, owner, name, "user", "digest", WANTED)


def request(command: Command, id_: UUID | None = None, actor: str = "user:ann", vo: str = "lhcb") -> Request:
    """A command as it comes on the bus."""
    data = msgspec.Raw(msgspec.json.encode(command))
    return Request(id=id_ or uuid4(), topic=command.TOPIC, data=data, vo=vo, actor=actor)


def positions(events: Sequence[Any]) -> list[int]:
    """The positions of rows or events."""
    return [event["position"] if isinstance(event, asyncpg.Record) else event.position for event in events]


@pytest.fixture(name="core")
async def on_18(database: str) -> AsyncIterator[Installation]:
    """The core on PostgreSQL 18. Tests import this fixture from here."""
    async with installed(database) as installation:
        yield installation


@pytest.fixture(name="either", params=["18", "15"])
async def on_either(request: pytest.FixtureRequest) -> AsyncIterator[Installation]:
    """The core on each PostgreSQL that is promised."""
    url = request.getfixturevalue("database" if request.param == "18" else "database15")
    async with installed(url) as installation:
        yield installation
