"""What is not the log is forgotten after a while, part by part, by a timer that is always set."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import pytest
from installation import Installation, on_18  # noqa: F401

from infra import purging
from infra.bus.messages import Outcome, Request
from infra.front import Front
from infra.timers import Timers
from infra.waiting import end

OLD = """insert into {table} ({columns}, {age}) select {values}, now() - n * interval '20 days'
    from generate_series(0, 3) n"""
ROWS = {
    "commands": ("id, ok", "gen_random_uuid(), true", "at"),
    "submissions": ("id, vo, digest, first_job, jobs", "gen_random_uuid(), 'lhcb', 'd', n, 1", "at"),
    "offers": ("vo, pilot, offer", "'lhcb', 'p' || n, '{}'", "at"),
    "dead_letters": (
        "id, source, topic, vo, actor, body, reason, detail, attempts, first_at, at",
        "gen_random_uuid(), 's', 't', 'lhcb', 'a', 'b', 'r', 'd', 1, now(), now()",
        "sent_again_at",
    ),
    "cuts": ("positions, lasting", "'{}', n = 3", "at"),
}
LEFT = {"commands": 2, "submissions": 2, "offers": 2, "dead_letters": 3, "cuts": 3}


class Desk:
    """The command side that knows the service, behind a bus."""

    def __init__(self, core: Installation) -> None:
        self.front = Front(self.nothing, {"system.purge": purging.Purging(core.store)})
        self.outcomes: list[Outcome] = []

    async def nothing(self, requests: Sequence[Request]) -> list[Outcome]:
        raise AssertionError(requests)

    async def request(self, requests: Sequence[Request], timeout: float) -> list[Outcome]:
        self.outcomes += (answers := await self.front(requests))
        return answers


async def aged(core: Installation) -> None:
    """Four rows of each table, 0, 20, 40 and 60 days old; a dead letter that was never sent again; a cut that lasts."""
    for table, (columns, values, age) in ROWS.items():
        await core.pool.execute(OLD.format(table=table, columns=columns, values=values, age=age))
    await core.pool.execute(
        "update dead_letters set sent_again_at = null where sent_again_at < now() - interval '59 d'"
    )


async def due(core: Installation) -> datetime:
    found: datetime = await core.pool.fetchval("select due from timers where name = 'purge'")
    return found


async def fired(core: Installation, desk: Desk) -> None:
    """Let the timer be due and see to it, as its leader does."""
    timers = Timers(core.store, desk, core.wakes, [purging.TIMER])  # type: ignore[arg-type]
    running = asyncio.create_task(timers.run())
    async with asyncio.timeout(30):
        while await core.count("timers") < 1:
            await asyncio.sleep(0.01)
        await core.pool.execute("update timers set due = now() - interval '1 second'")
        core.wakes.wake("timers")
        while await core.pool.fetchval("select due < now() + interval '23 hours' from timers"):
            await asyncio.sleep(0.01)
    await end([running])


async def test_what_is_older_than_a_month_is_forgotten_and_the_timer_is_set_for_tomorrow(core: Installation) -> None:
    await aged(core)
    desk = Desk(core)
    await fired(core, desk)
    assert {table: await core.count(table) for table in ROWS} == LEFT
    assert [outcome.parameters for outcome in desk.outcomes] == [
        {"forgotten": {"commands": 2, "submissions": 2, "offers": 2, "dead_letters": 1, "cuts": 1}}
    ]


async def test_much_is_forgotten_a_part_at_a_time(core: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "AT_ONCE", 1)
    await aged(core)
    desk = Desk(core)
    await fired(core, desk)
    assert {table: await core.count(table) for table in ROWS} == LEFT
    assert [outcome.parameters["forgotten"]["commands"] for outcome in desk.outcomes] == [1, 1, 0]


async def test_a_restart_leaves_the_timer_as_it_is(core: Installation) -> None:
    desk = Desk(core)
    await fired(core, desk)
    before = await due(core)
    async with core.pool.acquire() as connection:
        await Timers(core.store, desk, core.wakes, [purging.TIMER])._stand(connection)  # type: ignore[arg-type]
    assert await due(core) == before
