"""The relay publishes the log in order, one leader at a time, and repeats rather than loses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from installation import Installation, fact, installed, on_18  # noqa: F401
from servers import PostgreSQL

from domain.errors import Code, Refused
from domain.job import Job
from domain.values import partition
from infra import relay as relaying
from infra.bus.messages import Envelope, WireEvent
from infra.relay import PACK, Relay
from infra.waiting import end

PARTITIONS = 16


class Exchange:
    """A bus that keeps what it was given, and fails when it is told to."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.announced: list[int] = []
        self.fails = 0
        self.epochs: set[int] = set()

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        self.envelopes += envelopes
        if self.fails:
            self.fails -= 1
            raise Refused(Code.BUS_AWAY)

    async def announce(self, events: Sequence[WireEvent]) -> None:
        self.announced += [event.position for event in events]

    def delivered(self) -> list[int]:
        """Positions as consumers take them: what came again is dropped, and only a new leader begins a new chain."""
        reached = dict.fromkeys(range(PARTITIONS), 0)
        taken = []
        for envelope in self.envelopes:
            mine = reached[envelope.partition]
            assert envelope.previous <= mine or not envelope.events, "a consumer would have to read the log"
            assert envelope.previous <= envelope.first <= envelope.last
            assert all(partition(event.stream, PARTITIONS) == envelope.partition for event in envelope.events)
            assert len(envelope.events) <= PACK
            taken += [event.position for event in envelope.events if event.position > mine]
            reached[envelope.partition] = max(mine, envelope.last)
        return sorted(taken)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "LOOK", 0.05)
    monkeypatch.setattr("infra.leader.RETRY", 0.05)


@asynccontextmanager
async def running(core: Installation, *buses: Exchange) -> AsyncIterator[list[asyncio.Task[None]]]:
    """A relay for each bus."""
    relays: list[Any] = [Relay(core.store, bus, core.wakes, "jobs", PARTITIONS) for bus in buses]  # type: ignore[arg-type]
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield tasks
    finally:
        await end(tasks)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


async def append(core: Installation, first: int, last: int) -> None:
    await core.append(*(fact(Job.Checked(), job=job) for job in range(first, last + 1)))
    core.wakes.wake("jobs")


async def head(core: Installation) -> int:
    return int(await core.pool.fetchval("select position from log_heads where log = 'log_jobs'"))


def reached(core: Installation, position: int) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        return await head(core) == position

    return condition


async def test_every_event_is_published_once_and_each_envelope_continues_the_one_before(core: Installation) -> None:
    bus = Exchange()
    await append(core, 1, 30)
    async with running(core, bus):
        await until(reached(core, 30))
        await append(core, 31, 90)
        await until(reached(core, 90))
    assert bus.delivered() == bus.announced == list(range(1, 91))
    assert sum(len(envelope.events) for envelope in bus.envelopes) == 90


async def test_large_batches_are_cut_into_envelopes(core: Installation) -> None:
    bus = Exchange()
    await core.append(*(fact(Job.Checked(), job=16 * job) for job in range(1, 2 * PACK + 11)))  # one partition
    async with running(core, bus):
        await until(reached(core, 2 * PACK + 10))
    assert [len(envelope.events) for envelope in bus.envelopes if envelope.events] == [PACK, PACK, 10]
    assert len(bus.delivered()) == 2 * PACK + 10


async def test_envelopes_carry_the_bytes_that_are_stored_and_the_epoch_of_the_database(core: Installation) -> None:
    bus = Exchange()
    await core.append(fact(Job.Killed(1, "ä reason")))
    async with running(core, bus):
        await until(reached(core, 1))
    (event,) = [event for envelope in bus.envelopes for event in envelope.events]
    assert bytes(event.data).decode() == await core.pool.fetchval("select data from log_jobs")
    epoch = await core.pool.fetchval("select epoch from installation")
    assert {envelope.epoch for envelope in bus.envelopes} == {epoch}


