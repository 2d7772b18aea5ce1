"""Views are disposable: rebuilt and swapped while writers write, and compared with the log."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from installation import fact, request, submit

from domain.errors import Code, Refused
from domain.job import DeleteJob, Job, KillJob, RescheduleJob
from domain.pilot import RequestPilot
from infra import rebuild as rebuilding
from infra.app import CORE, everything
from infra.rebuild import rebuild, verify
from infra.runtime import Runtime, opened
from infra.settings import settings
from infra.store import Conflict
from infra.waiting import end
from projections import activity

VIEWS = [view.name for view in CORE.projections]
FILLED = ("jobs", "task_queues", "pilot_queue", "assignments", "pilots", "activity")  # by what is written here
NAMES = """select array_agg(name order by name) from (
    select conname as name from pg_constraint where conrelid = $1::regclass
    union select indexrelid::regclass::text from pg_index where indrelid = $1::regclass) x"""


@pytest.fixture
async def runtime(database: str, tmp_path: Path) -> AsyncIterator[Runtime]:
    async with opened(CORE, settings(database=database, data=tmp_path)) as runtime:
        yield runtime


@pytest.fixture
async def busy(runtime: Runtime) -> AsyncIterator[Runtime]:
    """Everything runs."""
    tasks = await everything(runtime)
    yield runtime
    await end(tasks)


class Writers:
    """Jobs that come, are matched, killed, rescheduled and deleted, until told to stop."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.stopped = asyncio.Event()
        self.chance = random.Random(1)
        self.jobs = 0

    async def write(self) -> None:
        while not self.stopped.is_set():
            first, self.jobs = self.jobs + 1, self.jobs + 20
            fresh = [request(submit(job)) for job in range(first, self.jobs + 1)]
            old = [self.chance.randint(1, self.jobs) for _ in range(10)]
            kinds = (KillJob, RescheduleJob, DeleteJob)
            await self.runtime.bus.request([*fresh, *(request(self.chance.choice(kinds)(job)) for job in old)], 30)
            await self.match()
            await self.runtime.bus.request([request(RequestPilot("lhcb", f"p{first}", "s"))], 30)

    async def match(self) -> None:
        row = await self.runtime.pool.fetchrow(
            "select job, version, attempt from jobs where status = 'Waiting' order by random() limit 1"
        )
        if row:
            event = fact(Job.Matched(f"p{row[0]}", uuid4(), row["attempt"]), job=row[0], version=row["version"] + 1)
            with suppress(Conflict):  # somebody was faster
                async with self.runtime.store.transaction() as connection:
                    await self.runtime.decider.write(connection, "jobs", [event])


async def settled(runtime: Runtime) -> None:
    """Wait until every consumer has handled everything, and nothing new came of it."""
    async with asyncio.timeout(60):
        before = -1
        while True:
            last = await runtime.pool.fetchval("select max(position) from log_jobs")
            counted = await runtime.pool.fetchval("select sum(events) from activity")
            wanted = await runtime.pool.fetchval(
                "select count(*) from log_jobs where topic = any($1)", list(activity.projection.topics)
            )
            if last == before and counted == wanted:
                return
            before = last
            await asyncio.sleep(0.3)


async def test_every_view_is_rebuilt_while_writers_write_and_equals_a_fold_from_scratch(busy: Runtime) -> None:
    names = {view: await busy.pool.fetchval(NAMES, view) for view in VIEWS}
    writers = Writers(busy)
    tasks = [asyncio.create_task(writers.write()) for _ in range(3)]
    await asyncio.sleep(0.5)
    for view in VIEWS * 2:
        before = await busy.pool.fetchval("select $1::text::regclass::oid", view)
        await rebuild(busy, view)
        assert await busy.pool.fetchval("select $1::text::regclass::oid", view) != before
    writers.stopped.set()
    await asyncio.gather(*tasks)
    await settled(busy)
    assert {view: await verify(busy, view) for view in VIEWS} == {view: [] for view in VIEWS}
    assert {view: await busy.pool.fetchval(NAMES, view) for view in VIEWS} == names
    assert all([await busy.pool.fetchval(f"select count(*) from {view}") for view in FILLED])
    assert await busy.pool.fetchval("select count(*) from parked") == 0


async def test_a_view_can_be_compared_while_writers_write(busy: Runtime) -> None:
    writers = Writers(busy)
    task = asyncio.create_task(writers.write())
    for _ in range(5):
        assert {view: await verify(busy, view) for view in VIEWS} == {view: [] for view in VIEWS}
        await asyncio.sleep(0.1)
    writers.stopped.set()
    await task


async def decided(runtime: Runtime, jobs: int) -> None:
    dispatcher = runtime.dispatcher()
    outcomes = await dispatcher([request(submit(job)) for job in range(1, jobs + 1)])
    assert all(outcome.ok for outcome in outcomes)


