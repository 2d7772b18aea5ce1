"""What works, what is missing, and how to mend it: each check is one function that gives one finding."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from functools import partial
from importlib.metadata import packages_distributions
from typing import NamedTuple

import asyncpg
import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.errors import Refused
from domain.schema import read
from infra.bus.rabbit import RabbitBus
from infra.configuration import examined
from infra.postgres_host import Host, wheel_programs
from infra.settings import Settings, reason
from infra.system import System
from infra.web import listen, loopback

ROOM = 2 << 30  # bytes
LEAST = 256 << 20  # bytes: PostgreSQL stops when its log cannot grow
OURS = ("domain", "handlers", "projections", "gateway", "pilot", "infra")


class Verdict(StrEnum):
    """How a check ended."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


class Finding(NamedTuple):
    """One check: what was looked at, how it is, and what to do."""

    check: str
    verdict: Verdict
    what: str
    next: str = ""


async def examine(system: System, settings: Settings, as_json: bool) -> int:
    """Run every check; 0 when nothing is bad, else 1."""
    checks: list[Callable[[Settings], Awaitable[Finding]]] = [
        _python, _packages, _data, _room, _database, _bus, _port, _objects,
    ]  # fmt: skip
    findings = [_whole(system)]
    checks.append(partial(_configuration, system))
    for check in checks:
        try:
            findings.append(await check(settings))
        except Refused as refusal:
            name = getattr(check, "__name__", "_configuration").strip("_")
            findings.append(Finding(name, Verdict.BAD, refusal.what, refusal.next))
    _show(findings, as_json)
    return int(any(finding.verdict is Verdict.BAD for finding in findings))


def _show(findings: list[Finding], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([finding._asdict() for finding in findings]) + "\n")
        return
    table = Table("", "check", "what", "what to do", box=None, pad_edge=False)
    marks = {Verdict.GOOD: ("✔", "green"), Verdict.WARN: ("!", "yellow"), Verdict.BAD: ("✘", "red")}
    for finding in findings:
        mark, style = marks[finding.verdict]
        table.add_row(Text(mark, style), finding.check, Text(finding.what), Text(finding.next))
    Console().print(table)


def _whole(system: System) -> Finding:
    try:
        system.check()
    except Refused as refusal:
        return Finding("system", Verdict.BAD, refusal.what, refusal.next)
    count = f"{len(system.events)} events, {len(system.commands)} commands, {len(system.projections)} views"
    return Finding("system", Verdict.GOOD, count)


async def _python(settings: Settings) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", Verdict.GOOD if sys.version_info >= (3, 11) else Verdict.BAD, version, "")


async def _packages(settings: Settings) -> Finding:
    owners = packages_distributions()
    strangers = {name: owners.get(name, []) for name in OURS if set(owners.get(name, ["spinor"])) != {"spinor"}}
    if strangers:
        names = ", ".join(f"{name} ({', '.join(found)})" for name, found in strangers.items())
        return Finding("packages", Verdict.BAD, f"others own {names}", "install spinor in an environment of its own")
    return Finding("packages", Verdict.GOOD, "nobody else owns our import names")


async def _data(settings: Settings) -> Finding:
    host = await asyncio.to_thread(Host.look)
    if kind := host.network_filesystem(settings.data):
        advice = "set SPINOR_DATA to a directory on a local disk, or SPINOR_DATABASE to a server"
        return Finding("data", Verdict.BAD, f"{settings.data} lies on {kind}", advice)
    parent = next(path for path in (settings.data, *settings.data.parents) if path.exists())
    if not os.access(parent, os.W_OK):
        return Finding("data", Verdict.BAD, f"{parent} cannot be written", "set SPINOR_DATA to another directory")
    return Finding("data", Verdict.GOOD, str(settings.data))


async def _room(settings: Settings) -> Finding:
    parent = next(path for path in (settings.data, *settings.data.parents) if path.exists())
    free = shutil.disk_usage(parent).free
    verdict = Verdict.GOOD if free > ROOM else Verdict.WARN if free > LEAST else Verdict.BAD
    return Finding(
        "room", verdict, f"{free / (1 << 30):.1f} GiB free", "" if free > ROOM else "make room, or set SPINOR_DATA"
    )


async def _database(settings: Settings) -> Finding:
    if not settings.database:
        programs = await asyncio.to_thread(wheel_programs)
        return Finding("database", Verdict.GOOD, f"embedded PostgreSQL from {programs}")
    try:
        connection = await asyncpg.connect(settings.database, timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as fault:
        return Finding("database", Verdict.BAD, reason(fault), "start the server, or mend SPINOR_DATABASE")
    try:
        version = await connection.fetchval("show server_version")
        return Finding("database", Verdict.GOOD, f"PostgreSQL {version}")
    finally:
        await connection.close()


async def _configuration(system: System, settings: Settings) -> Finding:
    note = settings.data / "postgres.url"
    url = settings.database or (note.read_text() if note.exists() else "")
    try:
        found = await examined(system, url) if url else read({})
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError):
        return Finding("configuration", Verdict.GOOD, "its database is not up", "spinor up, then spinor config health")
    if found.problems:
        first, more = found.problems[0], f" and {len(found.problems) - 1} more" if len(found.problems) > 1 else ""
        advice = "correct it, or spinor config rollback; other VOs work on"
        return Finding("configuration", Verdict.BAD, f"revision {found.revision}: {first}{more}", advice)
    if not found.revision:
        return Finding("configuration", Verdict.GOOD, f"built in, for the VO {settings.vo}", "spinor init")
    return Finding("configuration", Verdict.GOOD, f"revision {found.revision}, VOs {', '.join(found.vos)}")


async def _bus(settings: Settings) -> Finding:
    if not settings.bus:
        return Finding("bus", Verdict.GOOD, "inside the process")
    bus = RabbitBus(settings.bus, _nobody)
    try:
        health = await bus.health()
    finally:
        await bus.close()
    if health.up:
        return Finding("bus", Verdict.GOOD, health.kind)
    return Finding("bus", Verdict.BAD, reason(health.detail), "start RabbitMQ, or mend SPINOR_BUS")


async def _port(settings: Settings) -> Finding:
    try:
        listener, url = listen(settings)
    except Refused as refusal:
        if url := await _answers(settings):
            return Finding("gateway", Verdict.GOOD, f"Spinor answers at {url}")
        raise refusal from None
    listener.close()
    return Finding("gateway", Verdict.GOOD, f"{url} is free" + ("" if loopback(settings.host) else ", for everybody"))


async def _answers(settings: Settings) -> str:
    """The URL at which a gateway of this kind answers; empty when none does."""
    url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    with suppress(httpx.HTTPError, ValueError):
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            if (await client.get(f"{url}/api/v1/health/live")).json() == {"ok": True}:
                return url
    return ""


async def _objects(settings: Settings) -> Finding:
    if not settings.objects:
        return Finding("objects", Verdict.GOOD, f"signed files below {settings.data}")
    return Finding("objects", Verdict.GOOD, settings.objects)


async def _nobody(letter: object) -> None:
    """A doctor buries no letters."""
