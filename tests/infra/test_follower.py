"""A consumer handles every event once and in order, whatever the bus repeats, loses or mixes up."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
from installation import Installation, fact, on_18, request, submit, submitted  # noqa: F401

from domain.errors import Code, Refused
from domain.job import Job
from domain.messages import Event, Recorded
from domain.values import job_number, job_stream, partition
from infra import follower as following
from infra.app import CORE
from infra.bus.messages import Envelope, WireEvent
from infra.consumers import follow_policy
from infra.follower import TRIES, Fenced, Follower
from infra.parking import retry_parked
from infra.runtime import Runtime, opened
from infra.settings import settings
from infra.store import Connection, wired

PARTITIONS = 16
TOPICS = frozenset({"job.submitted", "job.checked", "job.killed"})


class Consumer:
    """A follower whose effect is a row an event: handled twice would be two rows. Some jobs are poison."""

    def __init__(self, core: Installation, name: str = "c") -> None:
        self.core = core
        self.poison: set[int] = set()
        self.calls = 0
        self.follower = Follower(name, "jobs", TOPICS, self.handle, core.store, PARTITIONS)

    async def __call__(self, envelopes: Sequence[Envelope]) -> None:
        await self.follower(envelopes)

    async def handle(self, connection: Connection, events: Sequence[Recorded[Event]]) -> None:
        self.calls += 1
        for event in events:
            await connection.execute(
                "insert into effects values ($1, $2, $3)", event.position, job_number(event.stream), event.version
            )
            if job_number(event.stream) in self.poison:
                raise Refused(Code.JOB_STATE, job=job_number(event.stream))

    async def insistently(self, envelopes: Sequence[Envelope]) -> None:
        """As the bus does: the same again until it is taken."""
        for _ in range(10):
            try:
                return await self(envelopes)
            except Exception:
                continue
        raise AssertionError("not taken")

    async def count(self, column: str) -> int:
        query = f"select sum({column}) from positions where consumer = 'c'"
        return int(await self.core.pool.fetchval(query))


@pytest.fixture
async def consumer(core: Installation) -> Consumer:
    await core.pool.execute("create table effects (position bigint, job bigint, version int)")
    return Consumer(core)


async def effects(core: Installation) -> list[tuple[int, int]]:
    """Job and version of everything that was handled, in order of position."""
    return [tuple(row) for row in await core.pool.fetch("select job, version from effects order by position, ctid")]


async def packed(core: Installation, each: int = 2) -> list[Envelope]:
    """The whole log in envelopes of `each` events, as a relay sends them."""
    async with core.pool.acquire() as connection:
        rows = await core.store.read(connection, "jobs", 0)
    epoch = await core.pool.fetchval("select epoch from installation")
    parts: dict[int, list[WireEvent]] = defaultdict(list)
    for event in map(wired, rows):
        parts[partition(event.stream, PARTITIONS)].append(event)
    envelopes = []
    for number, part in parts.items():
        previous = 0
        for start in range(0, len(part), each):
            pack = part[start : start + each]
            envelopes.append(Envelope("jobs", epoch, number, previous, pack[0].position, pack[-1].position, pack))
            previous = pack[-1].position
    return sorted(envelopes, key=lambda envelope: envelope.first)


async def history(core: Installation, jobs: int, versions: int = 3) -> None:
    """Jobs of a few events each, interleaved."""
    for version in range(1, versions + 1):
        await core.append(*(fact(Job.Checked(), job=job, version=version) for job in range(1, jobs + 1)))
    await core.final()


def complete(jobs: int, versions: int = 3) -> list[tuple[int, int]]:
    return [(job, version) for version in range(1, versions + 1) for job in range(1, jobs + 1)]


async def test_what_is_delivered_is_handled_in_order(core: Installation, consumer: Consumer) -> None:
    await history(core, 20)
    for envelope in await packed(core):
        await consumer([envelope])
    assert await effects(core) == complete(20)


async def test_duplicates_are_dropped_and_counted(core: Installation, consumer: Consumer) -> None:
    await history(core, 20)
    envelopes = await packed(core)
    for envelope in envelopes[:-1]:
        await consumer([envelope])
        await consumer([envelope])
    await consumer(envelopes)
    assert await effects(core) == complete(20)
    assert await consumer.count("duplicates") == 2 * (len(envelopes) - 1)


async def test_what_is_missing_is_read_from_the_log_and_counted(core: Installation, consumer: Consumer) -> None:
    await history(core, 20, versions=6)
    for envelope in (await packed(core))[1::3]:
        await consumer([envelope])
    assert await consumer.count("gaps") > 0
    await consumer([])
    assert await effects(core) == complete(20, 6)


async def test_envelopes_in_any_order_have_each_effect_once_and_in_the_order_of_their_streams(
    core: Installation, consumer: Consumer
) -> None:
    await history(core, 20, versions=6)
    chance = random.Random(1)
    envelopes = await packed(core) * 2
    chance.shuffle(envelopes)
    while envelopes:
        size = chance.randint(1, 9)
        batch, envelopes = envelopes[:size], envelopes[size:]
        await consumer(batch)
    await consumer([])
    assert await effects(core) == complete(20, 6)
    order = [tuple(row) for row in await core.pool.fetch("select job, version from effects order by ctid")]
    assert all(version == 1 or order.index((job, version - 1)) < order.index((job, version)) for job, version in order)


async def test_a_new_consumer_reads_the_whole_log_in_chunks(
    core: Installation, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "CHUNK", 7)
    await history(core, 20)
    await consumer.follower.catch_up()
    assert await effects(core) == complete(20)
    assert consumer.calls == 9


async def test_only_topics_of_interest_are_handled_and_the_others_cost_no_transaction(
    core: Installation, consumer: Consumer
) -> None:
    await core.append(*(fact(Job.Deleted(), job=job) for job in range(1, 9)))
    await core.append(fact(submitted(99), job=99), fact(Job.Deleted(), job=99, version=2))
    for envelope in await packed(core):
        await consumer([envelope])
    assert await effects(core) == [(99, 1)]
    assert consumer.calls == 1


async def test_nothing_beyond_the_head_of_the_log_is_read(core: Installation, consumer: Consumer) -> None:
    await history(core, 3)
    await core.append(fact(submitted(9), job=9))
    await consumer([])
    assert await effects(core) == complete(3)


async def test_a_consumer_that_starts_again_goes_on_where_it_was(core: Installation, consumer: Consumer) -> None:
    await history(core, 20)
    envelopes = await packed(core)
    for envelope in envelopes[:15]:
        await consumer([envelope])
    second = Consumer(core)
    for envelope in envelopes:
        await second([envelope])
    assert await effects(core) == complete(20)


async def test_of_two_owners_of_a_partition_one_is_fenced_off_and_nothing_is_done_twice(
    core: Installation, consumer: Consumer
) -> None:
    await history(core, 20)
    envelopes = await packed(core)
    second = Consumer(core)
    await consumer(envelopes[:20])
    await second(envelopes[:30])
    with pytest.raises(Fenced):
        await consumer(envelopes[20:])
    await consumer(envelopes[20:])
    assert await effects(core) == complete(20)


async def test_a_storm_of_redelivery_to_several_owners_at_once_has_each_effect_once(
    core: Installation, consumer: Consumer
) -> None:
    await history(core, 12, versions=5)
    envelopes = await packed(core, each=1)
    chance = random.Random(2)

    async def own(one: Consumer) -> None:
        for _ in range(60):
            start = chance.randrange(len(envelopes))
            await one.insistently(envelopes[start : start + chance.randint(1, 8)])
        await one.insistently([])

    await asyncio.gather(*(own(one) for one in (consumer, Consumer(core), Consumer(core))))
    assert await effects(core) == complete(12, 5)


async def test_an_effect_and_its_position_commit_together_or_not_at_all(core: Installation, consumer: Consumer) -> None:
    await history(core, 3)
    consumer.poison = {2}
    with pytest.raises(Refused):
        await consumer([])
    assert await effects(core) == []
    assert await consumer.count("position") == 0
    consumer.poison = set()
    await consumer([])
    assert await effects(core) == complete(3)


async def test_a_poison_event_parks_only_its_stream_and_the_partition_goes_on(
    core: Installation, consumer: Consumer
) -> None:
    await core.append(fact(submitted(1)), fact(submitted(17), job=17), fact(submitted(33), job=33))  # one partition
    await core.append(fact(Job.Checked(), version=2), fact(Job.Checked(), job=17, version=2))
    consumer.poison = {17}
    envelopes = await packed(core, each=3)
    for _ in range(TRIES - 1):
        with pytest.raises(Refused):
            await consumer(envelopes)
    await consumer(envelopes)
    assert await effects(core) == [(1, 1), (33, 1), (1, 2)]
    (row,) = await core.pool.fetch("select * from parked")
    assert (row["consumer"], row["stream_id"], row["reason"], row["position"]) == ("c", job_stream(17), "job-state", 2)
    await core.append(fact(Job.Killed(1), job=17, version=3), fact(Job.Killed(1), version=3))
    consumer.poison = set()
    await consumer((await packed(core, each=3))[-1:])
    assert (await effects(core))[-1] == (1, 3)
    assert not [job for job, _ in await effects(core) if job == 17]


async def test_an_event_that_cannot_be_read_parks_its_stream_with_the_reason(
    core: Installation, consumer: Consumer
) -> None:
    await core.append(fact(submitted(1)), fact(Job.Checked(), job=2))
    await core.pool.execute(
        "insert into log_jobs (stream_id, version, topic, schema_version, data, event_id, actor, vo, recorded_at) "
        "values ($1, 1, 'job.checked', 9, '{}', gen_random_uuid(), 'a', 'lhcb', now())", job_stream(3)
    )  # fmt: skip
    await core.final()
    await consumer.insistently([])
    assert await effects(core) == [(1, 1), (2, 1)]
    assert await core.pool.fetchval("select reason from parked") == "version-unknown"


class Away(Consumer):
    """Parks one stream, then loses the database: the whole transaction is void."""

    async def handle(self, connection: Connection, events: Sequence[Recorded[Event]]) -> None:
        jobs = {job_number(event.stream) for event in events}
        if jobs == {2} and not self.calls:
            self.calls = 1
            raise asyncpg.ConnectionDoesNotExistError
        if 1 in jobs:
            raise ZeroDivisionError
        await connection.execute("insert into effects select 0, x, 1 from unnest($1::int[]) x", sorted(jobs))


async def test_a_stream_is_parked_only_when_that_was_committed(core: Installation, consumer: Consumer) -> None:
    """Otherwise its events would be skipped, and no row would say so."""
    assert consumer
    away = Away(core)
    await core.append(fact(submitted(1)), fact(submitted(2), job=2))
    await core.final()
    for _ in range(TRIES):
        with pytest.raises((ZeroDivisionError, asyncpg.ConnectionDoesNotExistError)):
            await away([])
    assert await core.count("parked") == 0
    await away.insistently([])
    assert await core.pool.fetchval("select stream_id from parked") == job_stream(1)
    assert await effects(core) == [(2, 1)]


async def test_envelopes_of_another_database_mean_nothing(core: Installation, consumer: Consumer) -> None:
    await history(core, 3)
    (envelope, *rest) = await packed(core)
    await consumer([msgspec.structs.replace(envelope, epoch=envelope.epoch - 1, last=10**6)])
    assert await effects(core) == []
    await consumer([envelope, *rest])
    assert await effects(core) == complete(3)


async def test_after_a_rewind_of_the_database_the_consumer_begins_at_its_rewound_position(
    core: Installation, consumer: Consumer
) -> None:
    await history(core, 3)
    await consumer([])
    await core.pool.execute("update positions set position = 3")
    await core.pool.execute("delete from effects where position > 3")
    await core.pool.execute("update installation set epoch = epoch + 1")
    for envelope in await packed(core, each=1):
        await consumer([envelope])
    assert await effects(core) == complete(3)


@pytest.fixture
async def runtime(database: str, tmp_path: Path) -> Any:
    async with opened(CORE, settings(database=database, data=tmp_path)) as runtime:
        yield runtime


async def parked_policy(runtime: Runtime, stream: UUID) -> Follower:
    """The scheduling policy, stumbling over one stream."""
    follower = follow_policy(CORE.policies[0], runtime.decider, runtime.wakes, PARTITIONS)
    sound = follower.handle

    async def stumble(connection: Connection, events: Sequence[Recorded[Event]]) -> None:
        if any(event.stream == stream for event in events):
            raise ZeroDivisionError
        await sound(connection, events)

    follower.handle = stumble
    for _ in range(TRIES - 1):
        with pytest.raises(ZeroDivisionError):
            await follower.catch_up()
    await follower.catch_up()
    follower.handle = sound
    return follower


async def final(runtime: Runtime) -> None:
    await runtime.pool.execute("update log_heads set position = (select max(position) from log_jobs)")


async def test_a_parked_stream_is_handled_again_and_goes_on(runtime: Runtime) -> None:
    await runtime.dispatcher()([request(submit(job)) for job in (1, 2)])
    await final(runtime)
    follower = await parked_policy(runtime, job_stream(1))
    statuses = "select array_agg(status order by job) from jobs"
    assert await runtime.pool.fetchval(statuses) == ["Received", "Waiting"]
    await runtime.dispatcher()([request(submit(17))])
    await final(runtime)
    assert await retry_parked(runtime, "scheduling", job_stream(1)) == 1
    assert await runtime.pool.fetchval(statuses) == ["Waiting", "Waiting", "Received"]
    with pytest.raises(Fenced):  # it finds out with its next commit, that the stream waits no longer
        await follower.catch_up()
    await follower.catch_up()
    assert await runtime.pool.fetchval(statuses) == ["Waiting", "Waiting", "Waiting"]


@pytest.mark.parametrize("consumer", ["scheduling", "nobody", "jobs"])
async def test_what_does_not_wait_cannot_be_handled_again(runtime: Runtime, consumer: str) -> None:
    with pytest.raises(Refused) as refusal:
        await retry_parked(runtime, consumer, job_stream(1))
    assert refusal.value.code is Code.NOT_FOUND
