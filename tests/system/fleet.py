"""The whole system as processes, each started again by a tiny supervisor when it ends, as systemd would."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx
from private import Servers
from servers import ports

PARTS = ("gateway", "dispatch", "consume", "project", "relay", "match", "timers")
REPOSITORY = Path(__file__).parents[2]
AGAIN = 0.2  # seconds before a part that ended is started again


@dataclass
class Part:
    """One process after the other that does the same."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    killed: int = 0
    died: list[str] = field(default_factory=list)  # ends that nobody here caused

    def start(self) -> None:
        """Start it; what it says goes to its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, cwd=REPOSITORY, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def kill(self) -> None:
        """As if the machine lost power, for this process."""
        assert self.process
        self.process.kill()
        self.process.wait()
        self.killed += 1

    def look(self) -> bool:
        """Whether it ended; noted if nobody killed it."""
        if self.process is None or self.process.poll() is None:
            return False
        if self.process.returncode != -signal.SIGKILL:
            said = self.log.read_text(errors="replace")[-1500:]
            self.died.append(f"{self.name} ended with {self.process.returncode}: {said}")
        return True

    def stop(self) -> None:
        """End it in the orderly way."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
                self.died.append(f"{self.name} did not end when it was told to")


class Fleet:
    """All parts, on one database and one bus."""

    def __init__(self, servers: Servers, database: str, bus: str, data: Path) -> None:
        self.database, self.bus, self.data = database, bus, data
        self.port = ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.parts = {name: self._part(servers, name) for name in PARTS}

    def _part(self, servers: Servers, name: str) -> Part:
        command = [sys.executable, str(REPOSITORY / "tests/system/part.py"), name, "--database", self.database,
                   "--bus", self.bus, "--data", str(self.data)]  # fmt: skip
        command += ["--port", str(self.port)] if name == "gateway" else []
        environment = {**servers.environment, "PYTHONPATH": str(REPOSITORY), "HOME": str(self.data)}
        return Part(name, command, environment, self.data / f"{name}.log")

    @property
    def died(self) -> list[str]:
        """Parts that ended although nobody killed them."""
        return [end for part in self.parts.values() for end in part.died]

    async def ready(self, patience: float = 60) -> None:
        """Wait until the gateway answers and every consumer follows."""
        async with httpx.AsyncClient(base_url=self.url) as client, asyncio.timeout(patience):
            while True:
                try:
                    if (await client.get("/api/v1/health/ready")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.1)

    async def supervise(self) -> None:
        """Start again what ends, until cancelled."""
        while True:
            for part in self.parts.values():
                if part.look():
                    await asyncio.sleep(AGAIN)
                    part.start()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def sailing(servers: Servers, database: str, bus: str, data: Path) -> AsyncIterator[Fleet]:
    """A fleet at work as long as the context lasts."""
    fleet = Fleet(servers, database, bus, data)
    fleet.parts["gateway"].start()  # it migrates; the others would wait for it
    try:
        await fleet.ready()
        for part in list(fleet.parts.values())[1:]:
            part.start()
        keeper = asyncio.create_task(fleet.supervise())
        try:
            yield fleet
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
    finally:
        for part in fleet.parts.values():
            if part.process:
                part.process.terminate()
        for part in fleet.parts.values():
            part.stop()


@asynccontextmanager
async def connected(database: str) -> AsyncIterator[asyncpg.Pool]:
    """A few connections for the test itself."""
    async with asyncpg.create_pool(database, min_size=1, max_size=4) as pool:
        yield pool
