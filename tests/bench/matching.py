"""Matching: jobs waiting in many queues, pilots that offer at the same time, the bus between them."""

import asyncio
import time
from uuid import uuid4

import asyncpg
from history import fill, opened, submission
from report import Row, percentile
from stage import LAYOUT, VO, Site, Stage, bench

from domain.matching import Offer
from infra.bus.inbox import Programs
from infra.bus.interface import Bus
from infra.bus.rabbit import RabbitBus
from infra.deadletters import bury
from infra.offers import ask

QUEUES, IN_FLIGHT = 50, 64
WAIT = 20.0  # seconds an offer may wait
# No pilot here ever starts what it got: after a minute a match is released, and may be given away again.
TWICE = """select count(*) from (select from log_jobs where topic in ('job.matched', 'job.released') group by stream_id
    having count(*) filter (where topic = 'job.matched') - count(*) filter (where topic = 'job.released') > 1) jobs"""


@bench("match")
async def match(stage: Stage) -> list[Row]:
    """Matches/s through the matcher: 10 000 waiting jobs in 50 queues, 64 offers in flight; RabbitMQ."""
    database, address = await stage.database(), stage.bus()
    async with asyncpg.create_pool(database, min_size=1, max_size=4) as pool:
        jobs = stage.size(10_000)
        decider = opened(pool)
        await fill(decider, [submission(n, (f"site-{n % QUEUES}",)) for n in range(1, jobs + 1)])
    async with stage.site(database, address, LAYOUT) as site:
        bus = RabbitBus(address, bury(site.pool), Programs())
        try:
            return await _rows(site, bus, jobs, stage.repetitions)
        finally:
            await bus.close()


async def _rows(site: Site, bus: Bus, jobs: int, repetitions: int) -> list[Row]:
    share = jobs // (repetitions + 1)
    await _served(bus, 0, share)
    rates: list[float] = []
    middle: list[float] = []
    slowest: list[float] = []
    for number in range(1, repetitions + 1):
        start = time.perf_counter()
        times = await _served(bus, number * share, share)
        rates.append(share / (time.perf_counter() - start))
        middle.append(percentile(times, 0.5) * 1000)
        slowest.append(percentile(times, 0.99) * 1000)
    if twice := await site.pool.fetchval(TWICE):
        raise RuntimeError(f"{twice} jobs were given to two pilots at a time")
    return [Row("match", rates, "matches/s"), Row("match p50", middle, "ms"), Row("match p99", slowest, "ms")]


async def _served(bus: Bus, first: int, count: int) -> list[float]:
    """Seconds that each of so many offers took, a bounded number at a time; each fits one queue."""
    free = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> float:
        async with free:
            offer = Offer(uuid4(), f"pilot-{number % 500}", VO, f"site-{number % QUEUES}", "ce", processors=1)
            start = time.perf_counter()
            found = await ask(bus, offer, WAIT)
            if not found.job:
                raise RuntimeError("an offer got no job")
            return time.perf_counter() - start

    return list(await asyncio.gather(*(one(number) for number in range(first, first + count))))
