"""What the configuration costs: the answer to who has it already, and a large one read, changed and asked."""

import asyncio
import time
from typing import Any
from uuid import UUID

import httpx
from report import Row
from stage import Stage, bench, seconds

from domain.configuration import STREAM, ChangeConfiguration, Installation
from domain.messages import Origin, Recorded
from domain.schema import read
from gateway.contract_config import rendered
from infra.bus.messages import now

AT_ONCE = 16  # connections
VOS, GROUPS, USERS = 20, 50, 10_000


@bench("config-304")
async def unchanged(stage: Stage) -> list[Row]:
    """GET /api/config/ by who has the newest revision: rate, and CPU of the gateway's process."""
    total = 2000 if stage.quick else 8000
    async with stage.site(await stage.database()) as site:
        first = await site.client.get("/api/config/")
        headers = {"If-None-Match": first.headers["etag"], "Authorization": site.client.headers["Authorization"]}
        gateway = site.processes[-1]
        rates, costs = [], []
        for _ in range(3):
            before, start = seconds([gateway]), time.perf_counter()
            await _asked(site.url, headers, total)
            rates.append(total / (time.perf_counter() - start))
            costs.append(1000 * (seconds([gateway]) - before) / total)
    return [Row("config-304", rates, "requests/s"), Row("config-304 CPU of the gateway", costs, "ms a request")]


async def _asked(url: str, headers: dict[str, str], total: int) -> None:
    """Bare HTTP over a few connections: a client library would cost more than the server."""
    host, port = httpx.URL(url).host, httpx.URL(url).port
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET /api/config/ HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode()

    async def one(count: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for _ in range(count):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 304"):
                raise RuntimeError(head.decode())
        writer.close()

    await asyncio.gather(*(one(total // AT_ONCE) for _ in range(AT_ONCE)))


@bench("config-large")
async def large(stage: Stage) -> list[Row]:
    """10 000 users in 20 VOs with 50 groups each: read whole, changed through all checks, answered."""
    state = Installation().evolve(_event(Installation.Changed(1, document()), 1))
    reading, changing, asking, groups = [], [], [], []
    for number in range(3 if stage.quick else 7):
        start = time.perf_counter()
        found = read(state.document)
        reading.append(1000 * (time.perf_counter() - start))
        command = ChangeConfiguration(1, {"/registry/vo3/groups/g7/job_share": number + 1})
        origin = Origin("user:x", "vo0", now(), rights=frozenset({"CSAdministrator"}))
        start = time.perf_counter()
        (changed,) = state.decide(command, origin)
        changing.append(1000 * (time.perf_counter() - start))
        after = read(state.evolve(_event(changed, 2)).document, 2, found)
        start = time.perf_counter()
        rendered(after, "vo3")
        asking.append(1000 * (time.perf_counter() - start))
        start = time.perf_counter()
        vo = after.vo("vo3")
        assert vo
        sum(len(vo.registry.users[sub].groups) for sub in vo.registry.users)
        groups.append(1e6 * (time.perf_counter() - start) / len(vo.registry.users))
    return [
        Row("config-large read", reading, "ms"), Row("config-large change, first and later", changing, "ms"),
        Row("config-large first answer of a VO", asking, "ms"), Row("config-large groups of a user", groups, "µs"),
    ]  # fmt: skip


def document() -> dict[str, Any]:
    """Registry and little else: 20 VOs, 50 groups in each, 10 000 users in every one of a VO's groups of their own."""
    registry = {}
    for number in range(VOS):
        groups = {f"g{group}": {"properties": ["NormalUser", "CSAdministrator"]} for group in range(GROUPS)}
        users = {
            f"{number:02}-{user:05}": {"preferred_username": f"u{user}", "groups": sorted(groups)}
            for user in range(USERS // VOS)
        }
        registry[f"vo{number}"] = {"default_group": "g0", "groups": groups, "users": users}
    return {"/registry": registry, "/systems": {"administrators": ["vo0"]}}


def _event(event: Installation.Changed, version: int) -> Recorded[Any]:
    return Recorded(version, STREAM, version, event, UUID(int=version), None, None, "user:x", "vo0", now())