async def test_what_differs_from_the_log_is_named_and_mended(runtime: Runtime) -> None:
    await decided(runtime, 20)
    await runtime.pool.execute("update jobs set status = 'Done' where job = 3")
    await runtime.pool.execute("delete from jobs where job = 5")
    await runtime.pool.execute("create table copy as select * from jobs where job = 7")
    await runtime.pool.execute("update copy set job = 77")
    await runtime.pool.execute("insert into jobs select * from copy")
    assert await verify(runtime, "jobs") == [(3,), (5,), (77,)]
    await rebuild(runtime, "jobs")
    assert await verify(runtime, "jobs") == []


async def test_a_rebuilt_view_shows_no_name_of_a_forgotten_person(runtime: Runtime) -> None:
    await decided(runtime, 1)
    await runtime.store.forget("ann")
    assert await verify(runtime, "jobs") == [(1,)]
    await rebuild(runtime, "jobs")
    assert await runtime.pool.fetchval("select owner_name from jobs") == "(forgotten)"


async def test_progress_rises_to_the_end_and_long_logs_are_folded_in_parts(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "CHUNK", 7)
    await decided(runtime, 40)
    await runtime.pool.execute("update log_heads set position = 25 where log = 'log_jobs'")
    told: list[tuple[int, int]] = []
    await rebuild(runtime, "jobs", lambda done, total: told.append((done, total)))
    assert told[0] == (7, 40)
    assert told[-1] == (40, 40)
    assert told == sorted(told)
    assert await verify(runtime, "jobs") == []


async def test_a_view_that_follows_goes_on_where_the_rebuilt_one_ends(runtime: Runtime) -> None:
    """Nothing is counted twice and nothing is left out, wherever the consumer was."""
    await decided(runtime, 30)
    await rebuild(runtime, "activity")
    assert await runtime.pool.fetchval("select sum(events) from activity") == 30
    assert set(
        await runtime.pool.fetchval("select array_agg(position) from positions where consumer = 'activity'")
    ) == {30}
    assert await verify(runtime, "activity") == []


async def test_a_table_in_use_is_left_alone_and_so_is_everybody_who_uses_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "PATIENCE", "50ms")
    monkeypatch.setattr(rebuilding, "TRIES", 3)
    await decided(runtime, 5)
    before = await runtime.pool.fetchval("select 'jobs'::regclass::oid")
    async with runtime.store.transaction() as reader:
        await reader.fetch("select * from jobs")
        with pytest.raises(Refused) as refusal:
            await rebuild(runtime, "jobs")
    assert refusal.value.code is Code.BUSY
    assert await runtime.pool.fetchval("select 'jobs'::regclass::oid") == before
    assert await runtime.pool.fetchval("select to_regclass('jobs_twin')") is None
    await rebuild(runtime, "jobs")
    assert await verify(runtime, "jobs") == []


async def test_what_a_crashed_rebuild_left_behind_is_no_obstacle(runtime: Runtime) -> None:
    await decided(runtime, 5)
    await runtime.pool.execute("create table jobs_twin (rubbish int)")
    await rebuild(runtime, "jobs")
    assert await verify(runtime, "jobs") == []


async def test_two_rebuilds_of_one_view_take_turns(runtime: Runtime) -> None:
    await decided(runtime, 50)
    await asyncio.gather(rebuild(runtime, "jobs"), rebuild(runtime, "jobs"))
    assert await verify(runtime, "jobs") == []


async def test_a_writer_that_waited_for_the_swap_writes_into_the_new_table(runtime: Runtime) -> None:
    await decided(runtime, 5)
    async with runtime.store.transaction() as connection:
        event = fact(Job.Checked(), job=3, version=2)
        await runtime.decider.write(connection, "jobs", [event])  # holds the table until it commits
        rebuilt = asyncio.create_task(rebuild(runtime, "jobs"))
        await asyncio.sleep(0.3)
        later = asyncio.create_task(runtime.dispatcher()([request(KillJob(4))]))
        await asyncio.sleep(0.1)
        assert not rebuilt.done()
    await asyncio.gather(rebuilt, later)
    assert await verify(runtime, "jobs") == []
    rows = await runtime.pool.fetch("select job, status from jobs where job in (3, 4) order by job")
    assert [tuple(row) for row in rows] == [(3, "Checking"), (4, "Killed")]


@pytest.mark.parametrize("work", [rebuild, verify])
async def test_a_view_nobody_knows_is_refused(runtime: Runtime, work: object) -> None:
    with pytest.raises(Refused) as refusal:
        await work(runtime, "weather")  # type: ignore[operator]
    assert refusal.value.code is Code.NOT_FOUND
