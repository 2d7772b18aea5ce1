"""The log is read in order and completely, whatever its writers do: a test decides, not belief."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg
import pytest
from installation import Installation, fact, on_18, on_either, submitted  # noqa: F401

from domain.job import Job
from domain.values import job_stream
from infra.reader import Reader
from infra.store import Conflict

WRITERS = 8
APPENDS = 90  # of each writer
HELD = 0.1  # seconds a transaction is held open, at most
ROLLBACKS = 0.05
Next = Callable[[asyncpg.Connection], Awaitable[list[asyncpg.Record]]]


class Dropped(Exception):
    """A writer changes its mind."""


@dataclass
class Storm:
    """Eight writers: new streams and streams that others began, held transactions, rollbacks, writes before reads."""

    core: Installation
    chance: random.Random
    versions: dict[int, int] = field(default_factory=dict)  # of the jobs whose appends are committed
    rollbacks: int = 0
    conflicts: int = 0

    async def run(self) -> None:
        await asyncio.gather(*(self.writer(number) for number in range(WRITERS)))

    async def writer(self, number: int) -> None:
        for turn in range(APPENDS):
            fresh = self.chance.random() < 0.5 or not self.versions
            job = number * APPENDS + turn + 1 if fresh else self.chance.choice(list(self.versions))
            try:
                await self.append(job, self.chance.randint(1, 3), write_first=self.chance.random() < 0.5)
            except Dropped:
                self.rollbacks += 1
            except Conflict:
                self.conflicts += 1

    async def append(self, job: int, count: int, *, write_first: bool) -> None:
        async with self.core.store.transaction() as connection:
            if write_first:  # the transaction's number is then older than its positions
                await connection.execute("insert into bodies values (gen_random_uuid()::text, '')")
                await asyncio.sleep(self.chance.random() * HELD / 4)
            version = self.versions.get(job, 0)
            events = [fact(Job.Checked(), job=job, version=version + n) for n in range(1, count + 1)]
            await self.core.store.append(connection, "jobs", events)
            await asyncio.sleep(self.chance.random() ** 3 * HELD)
            if self.chance.random() < ROLLBACKS:
                raise Dropped
        self.versions[job] = max(self.versions.get(job, 0), version + count)


@dataclass
class Tail:
    """A reader that looks again and again, and keeps what it was given."""

    core: Installation
    next: Next
    rows: list[asyncpg.Record] = field(default_factory=list)

    async def follow(self) -> None:
        async with self.core.pool.acquire() as connection:
            while True:
                self.rows += await self.next(connection)
                await asyncio.sleep(0.003)

    async def missed(self) -> int:
        """Events in the log that were not delivered, and delivered ones that are not in the log."""
        stored = {row["position"] for row in await self.core.pool.fetch("select position from log_jobs")}
        return len(stored ^ {row["position"] for row in self.rows})

    def misordered(self) -> int:
        """Events delivered twice, or before their predecessor in the same stream."""
        seen: dict[object, int] = {}
        wrong = 0
        for row in self.rows:
            wrong += row["version"] != seen.get(row["stream_id"], 0) + 1
            seen[row["stream_id"]] = row["version"]
        return wrong


def naive(core: Installation) -> Tail:
    """`position > last`, as one would write it first."""
    tail = Tail(core, lambda connection: core.store.read(connection, "jobs", last()))

    def last() -> int:
        return tail.rows[-1]["position"] if tail.rows else 0

    return tail


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_missed_or_misordered_while_a_foreign_transaction_idles(
    either: Installation, seed: int
) -> None:
    await either.pool.execute("create table foreign_table (x int)")
    foreign = await asyncpg.connect(either.url)
    open_ = foreign.transaction()
    await open_.start()
    await foreign.execute("insert into foreign_table values (1)")  # it has a transaction number, and never ends
    reader = Reader(either.store, "jobs")
    ours, first_thought = Tail(either, reader.next), naive(either)
    storm = Storm(either, random.Random(seed))
    tails = [asyncio.create_task(tail.follow()) for tail in (ours, first_thought)]
    await storm.run()

    async def complete() -> bool:
        return await ours.missed() == 0

    await until(complete)
    for tail in tails:
        tail.cancel()
    await asyncio.gather(*tails, return_exceptions=True)
    assert await foreign.fetchval("select count(*) from foreign_table") == 1  # it was open all the time
    await foreign.close()
    assert storm.rollbacks > 0
    assert (await ours.missed(), ours.misordered()) == (0, 0)
    assert [row["position"] for row in ours.rows] == sorted(row["position"] for row in ours.rows)
    assert await first_thought.missed() > 0, "the harness is too tame: even a naive reader misses nothing"


async def test_a_reader_that_starts_anywhere_continues_there(core: Installation) -> None:
    await core.append(*(fact(submitted(job), job=job) for job in range(1, 11)))
    async with core.pool.acquire() as connection:
        first = await Reader(core.store, "jobs").next(connection, 4)
        rest = await Reader(core.store, "jobs", first[-1]["position"]).next(connection)
    assert [row["position"] for row in first + rest] == list(range(1, 11))


async def test_a_held_appender_only_delays_what_comes_behind_it(either: Installation) -> None:
    reader = Reader(either.store, "jobs")
    await either.append(fact(submitted(1)))
    async with either.pool.acquire() as held, either.pool.acquire() as connection:
        transaction = held.transaction()
        await transaction.start()
        await either.store.append(held, "jobs", [fact(submitted(2), job=2)])
        await either.append(fact(submitted(3), job=3))
        assert [row["position"] for row in await reader.next(connection)] == [1]
        for _ in range(3):
            assert await reader.next(connection) == []
            assert reader.blocked
        await either.append(fact(submitted(4), job=4))
        await transaction.commit()
        delivered = [*await reader.next(connection), *await reader.next(connection)]
        assert [row["position"] for row in delivered] == [2, 3, 4]
        assert not reader.blocked


async def test_a_gap_that_nobody_can_fill_any_more_is_stepped_over(either: Installation) -> None:
    reader = Reader(either.store, "jobs")
    with pytest.raises(Dropped):
        async with either.store.transaction() as connection:
            await either.store.append(connection, "jobs", [fact(submitted(1))])
            raise Dropped
    await either.append(fact(submitted(2), job=2))
    async with either.pool.acquire() as connection:
        delivered = [*await reader.next(connection), *await reader.next(connection)]
    assert [row["stream_id"] for row in delivered] == [job_stream(2)]


async def test_a_writer_of_another_log_is_not_waited_for(core: Installation) -> None:
    reader = Reader(core.store, "jobs")
    with pytest.raises(Dropped):
        async with core.store.transaction() as connection:
            await core.store.append(connection, "jobs", [fact(submitted(1))])
            raise Dropped
    async with core.store.transaction() as other, core.pool.acquire() as connection:
        await other.execute("insert into log_pilots select 0::text::xid8, 99, gen_random_uuid(), 1, 't', 1, '{}', "
                            "gen_random_uuid(), null, null, 'a', 'v', null, now()")  # fmt: skip
        await core.append(fact(submitted(2), job=2))
        delivered = [*await reader.next(connection), *await reader.next(connection)]
    assert len(delivered) == 1


async def test_a_writer_that_came_after_the_gap_is_not_waited_for(core: Installation) -> None:
    """Writers follow each other without end; each gap waits for those of its own time only."""
    reader = Reader(core.store, "jobs")
    async with core.pool.acquire() as first, core.pool.acquire() as second, core.pool.acquire() as connection:
        one, two = first.transaction(), second.transaction()
        await one.start()
        await core.store.append(first, "jobs", [fact(Job.Checked())])
        await core.append(fact(Job.Checked(), job=2))
        assert await reader.next(connection) == []
        await two.start()
        await core.store.append(second, "jobs", [fact(Job.Checked(), job=3)])
        await one.rollback()
        delivered = [*await reader.next(connection), *await reader.next(connection)]
        assert [row["stream_id"] for row in delivered] == [job_stream(2)]
        await two.commit()
        assert [row["stream_id"] for row in await reader.next(connection)] == [job_stream(3)]


async def test_more_than_one_read_holds_is_delivered_read_by_read_across_gaps(core: Installation) -> None:
    reader = Reader(core.store, "jobs")
    for job in range(1, 30):
        with pytest.raises(Dropped):
            async with core.store.transaction() as connection:
                await core.store.append(connection, "jobs", [fact(submitted(job), job=job)])
                raise Dropped
        await core.append(fact(submitted(job), job=job))
    delivered: list[asyncpg.Record] = []
    async with core.pool.acquire() as connection:
        for _ in range(200):
            delivered += await reader.next(connection, 3)
    assert [row["stream_id"] for row in delivered] == [job_stream(job) for job in range(1, 30)]
