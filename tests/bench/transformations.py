"""Transformations: how fast files become inputs, inputs tasks, tasks jobs; and whether the last cost as the first."""

import asyncio
import time
from datetime import UTC, datetime
from itertools import pairwise
from statistics import quantiles
from typing import Any

from report import Row
from stage import LAYOUT, Site, Stage, bench

from domain.data.names import directory_stream, file_stream

ROUTE = "/api/v1/transformations"
GROUP = 10
A_DIRECTORY = 1000  # files of one
REST = """insert into data_replicas (file, se, state, since) select file, 'LOCAL-DISK', 'Active', now() from data_files;
insert into data_fields values ('lhcb', 'run', 1, 'int', 'directory', now());
insert into data_values (vo, field, holder, number) select 'lhcb', 'run', directory, 7 from data_directories;
analyze"""


async def fill(site: Site, count: int) -> None:
    """Files in the views of the catalogue, as if they had been registered, a thousand in each directory."""
    at = datetime.now(UTC)
    for first in range(0, count, A_DIRECTORY):
        path = f"/lhcb/data/{first // A_DIRECTORY:06d}"
        directory = (directory_stream(path), 1, "lhcb", path, "ann", "lhcb_user", 0o775, at)
        names = ("directory", "version", "vo", "path", "owner", "owner_group", "mode", "created_at")
        await site.pool.copy_records_to_table("data_directories", records=[directory], columns=names)
        files = [
            (file_stream(f"{path}/00123456_{n:08d}_1.dst"), 1, directory[0], f"00123456_{n:08d}_1.dst", 1_000 + n,
             "Active", "ann", "lhcb_user", at, at)
            for n in range(first, first + A_DIRECTORY)
        ]  # fmt: skip
        names = ("file", "version", "directory", "name", "size", "status", "owner", "owner_group", "created_at",
                 "updated_at")  # fmt: skip
        await site.pool.copy_records_to_table("data_files", records=files, columns=names)
    await site.pool.execute(REST, timeout=600)


async def post(site: Site, path: str, body: dict[str, Any]) -> None:
    answer = await site.client.post(f"{ROUTE}{path}", json=body)
    if not answer.is_success:
        raise RuntimeError(answer.text[:500])


async def reached(site: Site, query: str, steps: list[int]) -> list[float]:
    """When a count came to each of these, in seconds."""
    start, times = time.perf_counter(), []
    for step in steps:
        while await site.pool.fetchval(query) < step:
            if time.perf_counter() - start > 900:
                raise TimeoutError(f"{step} never came: {query}")
            await asyncio.sleep(0.05)
        times.append(time.perf_counter() - start)
    return times


def rates(steps: list[int], times: list[float]) -> list[float]:
    """Units a second between one step and the next."""
    return [(b - a) / max(d - c, 1e-3) for (a, b), (c, d) in zip(pairwise(steps), pairwise(times), strict=True)]


async def summary(site: Site) -> float:
    """Milliseconds for the page of one."""
    start = time.perf_counter()
    answer = await site.client.get(f"{ROUTE}/bench")
    if answer.status_code != 200:
        raise RuntimeError(answer.text[:500])
    return (time.perf_counter() - start) * 1000


@bench("transformation-attach")
async def attach(stage: Stage) -> list[Row]:
    """Files/s attached to a transformation of 10 files a task, then tasks/s submitted as jobs; the summary's time."""
    count = 50_000 if stage.quick else 1_000_000
    async with stage.site(await stage.database(), stage.bus(), LAYOUT) as site:
        await fill(site, count)
        memory = max(process.memory_info().rss for process in site.processes[2:])
        job = {"executable": "/bin/true"}
        await post(site, "", {"name": "bench", "job": job, "group_size": GROUP, "conditions": ["run = 7"]})
        await post(site, "/bench/start", {})
        await post(site, "/bench/pause", {})
        parts = [count * n // 10 for n in range(1, 11)]
        attached = rates(parts, await reached(site, "select attached from transformations", parts))
        await post(site, "/bench/start", {})
        most = min(count // GROUP, 20_000)
        steps = [most * n // 10 for n in range(1, 11)]
        submitted = rates(steps, await reached(site, "select count(*) from jobs", steps))
        looks = [await summary(site) for _ in range(40)]
        grown = max(process.memory_info().rss for process in site.processes[2:]) - memory
        twice = await site.pool.fetchval(
            "select count(*) from (select job from transformation_tasks group by job having count(*) > 1) t"
        )
    if twice:
        raise RuntimeError(f"{twice} jobs belong to two tasks")
    return [
        Row("transformation-attach: files that were there", attached, "files/s", goal=10_000),
        Row("transformation-attach, last against first", [attached[-1] / attached[0]], "ratio", goal=0.8),
        Row("transformation-attach: tasks of 10 submitted", submitted, "tasks/s", goal=300),
        Row("transformation-attach, tasks, last against first", [submitted[-1] / submitted[0]], "ratio", goal=0.8),
        Row("transformation-attach: summary, p95", [quantiles(looks, n=20)[-1]], "ms", goal=100, at_most=True),
        Row("transformation-attach: largest process has grown by", [grown / 2**20], "MiB"),
    ]
