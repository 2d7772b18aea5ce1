"""The whole system over a fresh database, its gateway on a real port, and the people and pilots that use it."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from domain.schema import read
from domain.values import subject
from gateway.app import ROUTERS
from gateway.ports import Principal
from infra.app import CORE
from infra.migrate import migrate
from infra.serve import Running, running
from infra.settings import settings
from infra.system import System
from infra.world import RuntimeWorld

VO = "lhcb"
ALL = frozenset({"NormalUser", "JobAdministrator", "Operator"})
SYSTEM = CORE if CORE.routers else CORE | System(routers=ROUTERS)
Json = dict[str, Any]
JOB = {"executable": "/bin/true", "name": "one"}


@dataclass
class Site:
    """The running system, and one HTTP client for whoever is named."""

    work: Running
    stack: AsyncExitStack
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    @property
    def world(self) -> RuntimeWorld:
        assert self.work.world
        return self.work.world

    async def client(self, token: str = "") -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = httpx.AsyncClient(base_url=self.work.url, headers=headers, timeout=60)
        return await self.stack.enter_async_context(client)

    async def user(self, name: str, *rights: str, vo: str = VO, group: str = "lhcb_user") -> httpx.AsyncClient:
        who = Principal("user", subject(vo, "test", name), vo, name, group, frozenset(rights or {"NormalUser"}))
        return await self.client(self.world.issue(who, 600))

    async def pilot(self, stamp: str = "p1", vo: str = VO, process: str = "", secret: str = "", **said: Any) -> "Pilot":
        """A pilot that was announced, proved itself and said hello."""
        if not secret:
            boss = await self.user("boss", *ALL, vo=vo)
            announced = await boss.post("/api/v1/pilots", json={"stamp": stamp, "site": said.pop("announced", "")})
            secret = announced.json()["secret"]
        claim = {"vo": vo, "stamp": stamp, "secret": secret, "incarnation": process or str(uuid4())}
        answer = await (await self.client()).post("/api/v1/pilot/token", json=claim)
        assert answer.status_code == 200, answer.text
        pilot = Pilot(await self.client(answer.json()["access_token"]), stamp, claim)
        node = {"hostname": "n1", "platform": "Linux", "processors": 2, "memory_mb": 4000}
        await pilot.call("hello", {"site": "LCG.CERN.cern", "ce": "ce1", "version": "1", "node": node} | said)
        return pilot


@dataclass
class Pilot:
    """One pilot process, as the gateway sees it."""

    client: httpx.AsyncClient
    stamp: str
    claim: Json

    async def post(self, name: str, body: Json) -> httpx.Response:
        return await self.client.post(f"/api/v1/pilot/{name}", json=body)

    async def call(self, name: str, body: Json) -> Json:
        answer = await self.post(name, body)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def offer(self, wait: float = 20, **more: Any) -> Any:
        body = {"offer": str(uuid4()), "processors": 2, "memory_mb": 4000, "cpu_seconds": 100_000, "wait": wait}
        return (await self.call("offer", body | more))["match"]

    async def report(self, job: int, kind: str, seq: int, attempt: int = 1, **more: Any) -> Json:
        report = {"job": job, "attempt": attempt, "seq": seq, "at": "2026-01-02T03:04:05+00:00", "kind": kind}
        answer = await self.call("reports", {"reports": [report | more], "alive": []})
        (result,) = answer["results"]
        return dict(result)


async def with_few_partitions(database: str) -> str:
    """A database whose consumers have four queues each on a broker: sixteen take seconds to be declared."""
    pool = await asyncpg.create_pool(database, min_size=1, max_size=1)
    await migrate(pool, CORE)
    await pool.execute("update installation set partitions = 4")
    await pool.close()
    return database


@pytest.fixture
async def site(database: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        given = settings(database=database, data=tmp_path, port=0, vo=VO, secret="s" * 40)
        yield Site(await stack.enter_async_context(running(SYSTEM, given)), stack)


async def limited(site: Site, **limits: Any) -> None:
    """The configuration of the VO gets limits of a site, in force with the next look."""
    configurations = site.work.runtime.configuration
    document = {**configurations.builtin, "operations": {VO: {"job_scheduling": {"sites": {"LCG.CERN.cern": limits}}}}}
    configurations.current = read(document, configurations.revision)
    changed, configurations.changed = configurations.changed, asyncio.Event()
    changed.set()
    await asyncio.sleep(0)


async def submitted(client: httpx.AsyncClient, *jobs: Json) -> list[int]:
    """The numbers of these jobs, newly submitted."""
    answer = await client.post("/api/v1/jobs", json={"jobs": list(jobs) or [JOB]})
    assert answer.status_code == 201, answer.text
    return [each["job"] for each in answer.json()["jobs"]]


async def stored(client: httpx.AsyncClient, data: bytes, route: str = "/api/jobs/sandbox", **more: Any) -> str:
    """The pfn of an uploaded sandbox."""
    digest = hashlib.sha256(data).hexdigest()
    announced = {"checksum_algorithm": "sha256", "checksum": digest, "size": len(data), "format": "tar.bz2"}
    place = (await client.post(route, json=announced | more)).json()
    if place["url"]:
        async with httpx.AsyncClient() as anybody:
            answer = await anybody.post(place["url"], data=place["fields"], files={"file": ("file", data)})
            assert answer.status_code == 204, answer.text
    return str(place["pfn"])


def refusal(answer: httpx.Response, status: int, code: str) -> Json:
    """The problem in an answer, which must be of this status and code, in the one form that refusals have."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    found: Json = answer.json()
    assert (answer.status_code, found["status"], found["code"]) == (status, status, code), found
    assert found["type"] == f"urn:spinor:{code}"
    assert found["detail"]
    assert not re.search(r"\{[a-z_]+\}", found["detail"]), found
    assert found["who"] in ("user", "site", "operator", "nobody")
    assert found["next"]
    return found
