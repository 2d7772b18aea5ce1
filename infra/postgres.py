"""A private PostgreSQL for a laptop: made on first use, started, watched and stopped by our own process."""

import asyncio
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import asyncpg
import structlog

from domain.errors import Code, Refused
from infra.postgres_cluster import Cluster, send
from infra.postgres_host import Host, wheel_programs

SETTINGS = {
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "wal_compression": "on",
    "wal_level": "minimal",  # nobody replicates a laptop
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",  # one process less that wakes up
    "jit": "off",
    "autovacuum_naptime": "60s",
    "log_checkpoints": "off",
}
ROLE = DATABASE = "spinor"
PATIENCE = 300.0  # seconds; recovery after a crash may have a gigabyte to read
LONGEST_PAUSE = 30.0  # seconds between two attempts to start a server that keeps ending
log = structlog.get_logger()


class Embedded:
    """PostgreSQL in one directory, on a socket that only this account can open: `async with Embedded(path) as url`.

    `data` is created on first use. `programs` is a directory with initdb and postgres (None: the wheel's; Debian has
    /usr/lib/postgresql/15/bin). `settings` go before SETTINGS. With `tcp` it listens on 127.0.0.1 too, at `tcp_url`.
    """

    def __init__(self, data: Path, programs: Path | None = None, *, settings: Mapping[str, str] | None = None,
                 tcp: bool = False, host: Host | None = None) -> None:  # fmt: skip
        self.home = Path(os.path.realpath(data))
        self.url = ""
        self.tcp_url = ""
        self.pid = 0
        self._host = host
        self._programs = programs
        self._settings = {**SETTINGS, **(settings or {})}
        self._tcp = tcp
        self._lock = -1
        self._cluster: Cluster | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> str:
        return await self.start()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:  # fmt: skip
        await self.stop()

    async def start(self) -> str:
        """Start it; the URL of the database `spinor`, which belongs to the role `spinor`.

        Raises Refused: DATABASE_HELD (a process has this directory), DATABASE_VERSION (the data belong to another major
        version), DATABASE_PLACE (an unsuitable directory), DATABASE_START (PostgreSQL says no).
        """
        host = self._host if self._host is not None else await asyncio.to_thread(Host.look)
        suitable(host, self.home)
        self._lock = lock(self.home)
        try:
            self._cluster = Cluster(self.home, self._programs or wheel_programs(), self._settings, host, self._tcp)
            await unhurried(self._cluster.prepare)
            await self._launch(self._cluster)
            await self._make_database(self._cluster)
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._start_again_when_it_dies(self._cluster))
        return self.url

    async def stop(self) -> None:
        """Stop it in the orderly way and let the directory go; nothing happens when it is not running."""
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        if self._process:
            await asyncio.to_thread(end, self._process)
            self._process = None
        if self._cluster:
            self._cluster.leave()
            self._cluster = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _launch(self, cluster: Cluster) -> None:
        await asyncio.to_thread(cluster.end_left_behind)
        self._process = cluster.launch()  # in this thread: the server is stopped when its starter ends
        self.pid = self._process.pid
        async with asyncio.timeout(PATIENCE):
            while not cluster.ready(self.pid):
                if self._process.poll() is not None:
                    raise cluster.why_not()
                await asyncio.sleep(0.02)

    async def _make_database(self, cluster: Cluster) -> None:
        connection = await asyncpg.connect(cluster.url("postgres", "postgres"))
        try:
            if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", ROLE):
                await connection.execute(f"CREATE ROLE {ROLE} LOGIN IN ROLE pg_monitor, pg_signal_backend")
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
            # an idle writing transaction anywhere in the server holds up everybody who reads the log in order
            await connection.execute(f"ALTER ROLE {ROLE} SET idle_in_transaction_session_timeout = '60s'")
            if self._tcp:
                await connection.execute(f"ALTER ROLE {ROLE} PASSWORD '{cluster.password()}'")
        finally:
            await connection.close()
        self.url = cluster.url(ROLE, DATABASE)
        if self._tcp:
            self.tcp_url = f"postgresql://{ROLE}:{cluster.password()}@127.0.0.1:{cluster.port}/{DATABASE}"

    async def _start_again_when_it_dies(self, cluster: Cluster) -> None:
        pause = 1.0
        while True:
            await asyncio.sleep(1)
            if self._process is None or self._process.poll() is None:
                pause = 1.0
                continue
            log.warning("database_died", pid=self.pid, status=self._process.returncode)
            try:
                await self._launch(cluster)
            except (Refused, TimeoutError, OSError) as error:
                log.error("database_start_failed", error=str(error), pause=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)


async def unhurried(work: Callable[[], None]) -> None:
    """Do it in a thread; who is cancelled meanwhile waits for its end, for the directory must not be let go before."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


def suitable(host: Host, home: Path) -> None:
    """Make the directory. Raises Refused(DATABASE_PLACE) if it is on a network filesystem or cannot be made."""
    kind = host.network_filesystem(home)
    if kind:
        raise Refused(Code.DATABASE_PLACE, path=str(home), problem=f"network-filesystem-{kind}")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(Code.DATABASE_PLACE, path=str(home), problem=error.strerror) from error


def lock(home: Path) -> int:
    """The file descriptor that holds the directory; the kernel drops the lock with our process, however it ends.

    Raises Refused(DATABASE_HELD, DATABASE_PLACE).
    """
    try:
        held = os.open(home / "holder", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(Code.DATABASE_PLACE, path=str(home), problem=error.strerror) from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(held, 20).decode().strip()
        os.close(held)
        raise Refused(Code.DATABASE_HELD, path=str(home), pid=pid) from None
    os.ftruncate(held, 0)
    os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
    return held


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop the server: orderly first, at once when it does not; returns when it is gone."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        send(process.pid, number)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            continue
        return
