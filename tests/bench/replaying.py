"""Reading the log again: to rebuild the state of every job, and to rebuild a view."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
from history import lives
from report import Row
from stage import Stage, bench

from domain.job import Job
from infra.app import CORE
from infra.rebuild import rebuild
from infra.runtime import Runtime, opened
from infra.settings import settings
from infra.store import SELECT, Store
from projections.jobs import projection

JOBS = 12_500  # of eight events each
CHUNK = 5_000  # rows read at once


@bench("replay")
async def replay(stage: Stage) -> list[Row]:
    """Events/s of rebuilding states in order of streams (beside a bare cursor), and a view in order of the log."""
    bare, states, folded, rebuilt = [], [], [], []
    async with opened(CORE, settings(database=await stage.database(), data=stage.directory())) as runtime:
        number = await _written(runtime.store, stage.size(JOBS))
        await _rate(number, _read, runtime)
        for _ in range(stage.repetitions):
            bare.append(await _rate(number, _read, runtime))
            states.append(await _rate(number, _states, runtime))
            folded.append(await _rate(number, _folded, runtime))
            rebuilt.append(await _rate(number, _rebuilt, runtime))
    return [
        Row("replay-stream", states, "events/s", bare, 0.60, of_ratio=True),
        Row("replay-position", folded, "events/s", goal=40_000),
        Row("replay-rebuild", rebuilt, "events/s"),
    ]


async def _written(store: Store, jobs: int) -> int:
    """Write the lives of so many jobs; how many events that are."""
    number = 0
    for first in range(1, jobs + 1, 500):
        events = lives(first, min(500, jobs + 1 - first))
        async with store.transaction() as connection:
            await store.append(connection, "jobs", events)
        number += len(events)
    await store.pool.execute("vacuum analyze log_jobs")
    await store.pool.execute(
        "update log_heads set position = (select max(position) from log_jobs) where log = 'log_jobs'"
    )
    return number


async def _rate(number: int, work: Callable[[Runtime], Awaitable[int]], runtime: Runtime) -> float:
    start = time.perf_counter()
    seen = await work(runtime)
    if seen != number:
        raise RuntimeError(f"{seen} of {number} events were read")
    return number / (time.perf_counter() - start)


async def _cursor(pool: asyncpg.Pool) -> AsyncIterator[list[Any]]:
    async with pool.acquire() as connection, connection.transaction():
        cursor = await connection.cursor(SELECT.format(log="log_jobs") + " order by stream_id, version")
        while rows := await cursor.fetch(CHUNK):
            yield rows


async def _read(runtime: Runtime) -> int:
    return sum([len(rows) async for rows in _cursor(runtime.pool)])


async def _states(runtime: Runtime) -> int:
    """The state of every job, one after the other."""
    seen, last, state = 0, UUID(int=0), Job()
    async for rows in _cursor(runtime.pool):
        for row in rows:
            event = runtime.store.recorded(row)
            if event.stream != last:
                last, state = event.stream, Job()
            state = state.evolve(event)
        seen += len(rows)
    return seen


async def _folded(runtime: Runtime) -> int:
    """What every event means for the view of jobs, without writing it."""
    seen = position = 0
    async with runtime.store.pool.acquire() as connection:
        while rows := await runtime.store.read(connection, "jobs", position, limit=CHUNK):
            projection.fold([runtime.store.recorded(row) for row in rows])
            position, seen = rows[-1]["position"], seen + len(rows)
    return seen


async def _rebuilt(runtime: Runtime) -> int:
    """The whole of `spinor rebuild jobs`: read, decode, fold, write a twin, swap."""
    await rebuild(runtime, projection.name)
    return int(await runtime.pool.fetchval("select count(*) from log_jobs"))
