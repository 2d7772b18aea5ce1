"""A poison event parks its stream alone; once the cause is mended, what waited is handled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from consumption import PARTITIONS, Consumer, complete, effects, history, new_consumer, packed  # noqa: F401
from installation import Installation, fact, on_18, request, submit, submitted  # noqa: F401

from domain.errors import Code, Refused
from domain.job import Job
from domain.messages import Event, Recorded
from domain.values import job_number, job_stream
from infra.app import CORE
from infra.consumers import follow_policy
from infra.follower import TRIES, Fenced, Follower
from infra.parking import retry_parked
from infra.runtime import Runtime, opened
from infra.settings import settings
from infra.store import Connection


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
