"""A server to be measured beside ours, in turns, in the same run. Nothing of it is here; without one ours stands alone.

`SPINOR_BENCH_PEER="URL TOKENS PID …"`: the address of a running server of DiracX's interface, a JSON file with `user`
(an access token) and `refresh` (refresh tokens, a connection each), and the processes whose CPU time counts.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import psutil
from report import Row
from stage import seconds

PEER = os.environ.pop("SPINOR_BENCH_PEER", "")  # the system refuses settings that it does not know
AT_ONCE = 16  # connections
GOAL = 4.0  # times the rate, and a fourth of the CPU


class Cost(NamedTuple):
    """What one round of requests took."""

    rate: float  # requests a second
    cpu: float  # ms a request


@dataclass
class Target:
    """A server, and who asks it."""

    url: str
    user: str
    refresh: list[str]
    processes: Sequence[psutil.Process]
    etag: str = ""

    async def measured(self, one: "Asking", total: int) -> Cost:
        """So many requests over a few connections."""
        address = urlsplit(self.url)
        connections = [await Connection.to(address.hostname or "", address.port or 80) for _ in range(AT_ONCE)]
        before, start = seconds(self.processes), time.perf_counter()

        async def busy(number: int) -> None:
            for _ in range(total // AT_ONCE):
                await one(self, connections[number], number)

        await asyncio.gather(*(busy(number) for number in range(AT_ONCE)))
        rate = total / (time.perf_counter() - start)
        cpu = 1000 * (seconds(self.processes) - before) / total
        for connection in connections:
            connection.writer.close()
        return Cost(rate, cpu)


class Connection:
    """Bare HTTP: a client library would cost more than the servers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self.reader, self.writer, self.host = reader, writer, host

    @classmethod
    async def to(cls, host: str, port: int) -> "Connection":
        return cls(*await asyncio.open_connection(host, port), f"{host}:{port}")

    async def ask(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes, str]:
        """Status, body and ETag of the answer."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\n{lines}{length}\r\n".encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        said = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        content = await self.reader.readexactly(int(said.get("content-length", 0)))
        return int(head[0].split()[1]), content, said.get("etag", "")


Asking = Callable[[Target, Connection, int], Awaitable[None]]


async def userinfo(target: Target, connection: Connection, number: int) -> None:
    """GET /api/auth/userinfo."""
    _right(200, await connection.ask("GET", "/api/auth/userinfo", _bearer(target)))


async def unchanged(target: Target, connection: Connection, number: int) -> None:
    """GET /api/config/ by who has the newest."""
    if not target.etag:
        target.etag = _right(200, await connection.ask("GET", "/api/config/", _bearer(target)))[2]
    _right(304, await connection.ask("GET", "/api/config/", _bearer(target) | {"If-None-Match": target.etag}))


async def refresh(target: Target, connection: Connection, number: int) -> None:
    """POST /api/auth/token with the newest refresh token of this connection's session."""
    form = {"grant_type": "refresh_token", "client_id": "myDIRACClientID", "refresh_token": target.refresh[number]}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = _right(200, await connection.ask("POST", "/api/auth/token", kind, urlencode(form).encode()))
    target.refresh[number] = json.loads(answer[1])["refresh_token"]


def given() -> Target | None:
    """The peer that the environment names."""
    url, *rest = PEER.split() or [""]
    if not url:
        return None
    tokens = json.loads(Path(rest[0]).read_text())
    return Target(url, tokens["user"], list(tokens["refresh"]), [psutil.Process(int(pid)) for pid in rest[1:]])


async def compared(name: str, one: Asking, ours: Target, total: int, rounds: int) -> list[Row]:
    """Rate and CPU of both, in turns whose order changes."""
    both = [ours, *([found] if (found := given()) else [])]
    costs: list[list[Cost]] = [[] for _ in both]
    for turn in range(rounds + 1):  # the first one warms up
        for place in sorted(range(len(both)), reverse=bool(turn % 2)):
            cost = await both[place].measured(one, total)
            if turn:
                costs[place].append(cost)
    mine, theirs = costs[0], costs[1] if len(both) > 1 else []
    goal = GOAL if theirs else 0.0
    return [
        Row(name, [each.rate for each in mine], "requests/s", [each.rate for each in theirs], goal, of_ratio=True),
        Row(f"{name} CPU, servers too", [each.cpu for each in mine], "ms a request", [each.cpu for each in theirs],
            1 / goal if goal else 0.0, of_ratio=True, at_most=True),
    ]  # fmt: skip


def _bearer(target: Target) -> dict[str, str]:
    return {"Authorization": f"Bearer {target.user}"}


def _right(status: int, answer: tuple[int, bytes, str]) -> tuple[int, bytes, str]:
    if answer[0] != status:
        raise RuntimeError(f"{answer[0]} in place of {status}: {answer[1][:300]!r}")
    return answer