async def test_of_two_relays_one_leads(core: Installation) -> None:
    first, second = Exchange(), Exchange()
    async with running(core, first, second):
        for last in range(10, 60, 10):
            await append(core, last - 9, last)
            await until(reached(core, last))
    assert sorted([first.announced, second.announced]) == [[], list(range(1, 51))]


KILL = """select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted
    and database = (select oid from pg_database where datname = current_database())"""


async def test_when_the_leaders_connection_dies_another_one_takes_over_and_nothing_is_lost(
    core: Installation,
) -> None:
    bus = Exchange()  # both publish on the same bus, as in life
    async with running(core, bus, bus):
        for last in range(10, 60, 10):
            await append(core, last - 9, last)
            await core.pool.execute(KILL)
        await until(reached(core, 50))
    assert bus.delivered() == list(range(1, 51))


async def test_a_relay_that_starts_again_goes_on_and_repeats_at_most_what_was_not_noted(core: Installation) -> None:
    bus = Exchange()
    await append(core, 1, 20)
    async with running(core, bus):
        await until(reached(core, 20))
    await append(core, 21, 40)
    async with running(core, bus):
        await until(reached(core, 40))
    assert bus.delivered() == bus.announced == list(range(1, 41))


async def test_the_head_moves_only_when_the_bus_has_the_events(core: Installation) -> None:
    bus = Exchange()

    async def greeted() -> bool:
        return bool(bus.envelopes)

    async with running(core, bus):
        await until(greeted)
        bus.fails = 4
        await append(core, 1, 20)

        async def failed() -> bool:
            assert await head(core) in ({0} if bus.fails else {0, 20})
            return not bus.fails

        await until(failed)
        await until(reached(core, 20))
    assert bus.delivered() == list(range(1, 21))
    assert sum(len(envelope.events) for envelope in bus.envelopes) > 20  # it repeated, which is harmless


async def test_quiet_partitions_are_told_how_far_the_log_is(
    core: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "BEAT", 0.0)
    bus = Exchange()
    async with running(core, bus):
        await core.append(*(fact(Job.Checked(), version=version) for version in range(1, 6)))  # one job, one partition

        async def told() -> bool:
            return {envelope.partition for envelope in bus.envelopes if envelope.last == 5} == set(range(PARTITIONS))

        await until(told)
    assert bus.delivered() == [1, 2, 3, 4, 5]


async def test_a_held_transaction_delays_what_comes_behind_it_and_nothing_else_is_lost(core: Installation) -> None:
    bus = Exchange()
    async with running(core, bus):
        await append(core, 1, 5)
        await until(reached(core, 5))
        async with core.store.transaction() as connection:
            await core.store.append(connection, "jobs", [fact(Job.Checked(), job=6)])
            await append(core, 7, 9)
            await asyncio.sleep(0.3)
            assert await head(core) == 5
        await until(reached(core, 9))
    assert bus.delivered() == list(range(1, 10))


async def test_a_new_epoch_is_told_from_then_on(core: Installation) -> None:
    bus = Exchange()
    async with running(core, bus):
        await append(core, 1, 5)
        await until(reached(core, 5))
        await core.pool.execute("update installation set epoch = epoch + 1")
        before = len(bus.envelopes)
        await append(core, 6, 9)
        await until(reached(core, 9))
    epoch = await core.pool.fetchval("select epoch from installation")
    assert {envelope.epoch for envelope in bus.envelopes[before:] if envelope.events} == {epoch}
    assert bus.delivered() == list(range(1, 10))


async def test_a_database_that_crashes_is_followed_again_when_it_is_back(
    postgres_server: PostgreSQL, database: str
) -> None:
    async with installed(database) as core:
        bus = Exchange()
        async with running(core, bus):
            await append(core, 1, 5)
            await until(reached(core, 5))
            postgres_server.kill()
            await asyncio.sleep(0.2)
            postgres_server.start()
            await append(core, 6, 9)  # a sequence that was not shut down in order goes on some numbers higher
            rows = await core.pool.fetch("select position from log_jobs order by position")
            positions = [row["position"] for row in rows]
            await until(reached(core, positions[-1]))
        assert bus.delivered() == positions
