"""What benchmarks stand on: private servers with the durability of production, and the system in real processes."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
import psutil
from private import listening, ports
from report import Row
from servers import PostgreSQL, RabbitMQ, Servers, wheel_postgres

from domain.values import job_stream, subject
from gateway.ports import Principal
from infra.app import CORE
from infra.migrate import migrate
from infra.serve import PARTS
from infra.tokens import Tokens, installation_secret

VO = "lhcb"
SECRET = "s" * 40
USER = Principal("user", subject(VO, "bench", "ann"), VO, "ann", "lhcb_user", frozenset({"NormalUser", "Operator"}))
# The edge and the command side beside those that follow the log: the best use of two cores that also carry the servers.
LAYOUT = (("gateway", "dispatch", "relay", "match", "timers"), ("consume", "project"))
ALL = (PARTS,)
Bench = Callable[["Stage"], Awaitable[list[Row]]]
BENCHES: dict[str, Bench] = {}


class Durable(PostgreSQL):
    """PostgreSQL as in production: what was committed survives a power cut."""

    settings = {"shared_buffers": "1GB", "max_wal_size": "8GB", "wal_compression": "on", "max_connections": "200",
                "jit": "off", "checkpoint_timeout": "15min"}  # fmt: skip


def bench(name: str) -> Callable[[Bench], Bench]:
    """Register a benchmark; the first line of its docstring is what `--list` says."""

    def register(function: Bench) -> Bench:
        BENCHES[name] = function
        return function

    return register


@dataclass
class Site:
    """A running system: its address, its database, its processes with those of its servers."""

    url: str
    pool: asyncpg.Pool
    client: httpx.AsyncClient
    processes: list[psutil.Process]

    async def submit(self, body: bytes, kind: str = "application/json") -> list[int]:
        """The numbers of the jobs of one request."""
        answer = await self.client.post("/api/v1/jobs", content=body, headers={"content-type": kind})
        if answer.status_code != 201:
            raise RuntimeError(f"submission: {answer.status_code} {answer.text[:500]}")
        return [job["job"] for job in msgspec.json.decode(answer.content)["jobs"]]

    async def are_waiting(self, jobs: Sequence[int]) -> bool:
        """Whether the view of jobs shows all of these as Waiting.

        The last one is asked first: counting them again and again was a fifth of what a submission seemed to cost.
        """
        if not await self.pool.fetchval("select status = 'Waiting' from jobs where job = $1", jobs[-1]):
            return False
        query = "select count(*) from jobs where vo = $1 and status = 'Waiting' and job between $2 and $3"
        return bool(await self.pool.fetchval(query, VO, jobs[0], jobs[-1]) == len(jobs))

    async def have_timers(self, jobs: Sequence[int]) -> bool:
        """Whether all of these have the timer that ends their waiting."""
        streams = job_stream(jobs[0]), job_stream(jobs[-1])
        if await self.pool.fetchval("select topic from timers where stream_id = $1", streams[1]) != "job.expire":
            return False
        query = "select count(*) from timers where topic = 'job.expire' and stream_id between $1 and $2"
        return bool(await self.pool.fetchval(query, *streams) == len(jobs))

    async def counted(self) -> int:
        """How many jobs are counted in the view that follows the log."""
        query = "select coalesce(sum(events), 0) from activity where topic = 'job.queued'"
        return int(await self.pool.fetchval(query))


class Stage:
    """The servers, each started when first wanted."""

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.repetitions = 3 if quick else 5
        self._servers = Servers()
        self._numbers = count(1)

    def size(self, full: int) -> int:
        """This many, or a fifth when it has to be quick."""
        return full // 5 if self.quick else full

    @cached_property
    def postgres(self) -> PostgreSQL:
        return Durable(self._servers, "postgres", wheel_postgres()).start()

    @cached_property
    def rabbitmq(self) -> RabbitMQ:
        return RabbitMQ(self._servers, "rabbitmq").start()

    def directory(self) -> Path:
        """A fresh one."""
        path = self._servers.root / f"data-{next(self._numbers)}"
        path.mkdir()
        return path

    async def database(self) -> str:
        """The URL of a fresh database with the schema of this release."""
        name = f"bench_{next(self._numbers)}"
        self.postgres.sql(f"create database {name}")
        async with asyncpg.create_pool(self.postgres.database(name), min_size=1) as pool:
            await migrate(pool, CORE)
        return self.postgres.database(name)

    def bus(self) -> str:
        """The URL of a fresh virtual host."""
        return self.rabbitmq.add_vhost(f"bench-{next(self._numbers)}")

    @asynccontextmanager
    async def site(self, database: str, bus: str = "", layout: Sequence[Sequence[str]] = ALL) -> AsyncIterator[Site]:
        """The system in real processes, one for each tuple of parts."""
        (port,) = ports(1)
        data = self.directory()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SPINOR_")},
            "SPINOR_TEST_SERVERS": str(self._servers.root),
            "SPINOR_DATABASE": database, "SPINOR_BUS": bus,
            "SPINOR_DATA": str(data), "SPINOR_PORT": str(port), "SPINOR_SECRET": SECRET, "SPINOR_VO": VO,
        }  # fmt: skip
        started = [_launch(parts, environment, data) for parts in layout]
        url, token = f"http://127.0.0.1:{port}", Tokens(installation_secret(SECRET, data)).issue(USER, 3600)
        try:
            async with AsyncExitStack() as stack:
                await until(lambda: _listens(port))
                pool = await stack.enter_async_context(asyncpg.create_pool(database, min_size=1, max_size=4))
                client = httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=120)
                await stack.enter_async_context(client)
                pids = [self.postgres.pid, *([self.rabbitmq.pid] if bus else []), *(each.pid for each in started)]
                yield Site(url, pool, client, [psutil.Process(pid) for pid in pids])
        except Exception as fault:
            await asyncio.sleep(2)  # a process that breaks closes its connections before it ends
            if any(process.poll() is not None for process in started):
                raise RuntimeError(f"a process of the system ended:\n{(data / 'log').read_text()[-3000:]}") from fault
            raise
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(60)

    def close(self) -> None:
        """Stop the servers and remove what they left."""
        for name in ("postgres", "rabbitmq"):
            if name in vars(self):
                vars(self)[name].close()
        self._servers.close()


async def until(condition: Callable[[], Awaitable[Any]], patience: float = 120.0, pause: float = 0.02) -> float:
    """Wait until it is true; seconds that took.

    Raises:
        TimeoutError: it never was.
    """
    start = time.perf_counter()
    while not await condition():
        if time.perf_counter() - start > patience:
            raise TimeoutError("what was waited for did not come")
        await asyncio.sleep(pause)
    return time.perf_counter() - start


def seconds(roots: Sequence[psutil.Process]) -> float:
    """CPU time of these processes and everything below them, also of what has ended there."""
    total = 0.0
    for root in roots:
        for process in (root, *root.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
            if process == root:
                total += times.children_user + times.children_system
    return total


def _launch(parts: Sequence[str], environment: dict[str, str], data: Path) -> subprocess.Popen[bytes]:
    program = Path(__file__).with_name("part.py")
    with (data / "log").open("ab") as log:
        return subprocess.Popen([sys.executable, program, ",".join(parts)], env=environment, stdout=log, stderr=log,
                                stdin=subprocess.DEVNULL)  # fmt: skip


async def _listens(port: int) -> bool:
    return listening(port)
