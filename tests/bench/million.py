"""Matching at scale: a million waiting jobs in 50 000 task queues, 300 tags, 1 000 sites, one owner with 80 % of it."""

import asyncio
import itertools
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import msgspec
import psutil
from report import Row, percentile
from stage import ALL, SECRET, VO, Site, Stage, bench, seconds, until

from domain.matching import Offer, Queue
from domain.requirements import SEGMENTS, Requirements
from infra.app import CORE
from infra.offers import ask, why
from infra.serve import Running, running
from infra.settings import settings

QUEUES, TAGS, SITES, OWNERS, IN_FLIGHT = 50_000, 300, 1_000, 200, 64
# Jobs are spread over the queues; every queue was described by its first job.
WANTED = int(os.environ.pop("SPINOR_BENCH_WAITING", "1000000"))  # of the system it would be an unknown setting
JOBS = """insert into jobs (job, version, vo, owner, owner_name, owner_group, name, job_type, job_group, priority,
        status, minor_status, site, attempt, queue, description, submitted_at, updated_at)
    select n, 3, q.vo, q.owner, q.owner, q.owner_group, 'sim_' || n, 'User', '00000000', 1 + n % 5, 'Waiting', '',
        'ANY', 1, q.queue, md5(n::text), now(), now()
    from generate_series(1, $1::bigint) n
    join (select *, row_number() over (order by queue) - 1 as r from task_queues) q on q.r = n % $2::bigint"""
TWICE = """select count(*) from (select stream_id from log_jobs where topic = 'job.matched'
    group by 1 having count(*) > 1) jobs"""
WAITING = """insert into pilot_queue (job, queue, priority, attempt, queued_at)
    select job, queue, priority, 1, now() from jobs"""


Described = tuple[str, str, str, str, str]


def _queues(count: int) -> list[Described]:
    """One owner has four fifths of them; sites, tags and CPU times as they come."""
    draw = random.Random(1)
    rows = {}
    while len(rows) < count:
        owner = "owner-0" if draw.random() < 0.8 else f"owner-{draw.randrange(1, OWNERS)}"
        sites = tuple(sorted({f"site-{draw.randrange(SITES)}" for _ in range(draw.choice((0, 1, 1, 3)))}))
        tags = tuple(sorted({f"tag-{draw.randrange(TAGS)}" for _ in range(draw.choice((0, 0, 1, 2)))}))
        wanted = Requirements(draw.choice(SEGMENTS), sites, tags=tags, min_ram_mb=draw.choice((0, 2000, 4000)))
        group = f"group-{draw.randrange(4)}"
        id_ = wanted.queue(VO, group, owner)
        rows[id_] = (id_, VO, owner, group, msgspec.json.encode(wanted).decode())
    return list(rows.values())


