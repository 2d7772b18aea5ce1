"""Submission over HTTP: from the request until every job is Waiting in the view of jobs, with everything running."""

import time
from collections.abc import Callable
from itertools import count

import msgspec
from report import Row, percentile
from stage import ALL, LAYOUT, Site, Stage, bench, seconds, until

REQUIRED, GOAL = 2_000, 4_000  # jobs/s
_serial = count(1)
Make = Callable[[int], tuple[bytes, str]]


@bench("submit")
async def submit(stage: Stage) -> list[Row]:
    """Jobs/s of 10 000 distinct jobs, and of one parametric description of 10 000, in one request; RabbitMQ."""
    database, bus = await stage.database(), stage.bus()
    async with stage.site(database, bus, LAYOUT) as site:
        return await _both(stage, site, "")


@bench("submit-local")
async def submit_local(stage: Stage) -> list[Row]:
    """The same in one process, with the bus inside it."""
    async with stage.site(await stage.database(), layout=ALL) as site:
        return await _both(stage, site, "-local")


@bench("submit-one")
async def submit_one(stage: Stage) -> list[Row]:
    """Milliseconds from the request for a single job until it is Waiting, one after the other; RabbitMQ."""
    async with stage.site(await stage.database(), stage.bus(), LAYOUT) as site:
        await rate(site, distinct, 20)
        times = [await _one(site) for _ in range(200)]
    parts = [times[n::4] for n in range(4)]
    return [
        Row("submit-one p50", [percentile(part, 0.5) for part in parts], "ms"),
        Row("submit-one p95", [percentile(part, 0.95) for part in parts], "ms", goal=100, at_most=True),
    ]


async def _both(stage: Stage, site: Site, suffix: str) -> list[Row]:
    size = stage.size(10_000)
    for make in (distinct, parametric):
        await rate(site, make, max(size // 5, 100))
    singles, sets, spent = [], [], []
    for _ in range(stage.repetitions):
        before = seconds(site.processes)
        singles.append(await rate(site, distinct, size))
        spent.append((seconds(site.processes) - before) / size * 1e6)
        sets.append(await rate(site, parametric, size))
    return [
        Row(f"submit-10k{suffix}", [rate for rate, _ in singles], "jobs/s", [REQUIRED], GOAL),
        Row(f"submit-10k{suffix} settled", [rate for _, rate in singles], "jobs/s", [REQUIRED]),
        Row(f"submit-10k{suffix} CPU, servers too", spent, "us/job"),
        Row(f"submit-parametric-10k{suffix}", [rate for rate, _ in sets], "jobs/s", [REQUIRED], GOAL),
        Row(f"submit-parametric-10k{suffix} settled", [rate for _, rate in sets], "jobs/s", [REQUIRED]),
    ]


async def rate(site: Site, make: Make, size: int) -> tuple[float, float]:
    """Jobs/s until all are Waiting, and until timers and every other view have caught up too."""
    before = await site.counted()
    body, kind = make(size)
    start = time.perf_counter()
    jobs = await site.submit(body, kind)
    await until(lambda: site.are_waiting(jobs))
    waited = time.perf_counter() - start

    async def all_settled() -> bool:
        return await site.counted() == before + size and await site.have_timers(jobs)

    await until(all_settled)
    return size / waited, size / (time.perf_counter() - start)


async def _one(site: Site) -> float:
    """Milliseconds."""
    body, kind = distinct(1)
    start = time.perf_counter()
    (job,) = await site.submit(body, kind)

    async def is_waiting() -> bool:
        return bool(await site.pool.fetchval("select status = 'Waiting' from jobs where job = $1", job))

    await until(is_waiting, pause=0.001)
    return (time.perf_counter() - start) * 1000


def distinct(size: int) -> tuple[bytes, str]:
    """That many jobs, none like another."""
    jobs = [
        {"name": f"sim_{n}", "executable": "gauss.sh", "arguments": f"--run {n} --seed {n * 7919 % 100_003}",
         "cpu_time": 20_000, "output_sandbox": ["std.out", f"histos_{n}.json"], "job_group": f"{n // 1000:08}",
         "platforms": ["x86_64-el9"], "environment": {"RUN": str(n)}}
        for n in (next(_serial) for _ in range(size))
    ]  # fmt: skip
    return msgspec.json.encode({"jobs": jobs}), "application/json"


def parametric(size: int) -> tuple[bytes, str]:
    """One description that stands for that many jobs."""
    return (
        f"""[ JobName = "sim_{next(_serial)}_%n"; Executable = "gauss.sh"; Arguments = "--run %s --seed %n";
        CPUTime = 20000; OutputSandbox = {{"std.out", "histos_%n.json"}}; Platform = "x86_64-el9";
        Parameters = {size}; ParameterStart = 1; ParameterStep = 1; ]""".encode(),
        "text/plain",
    )
