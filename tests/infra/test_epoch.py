"""A database that came back in an earlier state: noticed, told, and never numbered twice."""

from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from installation import Installation, fact, on_18, submitted
from msgspec.structs import replace

from domain.errors import Code, Refused
from infra.app import CORE
from infra.epoch import POSITIONS, Place, Sentinel, listed, remembered, restored, unknown
from infra.follower import Fenced, Follower
from infra.witness import FILE, Memory, Witness

__all__ = ["on_18"]
pytestmark = pytest.mark.servers


def sentinel(core: Installation, data: Path, bus: str = "") -> Sentinel:
    return Sentinel(core.pool, core.wakes, CORE, Witness(data, bus))


async def check(core: Installation, watch: Sentinel) -> bool:
    async with core.pool.acquire() as connection:
        return await watch.check(connection)


async def now(core: Installation) -> Memory:
    async with core.pool.acquire() as connection:
        return await remembered(connection, ["jobs", "pilots"])


async def restarted(core: Installation) -> None:
    """As if the server had been started again since the last comparison."""
    await core.pool.execute("update installation set verified = 'before'")


async def test_nobody_writes_to_the_log_before_the_database_was_compared(core: Installation, tmp_path: Path) -> None:
    await core.append(fact(submitted(1)))
    await restarted(core)
    for attempt in (
        core.append(fact(submitted(2), 2)),
        core.pool.execute("update job_numbers set last = last + 1"),
        core.pool.execute("update log_heads set position = 1"),
    ):
        with pytest.raises(asyncpg.CannotConnectNowError):
            await attempt
    assert not await check(core, sentinel(core, tmp_path))
    await core.append(fact(submitted(2), 2))
    assert await core.count("log_jobs") == 2


async def test_a_witness_that_saw_more_begins_an_epoch_beyond_everything_it_saw(
    core: Installation, tmp_path: Path
) -> None:
    await core.append(fact(submitted(1)))
    before = await now(core)
    saw = replace(before, positions={"jobs": 500, "pilots": 0}, job=70)
    await Witness(tmp_path, "").note(saw)
    assert await check(core, sentinel(core, tmp_path))
    after = await now(core)
    assert after.epoch > before.epoch
    assert after.positions["jobs"] >= 500 + POSITIONS
    assert after.job > 70
    await core.append(fact(submitted(after.job), after.job))
    rows = {(row["what"], row["name"]): (row["first"], row["last"]) for row in await listed(core.pool)}
    assert rows == {("events", "jobs"): (2, 500), ("jobs", "numbers"): (1, 70)}
    assert not await check(core, sentinel(core, tmp_path)), "the same loss is found once"


async def test_what_is_known_of_another_installation_says_nothing(core: Installation, tmp_path: Path) -> None:
    saw = replace(await now(core), installation=uuid4(), positions={"jobs": 500}, job=70)
    await Witness(tmp_path, "").note(saw)
    assert not await check(core, sentinel(core, tmp_path))
    assert await listed(core.pool) == []


async def test_a_witness_cut_off_in_the_middle_is_none(core: Installation, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"installation": "')
    assert not await check(core, sentinel(core, tmp_path))


async def test_without_any_witness_the_bus_must_answer_before_anybody_writes(
    core: Installation, tmp_path: Path
) -> None:
    await restarted(core)
    watch = sentinel(core, tmp_path, "amqp://nobody:nothing@127.0.0.1:9/")
    with pytest.raises(Refused) as caught:
        await check(core, watch)
    assert caught.value.code is Code.BUS_AWAY
    assert await core.pool.fetchval("select verified from installation") == "before"
    await Witness(tmp_path, "").note(await now(core))
    assert not await check(core, watch), "the file is enough"
    await watch.witness.close()


async def test_the_queue_keeps_the_newest_memory_and_can_be_read_time_after_time(
    core: Installation, tmp_path: Path, rabbitmq: str
) -> None:
    first = Witness(tmp_path / "one", rabbitmq)
    memory = await now(core)
    await first.note(memory)
    await first.note(replace(memory, job=9))
    await first.close()
    second = Witness(tmp_path / "two", rabbitmq)
    for _ in range(3):
        assert [one.job for one in await second.recall()] == [9]
    await second.close()


async def test_by_hand_a_new_epoch_begins_whatever_the_witness_says(core: Installation, tmp_path: Path) -> None:
    before = await now(core)
    epoch = await restored(core.pool, CORE, Witness(tmp_path, ""))
    after = await now(core)
    assert after.epoch == epoch > before.epoch
    assert after.job > before.job


async def test_a_consumer_of_the_former_epoch_is_fenced(core: Installation, tmp_path: Path) -> None:
    handled = []

    async def handle(connection: object, events: object) -> None:
        handled.append(events)

    follower = Follower("view", "jobs", frozenset({"job.submitted"}), handle, core.store, 16)
    await follower.catch_up()
    await core.append(fact(submitted(1)))
    await core.final()
    await restored(core.pool, CORE, Witness(tmp_path, ""))
    with pytest.raises(Fenced):
        await follower.catch_up()
    assert not handled
    await follower.catch_up()
    assert len(handled) == 1


async def test_what_pilots_ask_about_is_noted_only_when_something_was_lost(core: Installation, tmp_path: Path) -> None:
    await unknown(core.pool, "lhcb", "p1", [(1, 1)])
    assert await listed(core.pool) == []
    await Witness(tmp_path, "").note(replace(await now(core), job=5))
    await check(core, sentinel(core, tmp_path))
    for _ in range(2):
        await unknown(core.pool, "lhcb", "p1", [(3, 1), (3, 1), (1 << 40, 1)])
    await unknown(core.pool, "lhcb", "p2", [])
    rows = [(row["what"], row["name"], row["pilot"], row["received"]) for row in await listed(core.pool)]
    assert rows == [("pilot", "lhcb/p2", "p2", 1), ("jobs", "numbers", None, 1), ("attempt", "3/1", "p1", 2)]


async def test_another_server_behind_the_same_name_voids_what_is_cached(core: Installation) -> None:
    renewed = []
    place = Place()
    place.renew = lambda: renewed.append(True)
    async with core.pool.acquire() as connection:
        await place.look(connection)
        await place.look(connection)
        assert not renewed
        place._known = "another one"
        await place.look(connection)
    assert renewed == [True]
