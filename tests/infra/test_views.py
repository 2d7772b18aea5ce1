"""What a batch of events means for a table: folded to a change a row, guarded by the version, in few statements."""

import random
from typing import Any

import asyncpg
import pytest
from installation import Installation, fact, on_18, submitted  # noqa: F401
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

from domain.job import Job
from domain.messages import Event, Recorded
from domain.values import job_number
from infra.views import apply, create_statements
from projections.projection import Add, Projection, Put, Values

things = Table(
    "things",
    MetaData(),
    Column("job", BigInteger, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text),
    Column("status", Text, index=True),
    Column("steps", Integer, nullable=False, server_default="0"),
)
guarded = Projection(things, log="jobs", key=lambda event: (job_number(event.stream),))
counts = Table("counts", MetaData(), Column("vo", Text, primary_key=True), Column("topic", Text, primary_key=True),
               Column("n", Integer, nullable=False))  # fmt: skip
counting = Projection(counts, log="jobs", key=lambda event: (event.vo, event.event.TOPIC))


@guarded.creates
def came(event: Recorded[Job.Submitted]) -> Values:
    return {"name": event.event.name, "status": "new", "steps": 1}


@guarded
def checked(event: Recorded[Job.Checked]) -> Values:
    return {"status": "checked", "steps": Add(1)}


@guarded
def killed(event: Recorded[Job.Killed]) -> Values:
    return {"name": None, "steps": Add(1)}


@guarded
def deleted(event: Recorded[Job.Deleted]) -> None:
    return None


guarded.touched_by([Job.Stalled])


@counting.creates
def counted(event: Recorded[Job.Submitted | Job.Checked]) -> list[Put]:
    return [Put((event.vo, event.event.TOPIC), {"n": Add(1)}, create=True)]


@pytest.fixture
async def tables(core: Installation) -> asyncpg.Pool:
    for table in (things, counts):
        for statement in create_statements(table):
            await core.pool.execute(statement)
    return core.pool


async def put(pool: asyncpg.Pool, *events: Recorded[Event], view: Projection = guarded) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await apply(connection, view, events)


async def rows(pool: asyncpg.Pool, table: str = "things") -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await pool.fetch(f"select * from {table} order by 1, 2")]


async def test_a_row_is_made_changed_and_removed(tables: asyncpg.Pool) -> None:
    await put(tables, fact(submitted(1)))
    assert await rows(tables) == [(1, 1, "Unknown", "new", 1)]
    await put(tables, fact(Job.Checked(), version=2))
    assert await rows(tables) == [(1, 2, "Unknown", "checked", 2)]
    await put(tables, fact(Job.Killed(1), version=3))
    assert await rows(tables) == [(1, 3, None, "checked", 3)]
    await put(tables, fact(Job.Deleted(), version=4))
    assert await rows(tables) == []


async def test_an_older_event_never_wins(tables: asyncpg.Pool) -> None:
    await put(tables, fact(submitted(1)))
    await put(tables, fact(Job.Checked(), version=5))
    before = await rows(tables)
    await put(tables, fact(submitted(1)))
    await put(tables, fact(Job.Killed(1), version=4))
    await put(tables, fact(Job.Checked(), version=5))
    assert await rows(tables) == before


async def test_an_event_that_changes_nothing_visible_moves_the_version(tables: asyncpg.Pool) -> None:
    await put(tables, fact(submitted(1)), fact(Job.Stalled(1), job=2, version=9))
    await put(tables, fact(Job.Stalled(1), version=2))
    assert await rows(tables) == [(1, 2, "Unknown", "new", 1)]


async def test_events_of_no_interest_change_nothing(tables: asyncpg.Pool) -> None:
    await put(tables, fact(submitted(1)))
    await put(tables, fact(Job.Resumed(1), version=2))
    assert not guarded.wants(Job.Resumed(1))
    assert guarded.wants(Job.Stalled(1))
    assert await rows(tables) == [(1, 1, "Unknown", "new", 1)]


async def test_numbers_are_added_up_within_a_batch_and_between_batches(tables: asyncpg.Pool) -> None:
    batch = [fact(submitted(job), job=job) for job in range(5)[1:]]
    await put(tables, *batch, fact(Job.Checked(), version=2), view=counting)
    await put(tables, *batch, fact(submitted(9), job=9, vo="belle"), view=counting)
    assert await rows(tables, "counts") == [
        ("belle", "job.submitted", 1), ("lhcb", "job.checked", 1), ("lhcb", "job.submitted", 8),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
async def test_however_a_history_is_cut_into_batches_the_view_is_the_same(tables: asyncpg.Pool, seed: int) -> None:
    """The oracle: one event at a time."""
    chance = random.Random(seed)
    kinds = [Job.Checked(), Job.Killed(1), Job.Stalled(1), Job.Deleted(), Job.Resumed(1)]
    versions = dict.fromkeys(range(1, 8), 1)
    events: list[Recorded[Event]] = [fact(submitted(job), job=job) for job in versions] + [fact(submitted(99), job=99)]
    for _ in range(60):
        job = chance.choice(list(versions))
        versions[job] += 1
        again = chance.random() < 0.1
        events.append(fact(submitted(job) if again else chance.choice(kinds), job=job, version=versions[job]))
    for event in events:
        await put(tables, event)
    expected = await rows(tables)
    await tables.execute("truncate things")
    while events:
        size = chance.randint(1, 20)
        batch, events = events[:size], events[size:]
        await put(tables, *batch)
    assert await rows(tables) == expected


class Spy:
    """A connection that counts statements."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.count = 0

    async def execute(self, *arguments: Any) -> None:
        self.count += 1
        await self.connection.execute(*arguments)


async def test_a_batch_is_one_statement_for_each_kind_of_change(tables: asyncpg.Pool) -> None:
    events = [fact(submitted(job), job=job) for job in range(1, 501)]
    events += [fact(Job.Checked(), job=job, version=2) for job in range(1, 501, 2)]
    async with tables.acquire() as connection:
        spy = Spy(connection)
        await apply(spy, guarded, events)
        assert spy.count == 1
        await apply(spy, guarded, [fact(kind, job=job, version=3) for job, kind in enumerate(
            [Job.Checked(), Job.Killed(1), Job.Stalled(1), Job.Deleted()] * 50, 1)])  # fmt: skip
        assert spy.count == 5
    assert len(await rows(tables)) == 450


def test_the_twin_of_a_table_has_its_own_names() -> None:
    create, index = create_statements(things, "things_twin")
    assert "CREATE TABLE things_twin (" in create
    assert index == "CREATE INDEX things_twin_ix_things_status ON things_twin (status)"


def test_a_number_is_added_to_a_value_that_was_just_set() -> None:
    changes = guarded.fold([fact(submitted(1)), fact(Job.Checked(), version=2), fact(Job.Killed(1), version=3)])
    assert changes.created == {(1,): {"name": None, "status": "checked", "steps": 3, "version": 3}}
