"""Which position belongs to which moment: written while something happens, read by whoever asks what was known."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from installation import Installation, fact, on_18, submit  # noqa: F401
from msgspec.structs import replace

from domain.job import Job, KillJob
from domain.values import job_stream
from infra import cuts
from infra.epoch import Sentinel
from infra.waiting import end
from infra.witness import Witness


async def test_a_cut_is_written_when_a_log_went_on_and_only_then(core: Installation) -> None:
    async with core.pool.acquire() as connection:
        last = await cuts.write(connection, await cuts.newest(connection))
        assert await core.count("cuts") == 1
        assert await cuts.write(connection, last) == last
        await core.ask(submit(1))
        assert await cuts.write(connection, last) == last  # not final yet
        assert await core.count("cuts") == 1
        await core.final()
        assert await cuts.write(connection, last) != last
        assert await core.count("cuts") == 2


async def test_the_first_cut_of_a_minute_lasts(core: Installation) -> None:
    async with core.pool.acquire() as connection:
        last = await cuts.write(connection, None)
        await core.pool.execute("update cuts set at = date_trunc('minute', now())")
        await core.ask(submit(1))
        await core.final()
        await cuts.write(connection, last)
    assert [row["lasting"] for row in await core.pool.fetch("select lasting from cuts order by at")] == [True, False]


async def test_what_was_known_at_a_moment_is_told_by_cuts_and_between_them_by_the_time_of_an_event(
    core: Installation,
) -> None:
    begin = datetime.now(UTC)
    await core.append(*(fact(Job.Checked(), version=version) for version in range(1, 7)))
    events = await core.store.history("jobs", job_stream(1))
    put = "insert into cuts values ($1, jsonb_build_object('log_jobs', $2::bigint), true)"
    at = [begin + timedelta(minutes=minute) for minute in range(4)]
    await core.pool.execute(put, at[1], 2)
    await core.pool.execute(put, at[3], 4)

    async def known(moment: datetime) -> list[int]:
        async with core.pool.acquire() as connection:
            return [event.position for event in await cuts.known(connection, "jobs", events, moment)]

    assert await known(begin - timedelta(days=1)) == []
    assert await known(at[0]) == []  # their clocks say that it was later
    assert await known(at[1] - timedelta(seconds=1)) == [1, 2]  # the next cut has no more
    assert await known(at[1]) == [1, 2, 3, 4]
    assert await known(at[2]) == [1, 2, 3, 4]
    assert await known(at[3]) == [1, 2, 3, 4, 5, 6]  # there is no cut behind it yet
    for moment in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)):
        await known(moment)


async def test_an_event_whose_clock_was_wrong_is_where_the_cuts_say(core: Installation) -> None:
    early = datetime.now(UTC) - timedelta(days=3)
    await core.ask(submit(1), KillJob(1))
    await core.final()
    async with core.pool.acquire() as connection:
        await cuts.write(connection, None)
    events = [replace(event, at=early) for event in await core.store.history("jobs", job_stream(1))]
    async with core.pool.acquire() as connection:
        await connection.execute("""insert into cuts values (now() - interval '1 day', '{"log_jobs": 0}', true)""")
        assert await cuts.known(connection, "jobs", events, datetime.now(UTC) - timedelta(days=2)) == []
        assert await cuts.known(connection, "jobs", events, datetime.now(UTC)) == events


async def test_the_process_that_watches_the_database_writes_them(core: Installation, tmp_path: Path) -> None:
    running = asyncio.create_task(Sentinel(core.pool, core.wakes, core.system, Witness(tmp_path, "")).run())
    async with asyncio.timeout(30):
        await core.ask(submit(1))
        await core.final()
        newest = "select positions->>'log_jobs' from cuts order by at desc limit 1"
        while await core.pool.fetchval(newest) != "1":
            await asyncio.sleep(0.05)
        assert await core.count("cuts") <= 2
    await end([running])
