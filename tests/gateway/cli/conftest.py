"""A whole system in this process, and the command line that speaks to it."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from servers import PostgreSQL
from typer.testing import CliRunner, Result

from domain.values import subject
from gateway.cli.archive import pack
from gateway.cli.main import application
from gateway.ports import Principal
from infra.app import CORE
from infra.serve import Running, running
from infra.settings import Settings

Spinor = Callable[..., Result]
ALICE = Principal("user", subject("demo", "test", "alice"), "demo", "alice", "users", frozenset({"NormalUser"}))
ROOT = Principal("user", subject("demo", "test", "root"), "demo", "root", "ops",
                 frozenset({"NormalUser", "JobAdministrator", "Operator"}))  # fmt: skip


class Site:
    """A gateway at work in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.work: Running | None = None
        self._settings = settings
        self._ready, self._end = threading.Event(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    async def _run(self) -> None:
        try:
            async with running(CORE, self._settings) as self.work:
                self._ready.set()
                await self._end.wait()
        finally:
            self._ready.set()

    def start(self) -> "Site":
        self._thread.start()
        self._ready.wait()
        assert self.work is not None and self.work.url
        for _ in range(100):
            try:
                httpx.get(f"{self.url}/api/v1/health/live")
                break
            except httpx.TransportError:
                continue
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        assert self.work is not None
        return self.work.url

    def token(self, who: Principal) -> str:
        assert self.work is not None and self.work.world is not None
        return self.work.world.issue(who, 3600)

    @property
    def token_of_alice(self) -> str:
        return self.token(ALICE)

    def pilot(self, stamp: str = "p1") -> "Pilot":
        """A pilot that was announced, proved itself and said hello."""
        with httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token(ROOT)}"}) as boss:
            secret = boss.post("/api/v1/pilots", json={"stamp": stamp, "site": "LCG.CERN.cern"}).json()["secret"]
            claim = {"vo": "demo", "stamp": stamp, "secret": secret, "incarnation": str(uuid4())}
            token = boss.post("/api/v1/pilot/token", json=claim).json()["access_token"]
        return Pilot(self.url, token)


class Pilot:
    """One pilot process, as the gateway sees it; it does the work of no job, it only says so."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._headers = url, {"Authorization": f"Bearer {token}"}
        node = {"hostname": "n1", "platform": "Linux", "processors": 1, "memory_mb": 4000}
        self.call("hello", {"site": "LCG.CERN.cern", "ce": "ce1", "version": "1", "node": node})

    def call(self, name: str, body: dict[str, Any]) -> Any:
        answer = httpx.post(f"{self._url}/api/v1/pilot/{name}", json=body, headers=self._headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run(self, files: Mapping[str, str] | None = None, exit_code: int = 0, folder: Path = Path()) -> int:
        """Take a job and end it, with these files as its output; its number."""
        offer = {"offer": str(uuid4()), "processors": 1, "memory_mb": 4000, "cpu_seconds": 500_000, "wait": 20}
        match = self.call("offer", offer)["match"]
        assert match
        ids = {"job": match["job"], "attempt": match["attempt"], "at": "2026-01-02T03:04:05+00:00"}
        output = self._stored(ids, files, folder) if files else None
        end = {"kind": "failed", "code": "exit-code"} if exit_code else {"kind": "done"}
        self._report(ids | {"seq": 1, "kind": "started", "host": "n1", "pid": 1})
        self._report(ids | {"seq": 2, "exit_code": exit_code, "output": output} | end)
        return int(match["job"])

    def _report(self, report: dict[str, Any]) -> None:
        (result,) = self.call("reports", {"reports": [report], "alive": []})["results"]
        assert result["ok"], result

    def _stored(self, ids: dict[str, Any], files: Mapping[str, str], folder: Path) -> str:
        paths = [folder / name for name in files]
        for path in paths:
            path.write_text(files[path.name])
        packed = pack(paths)
        announced = {"checksum_algorithm": "sha256", "checksum": packed.sha256, "size": packed.size}
        place = self.call("sandbox", ids | announced | {"format": "tar.bz2"})
        if place["url"]:
            with packed.path.open("rb") as file:
                assert httpx.post(place["url"], data=place["fields"], files={"file": file}).is_success
        packed.path.unlink()
        return str(place["pfn"])


@pytest.fixture(scope="module")
def site(postgres_server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A system with a database of its own, shared by the tests of one file."""
    if not postgres_server.alive:
        postgres_server.start()
    name = f"cli_{uuid4().hex[:12]}"
    postgres_server.sql(f"CREATE DATABASE {name}")
    data = tmp_path_factory.mktemp("data")
    found = Site(Settings(database=postgres_server.database(name), data=data, port=0)).start()
    yield found
    found.stop()
    postgres_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Spinor:
    """Runs commands that know of no gateway."""
    for name in ("SPINOR_URL", "SPINOR_TOKEN", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPINOR_DATA", str(tmp_path / "no-data"))
    monkeypatch.chdir(tmp_path)

    def run(*args: object, input: str | None = None, **environment: str) -> Result:
        return CliRunner().invoke(application(), [str(arg) for arg in args], input=input, env=environment)

    return run


@pytest.fixture
def spinor(site: Site, alone: Spinor, monkeypatch: pytest.MonkeyPatch) -> Spinor:
    """Runs commands as Alice."""
    monkeypatch.setenv("SPINOR_URL", site.url)
    monkeypatch.setenv("SPINOR_TOKEN", site.token(ALICE))
    return alone


@pytest.fixture
def operator(site: Site) -> dict[str, str]:
    """What makes a command run as an operator."""
    return {"SPINOR_TOKEN": site.token(ROOT)}
