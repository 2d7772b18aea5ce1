"""The catalogue: how fast files are registered, looked up and found, and what a file costs on disk."""

import time
from statistics import quantiles
from typing import Any

from report import Row
from stage import Site, Stage, bench, seconds

BULK = 1_000
SE = "LOCAL-DISK"
ROUTE = "/api/v1/data"
LOG_TABLES = ("log_files",)
VIEW_TABLES = ("data_files", "data_replicas", "data_directories", "data_usage", "data_directory_usage")


def files(first: int, count: int, prefix: str = "/lhcb/data") -> list[dict[str, Any]]:
    """Descriptions of files, a thousand in each directory, named as a production names them."""
    return [
        {"lfn": f"{prefix}/{n // 1000:06d}/00123456_{n:08d}_1.dst", "size": 10_000 + n, "adler32": f"{n:08x}",
         "guid": f"{n:032x}", "ses": [SE]}
        for n in range(first, first + count)
    ]  # fmt: skip


async def register(site: Site, first: int, count: int, prefix: str = "/lhcb/data") -> float:
    """Files/s, in bulks of a thousand, one after the other: each is there for the next request when it is answered."""
    bulks = [files(n, BULK, prefix) for n in range(first, first + count, BULK)]
    start = time.perf_counter()
    for bulk in bulks:
        answer = await site.client.post(f"{ROUTE}/files", json={"files": bulk})
        if answer.status_code != 200 or answer.json()["counts"] != {"done": BULK}:
            raise RuntimeError(answer.text[:500])
    return count / (time.perf_counter() - start)


async def look_up(site: Site, first: int) -> float:
    """Milliseconds for the replicas of a thousand names."""
    lfns = [each["lfn"] for each in files(first, BULK)]
    start = time.perf_counter()
    answer = await site.client.post(f"{ROUTE}/lookup", json={"lfns": lfns})
    spent = (time.perf_counter() - start) * 1000
    found = answer.json()["files"]
    if sum(len(each["replicas"]) for each in found.values()) != BULK:
        raise RuntimeError(answer.text[:500])
    return spent


@bench("data-register")
async def registered(stage: Stage) -> list[Row]:
    """Files/s registered with one replica each, visible, in bulks of 1 000; look-up of 1 000; bytes a file on disk."""
    sizes = (20_000, 60_000) if stage.quick else (100_000, 400_000)
    rates: list[float] = []
    async with stage.site(await stage.database()) as site:
        await register(site, 0, 5_000, "/lhcb/warm")
        for total in sizes:
            done = len(rates) * 5_000
            while done < total:
                rates.append(await register(site, done, 5_000))
                done += 5_000
        before = seconds(site.processes)
        rates.append(await register(site, sizes[-1], 10_000))
        cpu = (seconds(site.processes) - before) / 10_000 * 1e6
        looks = [await look_up(site, n * BULK) for n in range(0, 40)]
        tables = {name: await _bytes(site, *of) for name, of in (("log", LOG_TABLES), ("views", VIEW_TABLES))}
        count = await site.pool.fetchval("select count(*) from data_files")
    tenth = max(1, len(rates) // 10)
    return [
        Row("data-register", rates, "files/s", goal=10_000),
        Row("data-register, last tenth against first", [sum(rates[-tenth:]) / sum(rates[:tenth])], "ratio"),
        Row("data-register CPU, servers too", [cpu], "µs a file"),
        Row("data-lookup: 1 000 LFNs, p95", [quantiles(looks, n=20)[-1]], "ms", goal=100, at_most=True),
        *(Row(f"data-disk, {name}", [size / count], "bytes/file") for name, size in tables.items()),
    ]


async def _bytes(site: Site, *tables: str) -> int:
    return int(await site.pool.fetchval("select sum(pg_total_relation_size(t::regclass)) from unnest($1::text[]) t",
                                        list(tables)))  # fmt: skip


FILL = """
insert into data_directories (directory, version, vo, path, owner, owner_group, mode, created_at)
    select md5('d' || d)::uuid, 1, 'lhcb', '/lhcb/data/' || lpad(d::text, 6, '0'), 'ann', 'lhcb_user', 509, now()
    from generate_series(0, {directories} - 1) d;
insert into data_files
    (file, version, directory, name, size, status, owner, owner_group, adler32, created_at, updated_at)
    select md5('f' || n)::uuid, 1, md5('d' || n / 1000)::uuid, '00123456_' || lpad(n::text, 8, '0') || '_1.dst', n,
        'Active', 'ann', 'lhcb_user', '0000002a', now(), now() from generate_series(0, {directories} * 1000 - 1) n;
insert into data_fields values ('lhcb', 'run', 1, 'int', 'directory', now()),
    ('lhcb', 'energy', 1, 'float', 'directory', now()), ('lhcb', 'events', 1, 'int', 'file', now());
insert into data_values (vo, field, holder, number) select 'lhcb', 'run', md5('d' || d)::uuid, d
    from generate_series(0, {directories} - 1) d;
insert into data_values (vo, field, holder, number) select 'lhcb', 'energy', md5('d' || d)::uuid, d % 10
    from generate_series(0, {directories} - 1) d;
insert into data_values (vo, field, holder, number) select 'lhcb', 'events', md5('f' || n)::uuid, n % 1000
    from generate_series(0, {directories} * 1000 - 1) n;
"""
QUERIES = (["run = 7"], ["energy = 3", "run < 500"], ["run in 1,2,3", "events < 10"])


@bench("data-find")
async def find(stage: Stage) -> list[Row]:
    """Milliseconds for a metadata query on a million files: directories, inherited, both kinds; pages of 1 000."""
    spent: dict[str, list[float]] = {" and ".join(query): [] for query in QUERIES}
    async with stage.site(await stage.database()) as site:
        await site.pool.execute(FILL.format(directories=stage.size(1000)))
        await site.pool.execute("analyze")
        for _ in range(stage.repetitions + 2):
            for query in QUERIES:
                start = time.perf_counter()
                answer = await site.client.post(f"{ROUTE}/find", json={"conditions": query})
                spent[" and ".join(query)].append((time.perf_counter() - start) * 1000)
                if not answer.json()["files"]:
                    raise RuntimeError(answer.text[:500])
    return [Row(f"data-find: {query}", times, "ms", goal=300, at_most=True) for query, times in spent.items()]
