"""What all private servers of the tests share: one temporary directory, free ports, and a certain end."""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil

PORTS = range(20_000, 32_000)  # below the kernel's ephemeral range: no outgoing socket can sit there
GUARD = """
import os, shutil, signal, sys
sys.stdin.read()
mark = ("SPINOR_TEST_SERVERS=" + sys.argv[1]).encode()
for entry in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{entry}/environ", "rb") as environ:
            ours = mark in environ.read().split(bytes(1))
        if ours and int(entry) != os.getpid():
            os.kill(int(entry), signal.SIGKILL)
    except OSError:
        pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class Missing(Exception):
    """The program of this server is not on this machine; the text says how to get it."""


class Servers:
    """One temporary directory for all servers of a test run, and a guard that ends them even after `kill -9`."""

    def __init__(self) -> None:
        base = tempfile.gettempdir() if len(tempfile.gettempdir()) < 40 else "/tmp"
        self.root = Path(tempfile.mkdtemp(prefix="spinor-tests-", dir=base))
        self.root.chmod(0o711)
        self.environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "SPINOR_TEST_SERVERS": str(self.root)}
        self._guard = subprocess.Popen([sys.executable, "-c", GUARD, str(self.root)], stdin=subprocess.PIPE,
                                       start_new_session=True)  # fmt: skip

    def close(self) -> None:
        """End whatever still runs and delete all data."""
        self._guard.communicate()


class Server:
    """One server process: subclasses say which command, which environment, and when it is ready."""

    patience = 120.0

    def __init__(self, servers: Servers, name: str) -> None:
        self.home = servers.root / name
        self.home.mkdir(mode=0o700)
        self.environment = {**servers.environment, "HOME": str(self.home)}
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def launch(self) -> subprocess.Popen[bytes]:
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(self.command(), cwd=self.home, env=self.environment, stdout=log, stderr=log,
                                    stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip

    def ready(self) -> bool:
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process that is the server itself."""
        assert self._process
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it and wait until it serves."""
        self._process = self.launch()
        until(lambda: self.ready() or not self.alive, self.patience, self)
        if not self.alive:
            raise RuntimeError(f"{self.home.name} ended at its start:\n{self.log()}")
        return self

    def stop(self) -> None:
        """Stop it in the orderly way; a stopped one stays stopped."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its children at once, as a crash of the machine would; the data stay."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again on the same data and ports."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it for good."""
        self.kill()

    def log(self) -> str:
        return (self.home / "log").read_text(errors="replace")[-4000:]

    def _end(self, number: signal.Signals) -> None:
        if not self._process or self._process.poll() is not None:
            return
        family = psutil.Process(self._process.pid).children(recursive=True)
        os.kill(self.pid, number)
        for child in family if number == signal.SIGKILL else []:
            if child.is_running():  # compares start times: never a stranger with a reused number
                child.kill()
        self._process.wait(60)
        psutil.wait_procs(family, 60)


def ports(count: int) -> list[int]:
    """Free ports; drawn at random, so that two test runs on one machine hardly ever meet."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        if not listening(port) and _bindable(port):
            found.append(port)
    return found


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], object], patience: float, server: Server) -> None:
    """Wait for it; RuntimeError with the server's last words when it never comes."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{server.home.name} was not ready after {patience} s:\n{server.log()}")
        time.sleep(0.05)


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
