"""A consumer handles every event once and in order, whatever the bus repeats, loses or mixes up."""

import asyncio
import random
from typing import Any

import msgspec
import pytest
from consumption import PARTITIONS, Consumer, complete, effects, history, new_consumer, packed  # noqa: F401
from installation import Installation, fact, on_18, submitted  # noqa: F401

from domain.errors import Refused
from domain.job import Job
from infra import follower as following
from infra.follower import Fenced


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


async def test_envelopes_of_another_database_mean_nothing(core: Installation, consumer: Consumer) -> None:
    await history(core, 3)
    (envelope, *rest) = await packed(core)
    await consumer([msgspec.structs.replace(envelope, epoch=envelope.epoch - 1, last=10**6)])
    assert await effects(core) == []
    await consumer([envelope, *rest])
    assert await effects(core) == complete(3)


@pytest.mark.parametrize(
    "forged",
    [
        {"last": 10**6, "events": []},
        {"previous": 10**6, "last": 10**6 + 1},
        {"proof": ""},
        {"proof": "ä"},
        {"events": []},
    ],
    ids=["beyond the log", "behind a gap of its own", "without proof", "with a strange proof", "emptied"],
)
async def test_an_envelope_that_nobody_made_who_reads_the_database_moves_no_consumer(
    core: Installation, consumer: Consumer, forged: dict[str, Any]
) -> None:
    await history(core, 3)
    (envelope, *rest) = await packed(core, each=10)
    await consumer([msgspec.structs.replace(envelope, **forged)])
    assert await effects(core) == []
    assert await consumer.count("position") == 0
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
