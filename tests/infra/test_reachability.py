"""Silence counts only while somebody could have been heard."""

from datetime import timedelta
from typing import Any

import pytest
from installation import Installation, installed, on_18  # noqa: F401

from infra import reachability, timers

STREAM = "00000000-0000-8001-8000-000000000042"


@pytest.fixture
async def stalled(core: Installation) -> Installation:
    """A timer of 75 minutes of silence that is due."""
    await core.pool.execute(
        "insert into timers (stream_id, name, due, topic, data, vo, silence) "
        "values ($1, 'state', now() - interval '1 second', 'job.stall', '{}', 'lhcb', interval '75 minutes')",
        STREAM,
    )
    return core


async def put_off(core: Installation) -> timedelta:
    """By how much the timer waits now."""
    async with core.pool.acquire() as connection:
        due = await connection.fetch("select * from timers where due <= now()")
        await timers.silent_ones_wait(connection, due)
    due: Any = await core.pool.fetchval("select due - now() from timers")
    return timedelta(minutes=round(due.total_seconds() / 60))


async def reachable(core: Installation, since: int, until: int) -> None:
    """The gateway was there from so many minutes ago until so many minutes ago."""
    await core.pool.execute(
        "insert into reachability select now() - make_interval(mins => $1), now() - make_interval(mins => $2)",
        since,
        until,
    )


async def test_silence_while_the_gateway_was_there_counts(stalled: Installation) -> None:
    await reachable(stalled, 600, 0)
    assert await put_off(stalled) == timedelta()


async def test_an_hour_without_gateway_stalls_nobody(stalled: Installation) -> None:
    await reachable(stalled, 600, 70)
    await reachable(stalled, 10, 0)
    assert await put_off(stalled) == timedelta(minutes=60)


async def test_a_gateway_that_is_still_away_lets_nothing_stall(stalled: Installation) -> None:
    await reachable(stalled, 600, 75)
    assert await put_off(stalled) == timedelta(minutes=75)


async def test_a_timer_that_is_no_silence_is_not_put_off(stalled: Installation) -> None:
    await stalled.pool.execute("update timers set silence = null")
    await reachable(stalled, 600, 70)
    assert await put_off(stalled) == timedelta()


async def test_an_installation_without_any_gateway_has_its_timers(stalled: Installation) -> None:
    assert await put_off(stalled) == timedelta()


async def test_beats_grow_one_time_and_a_pause_begins_another(core: Installation) -> None:
    await reachability.beat(core.pool)
    await reachability.beat(core.pool)
    assert await core.count("reachability") == 1
    await core.pool.execute("update reachability set since = now() - interval '2 h', until = now() - interval '1 h'")
    await reachability.beat(core.pool)
    assert await core.count("reachability") == 2
    await core.pool.execute("update reachability set until = now() - interval '41 days' where until < now()")
    await reachability.beat(core.pool)
    assert await core.count("reachability") == 1
