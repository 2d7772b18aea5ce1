"""One directory with a PostgreSQL in it: made, checked, started, and freed of what a crash left there."""

import contextlib
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import structlog

from domain.errors import Code, Refused
from infra.postgres_host import Host, last_words, major_version, named_uid, place_for, readable_programs, tag

SINCE_18 = {"io_method": "sync"}  # three I/O workers less
TCP_PORTS = range(20_000, 32_000)  # below the kernel's ephemeral range: no outgoing socket can sit there
LARGEST_LOG = 10_000_000  # bytes; a larger one is put aside at the start
log = structlog.get_logger()


class Cluster:
    """What is known about one directory; every method blocks, none keeps a process in mind."""

    def __init__(self, home: Path, programs: Path, settings: Mapping[str, str], host: Host, tcp: bool = False) -> None:
        self.home, self.host, self.settings = home, host, dict(settings)
        self.account = host.account()
        self.programs, self.place, self.sockets = programs, home, home / "socket"
        self.mark = tag(home)
        self.tcp = tcp
        self.port = 5432  # only a part of the socket's name, unless TCP is wanted

    @property
    def data(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.place / "cluster"

    def url(self, role: str, database: str) -> str:
        """The URL over the socket."""
        return f"postgresql://{role}@/{database}?{urlencode({'host': str(self.sockets), 'port': self.port}, safe='/')}"

    def password(self) -> str:
        """The password that TCP asks for."""
        return (self.place / "password").read_text()

    def prepare(self) -> None:
        """Find the place, the programs and a socket directory; make the database on first use.

        Raises Refused(DATABASE_PLACE, DATABASE_VERSION, DATABASE_START).
        """
        self.place = place_for(self.home, self.account)
        if self.place != self.home:
            log.warning("database_elsewhere", wanted=str(self.home), used=str(self.place))
        self.programs = readable_programs(self.account, self.programs, self.place)
        self._check_version(major_version(self.account, self.programs))
        if not self.data.exists():
            self._create()
        self.sockets = self.host.socket_directory(self.place / "socket", self.account)
        self.port = free_port() if self.tcp else self.port
        if self._log.exists() and self._log.stat().st_size > LARGEST_LOG:
            self._log.rename(self.place / "log.old")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it; call `end_left_behind` first."""
        command = [str(self.programs / "postgres"), "-D", str(self.data)]
        for key, value in {**self.settings, **self._own_settings()}.items():
            command += ["-c", f"{key}={value}"]
        with self._log.open("ab") as file:
            return self.account.start(command, file)

    def ready(self, pid: int) -> bool:
        """Whether this process accepts connections."""
        lines = self._pid_file()
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def why_not(self) -> Refused:
        """Why it ended at its start, by its log."""
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - 4000))
            told = file.read().decode(errors="replace")
        return Refused(Code.DATABASE_START, problem=last_words(told), log=str(self._log))

    def end_left_behind(self) -> None:
        """End servers of ours that outlived us, wait for orphans of a killed one, and drop a stale pid file.

        The caller holds the lock of the directory. Raises Refused(DATABASE_HELD) if somebody started one by hand.
        """
        for pid, words in server_processes(b"\0-D\0%b\0" % os.fsencode(self.data)).items():
            if self.mark.encode() not in words:
                raise Refused(Code.DATABASE_HELD, path=str(self.home), pid=pid)
        for pid, words in server_processes(self.mark.encode()).items():
            if b"\0-D\0" in words:  # the others end with this one
                log.warning("database_left_running", pid=pid)
                send(pid, signal.SIGINT)
        if not self._gone(30):
            for pid in server_processes(self.mark.encode()):
                send(pid, signal.SIGKILL)
            self._gone(30)
        # PostgreSQL refuses while the number in a lock file is in use: by a zombie that nobody reaps, or, in a
        # container whose numbers begin anew, by a stranger.
        for stale in (self.data / "postmaster.pid", *self.sockets.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)

    def leave(self) -> None:
        """Remove a socket directory that was made for this run only."""
        if self.sockets.parent != self.place:
            shutil.rmtree(self.sockets, ignore_errors=True)

    @property
    def _log(self) -> Path:
        return self.place / "log"

    def _own_settings(self) -> dict[str, str]:
        return {"listen_addresses": "127.0.0.1" if self.tcp else "", "port": str(self.port),
                "unix_socket_directories": str(self.sockets), "unix_socket_permissions": "0700",
                "cluster_name": self.mark}  # fmt: skip

    def _check_version(self, needed: int) -> None:
        if needed >= 18:
            self.settings = {**SINCE_18, **self.settings}
        written = self.data / "PG_VERSION"
        found = int(written.read_text()) if written.exists() else needed
        if found != needed:
            raise Refused(Code.DATABASE_VERSION, path=str(self.data), found=found, needed=needed)

    def _create(self) -> None:
        """Make it beside its place and rename it: an interrupted one is never taken for whole."""
        fresh, password = self.place / "cluster.new", self.place / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        password.unlink(missing_ok=True)
        with open(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
        access = ("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}")
        builder = self.account if self.account.uid is None else self.account._replace(uid=named_uid())
        builder.owning(self.place)  # initdb, and only initdb, insists on a user with a name
        builder.run(self.programs / "initdb", "-D", fresh, "-U", "postgres", *access, "-k", "-E", "UTF8",
                         "--locale=C.UTF-8")  # fmt: skip
        self.account.owning(self.place)
        fresh.rename(self.data)

    def _pid_file(self) -> list[str]:
        with contextlib.suppress(OSError):
            return (self.data / "postmaster.pid").read_text().splitlines()
        return []

    def _gone(self, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while server_processes(self.mark.encode()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def server_processes(mark: bytes) -> dict[int, bytes]:
    """PostgreSQL's processes with this mark in their command line or title, which every user may read."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", entry, "cmdline").read_bytes()
        except OSError:
            continue
        if os.path.basename(words.split(b"\0")[0].split(b":")[0]) == b"postgres" and mark in words:
            found[int(entry)] = words
    return found


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def free_port() -> int:
    """A free TCP port of this machine."""
    for port in random.sample(TCP_PORTS, len(TCP_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise Refused(Code.DATABASE_START, problem="no-free-port", log="")
