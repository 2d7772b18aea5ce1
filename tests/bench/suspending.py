"""Suspending a user with 100 000 waiting jobs: until the token is refused, every job is held, and freed again."""

import time
from pathlib import Path

import httpx
import psutil
from report import Row
from stage import LAYOUT, SECRET, USER, VO, Site, Stage, bench, until
from submitting import parametric

from domain.values import subject
from gateway.ports import Principal
from infra.tokens import Tokens, installation_secret

BOSS = Principal("user", subject(VO, "bench", "boss"), VO, "boss", "ops", frozenset({"Operator"}))
AT_ONCE = 10_000
HELD = "select count(*) from jobs where vo = $1 and held is not null"


@bench("suspend-100k")
async def suspend(stage: Stage) -> list[Row]:
    """Seconds until 100 000 waiting jobs of one user are held, and freed again; MiB that the policies grow by."""
    size = stage.size(100_000)
    async with stage.site(await stage.database(), stage.bus(), LAYOUT) as site:
        for _ in range(size // AT_ONCE):
            body, kind = parametric(AT_ONCE)
            await site.submit(body, kind)
        await until(lambda: _count(site, size, "select count(*) from jobs where vo = $1 and status = 'Waiting'"), 600)
        return await _measured(site, size)


async def _measured(site: Site, size: int) -> list[Row]:
    boss = Tokens(installation_secret(SECRET, Path())).issue(BOSS, 3600)
    policies = site.processes[-1]
    before = _memory(policies)
    async with httpx.AsyncClient(base_url=site.url, headers={"Authorization": f"Bearer {boss}"}, timeout=120) as http:
        held, refused = await _timed(site, http, "", size)
        grown = _memory(policies) - before
        freed, _ = await _timed(site, http, "/resume", 0)
    return [
        Row("suspend: token refused", [refused], "s", goal=60, at_most=True),
        Row(f"suspend: {size} jobs held", [held], "s", goal=60, at_most=True),
        Row(f"suspend: {size} jobs freed", [freed], "s", goal=60, at_most=True),
        Row("suspend: memory of the policies grows", [grown], "MiB"),
    ]


async def _timed(site: Site, http: httpx.AsyncClient, route: str, wanted: int) -> tuple[float, float]:
    """Seconds until so many jobs are held, and until the user's token is refused (or accepted again)."""
    whom = {"kind": "user", "name": USER.subject, "reason": "a stolen laptop"}
    began = time.perf_counter()
    (await http.post(f"/api/v1/suspensions{route}", json=whom)).raise_for_status()

    async def told() -> bool:
        return (await site.client.get("/api/v1/whoami")).is_success is bool(route)

    await until(told)
    changed = time.perf_counter() - began
    await until(lambda: _count(site, wanted, HELD), 600, 0.1)
    return time.perf_counter() - began, changed


async def _count(site: Site, wanted: int, query: str) -> bool:
    return bool(await site.pool.fetchval(query, VO) == wanted)


def _memory(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1024 / 1024