async def seeded(database: str, jobs: int, queues: list[Described] | None = None) -> list[Described]:
    """Fill the views as a million submissions would have."""
    queues = queues or _queues(min(QUEUES, jobs // 20))
    async with asyncpg.create_pool(database, min_size=1, max_size=2) as pool:
        columns = ["queue", "vo", "owner", "owner_group", "requirements"]
        await pool.copy_records_to_table("task_queues", records=queues, columns=columns)
        await pool.execute(JOBS, jobs, len(queues), timeout=600)
        await pool.execute(WAITING, timeout=600)
        await pool.execute("update job_numbers set last = $1", jobs)
        await pool.execute("vacuum analyze", timeout=600)
    return queues


Offers = Callable[[int], Iterator[Offer]]


def offers(seed: int) -> Iterator[Offer]:
    """Pilots at all sites with twenty of the tags each; ever new ones."""
    draw = random.Random(seed)

    def one(number: int) -> Offer:
        site = draw.randrange(SITES)
        tags = tuple(sorted({f"tag-{(site * 7 + n * 13) % TAGS}" for n in range(20)}))
        seconds, memory = draw.randrange(50_000, 400_000), draw.choice((2000, 4000, 8000))
        return Offer(uuid4(), f"pilot-{seed}-{number}", VO, f"site-{site}", "ce", "el9", 1, memory, 0, seconds, 0, tags)

    return itertools.starmap(one, ((number,) for number in itertools.count()))


@bench("match-million")
async def million(stage: Stage) -> list[Row]:
    """A million waiting jobs in 50 000 queues: restart, matches/s, why, push to a parked pilot; in-process bus."""
    database, jobs = await stage.database(), stage.size(WANTED)
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    queues = await seeded(database, jobs)
    rows = [Row("match-million seed", [time.perf_counter() - start], "s")]
    async with system(stage, database) as work:
        start = time.perf_counter()
        await ask(work.runtime.bus, next(offers(9)), 50)
        rows.append(Row("match-million restart until the first match", [time.perf_counter() - start], "s"))
        memory = (psutil.Process().memory_info().rss - before) / jobs
        rows.append(Row("match-million memory of the process a waiting job", [memory], "bytes"))
        size = await work.runtime.pool.fetchval("select pg_database_size(current_database())")
        rows.append(Row("match-million disk a waiting job", [size / jobs], "bytes"))
        rows += await direct(stage, work)
        rows += await _reasons(work, queues)
    return rows


@bench("match-http")
async def through_the_gateway(stage: Stage) -> list[Row]:
    """The same through HTTP, alone and while jobs are submitted; why of a job; a new job to a parked pilot."""
    database = await stage.database()
    await seeded(database, stage.size(WANTED))
    async with stage.site(database, layout=ALL) as site:
        return await _http(stage, site)


@asynccontextmanager
async def system(stage: Stage, database: str) -> AsyncIterator[Running]:
    given = settings(database=database, data=stage.directory(), port=0, vo=VO, secret=SECRET)
    async with running(CORE, given, ("relay", "match", "dispatch", "timers")) as work:
        yield work


async def direct(stage: Stage, work: Running, offers: Offers = offers, name: str = "match-million") -> list[Row]:
    """Matches/s with many offers in flight, and what an offer waits inside the matcher."""
    rates, slow, middle, costs = [], [], [], []
    database = [psutil.Process(stage.postgres.pid)]
    for repetition in range(stage.repetitions):
        source, times, count = offers(100 + repetition), [], stage.size(5000)
        turns = iter(range(count))

        async def one(source: Any = source, turns: Any = turns, times: list[float] = times) -> None:
            for _ in turns:
                start = time.perf_counter()
                if not (await ask(work.runtime.bus, next(source), 30)).job:
                    raise RuntimeError("an offer got no job")
                times.append(time.perf_counter() - start)

        start, cpu = time.perf_counter(), time.process_time() + seconds(database)
        await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
        rates.append(count / (time.perf_counter() - start))
        costs.append((time.process_time() + seconds(database) - cpu) / count * 1000)
        middle.append(percentile(times, 0.5) * 1000)
        slow.append(percentile(times, 0.99) * 1000)
    if twice := await work.runtime.pool.fetchval(TWICE):
        raise RuntimeError(f"{twice} jobs were given to two pilots")
    return [
        Row(name, rates, "matches/s", [700.0], 1000.0),
        Row(f"{name} CPU a match, with asker, bus and database", costs, "ms"),
        Row(f"{name} p50 in the matcher", middle, "ms"),
        Row(f"{name} p99 in the matcher", slow, "ms", goal=100.0, at_most=True),
    ]


async def _reasons(work: Running, queues: list[Described]) -> list[Row]:
    times = []
    for id_, vo, owner, group, wanted in random.Random(2).sample(queues, 50):
        queue = Queue(id_, vo, owner, group, msgspec.json.decode(wanted, type=Requirements))
        start = time.perf_counter()
        await why(work.runtime.bus, queue)
        times.append((time.perf_counter() - start) * 1000)
    return [Row("why of a task queue, p95", [percentile(times, 0.95)], "ms", goal=500.0, at_most=True)]


async def _http(stage: Stage, site: Site) -> list[Row]:
    """Through the gateway: offers of pilots with their tokens, alone and while jobs are submitted; why; push."""
    pilots = await asyncio.gather(*(_pilot(site, f"bench-{number}") for number in range(64)))
    count = stage.size(3000)
    submissions = 2 * count // 1000 + 1
    for _ in range(submissions):
        await site.submit(msgspec.json.encode({"jobs": [{"executable": "/bin/true", "tags": ["http"]}] * 1000}))
    await until(partial(_taken_in, site, 1000 * submissions), 600)
    before = seconds(site.processes)
    alone = await _served(pilots, count)
    cost = (seconds(site.processes) - before) / count * 1000
    jobs = asyncio.create_task(_submitting(site, 500, 10.0))
    beside = await _served(pilots, count)
    submitted = await jobs
    (job,) = await site.submit(b'{"jobs": [{"executable": "/bin/true", "tags": ["tag-none"]}]}')
    times = []
    for _ in range(20):
        start = time.perf_counter()
        answer = await site.client.get(f"/api/v1/jobs/{job}/why")
        answer.raise_for_status()
        times.append((time.perf_counter() - start) * 1000)
    pushed = [await _pushed(site, pilots[number % 64], number) for number in range(20)]
    return [
        Row("match-million HTTP", [alone], "matches/s", goal=200.0),
        Row("CPU a match over HTTP, with its database", [cost], "ms"),
        Row("match-million HTTP while jobs are submitted", [beside], "matches/s", goal=200.0),
        Row("jobs submitted meanwhile", [submitted], "jobs/s", [500.0]),
        Row("why of a job over HTTP, p95", [percentile(times, 0.95)], "ms", goal=500.0, at_most=True),
        Row("a new job reaches a parked pilot, p95", [percentile(pushed, 0.95)], "ms", goal=200.0, at_most=True),
    ]


async def _taken_in(site: Site, jobs: int) -> bool:
    """Whether the policies have done with the jobs that were submitted: each has its last timer then."""
    return int(await site.pool.fetchval("select count(*) from timers where topic = 'job.expire'")) >= jobs


async def _pilot(site: Site, stamp: str) -> httpx.AsyncClient:
    announced = await site.client.post("/api/v1/pilots", json={"stamp": stamp, "site": "site-1"})
    claim = {"vo": VO, "stamp": stamp, "secret": announced.json()["secret"], "incarnation": str(uuid4())}
    token = (await site.client.post("/api/v1/pilot/token", json=claim)).json()["access_token"]
    client = httpx.AsyncClient(base_url=site.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    (await client.post("/api/v1/pilot/hello", json={"site": "site-1"})).raise_for_status()
    return client


async def _offer(client: httpx.AsyncClient, **more: Any) -> Any:
    body = {"offer": str(uuid4()), "cpu_seconds": 400_000, "memory_mb": 8000, "wait": 40} | more
    answer = await client.post("/api/v1/pilot/offer", json=body)
    answer.raise_for_status()
    return answer.json()


async def _served(pilots: list[httpx.AsyncClient], count: int) -> float:
    turns = iter(range(count))

    async def one(client: httpx.AsyncClient) -> None:
        for _ in turns:
            await _offer(client, tags=["http"], required_tags=["http"])

    start = time.perf_counter()
    await asyncio.gather(*map(one, pilots))
    return count / (time.perf_counter() - start)


async def _submitting(site: Site, rate: int, seconds: float) -> float:
    """So many jobs a second, a hundred at a time."""
    body = msgspec.json.encode({"jobs": [{"executable": "/bin/true", "tags": ["http"]}] * 100})
    start, done = time.perf_counter(), 0
    while (now := time.perf_counter() - start) < seconds:
        if done >= rate * now:
            await asyncio.sleep(0.01)
            continue
        done += len(await site.submit(body))
    return done / (time.perf_counter() - start)


async def _pushed(site: Site, pilot: httpx.AsyncClient, number: int) -> float:
    """Milliseconds from the submission of a job to its arrival at a pilot that waits for just this one."""
    tag = f"only-{number}"
    waiting = asyncio.create_task(_offer(pilot, tags=[tag], required_tags=[tag]))
    await asyncio.sleep(0.3)
    start = time.perf_counter()
    await site.submit(msgspec.json.encode({"jobs": [{"executable": "/bin/true", "tags": [tag]}]}))
    await waiting
    return (time.perf_counter() - start) * 1000
