"""What operators do now and then: migrate, rebuild, reset, look at the settings."""

import importlib
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import typer
from pydantic import SecretStr
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from domain.errors import Code, Refused
from infra.runtime import opened
from infra.seal import public, signing_key
from infra.settings import Settings
from infra.system import System
from infra.verify import verify

PASSWORD = re.compile(r"(://[^:/@]*:).*@")  # in a URL


async def migrated(system: System, settings: Settings) -> list[str]:
    """Open the database, which migrates it; the names of what was done."""
    async with opened(system, settings) as runtime:
        return list(runtime.migrated)


def tell_migrated(done: list[str], as_json: bool) -> None:
    """Say what was done to the database."""
    if as_json:
        typer.echo(json.dumps({"migrated": done}))
        return
    for name in done:
        typer.echo(f"migrated: {name}")
    typer.echo("the database is what this release expects")


async def rebuilt(system: System, settings: Settings, view: str, as_json: bool) -> None:
    """Rebuild one view, with a progress bar."""
    from infra.rebuild import rebuild

    events = 0

    def look(done: int, total: int) -> None:
        nonlocal events
        events = done
        progress.update(bar, completed=done, total=total)

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"rebuilding {view}", total=None)
        async with opened(system, settings, beside=True) as runtime:
            await rebuild(runtime, view, look)
    told = {"view": view, "events": events}
    typer.echo(json.dumps(told) if as_json else f"view {view} was filled anew from {events} events, and is live")


async def verified(system: System, settings: Settings, vo: str, former: Sequence[str], as_json: bool) -> int:
    """Walk the log against its seals and tell what was found; 1 when something is wrong, else 0."""
    key = public(signing_key(settings))
    async with opened(system, settings, beside=True) as runtime:
        report = await verify(runtime.store, system.logs, {key, *former}, vo)
    if as_json:
        told = msgspec.to_builtins(report) | {"ok": not report.faults, "key": key}
        typer.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
        return int(bool(report.faults))
    rows = Table("log", "VO", "events", "seals", "unsealed", "up to", "digest", box=None, pad_edge=False)
    for chain in report.chains:
        rows.add_row(*map(str, chain))
    Console().print(rows)
    typer.echo(f"{report.signatures} signatures, by this installation's key {key}")
    for fault in report.faults:
        typer.echo(f"{fault.log}, {fault.vo}: events {fault.first} to {fault.last}: {fault.problem}")
    if report.faults:
        first = report.faults[0]
        raise Refused(Code.LOG_CHANGED, log=first.log, vo=first.vo, first=first.first, last=first.last)
    typer.echo("the log is what was sealed")
    return 0


async def parked(system: System, settings: Settings, consumer: str, stream: str, as_json: bool) -> int:
    """List the parked streams, or handle one again.

    Raises:
        Refused: NOT_FOUND, there is no such stream there; MALFORMED, it is no id of a stream; STILL_BROKEN, the
            consumer fails on it again.
    """
    from infra.parking import retry_parked

    async with opened(system, settings, beside=True) as runtime:
        if not consumer:
            rows = await runtime.pool.fetch("select * from parked order by at desc limit 1000")
            _list([{name: str(value) for name, value in row.items()} for row in rows], as_json)
            return 0
        try:
            handled = await retry_parked(runtime, consumer, UUID(stream))
        except ValueError:
            raise Refused(Code.MALFORMED, problem=f"{stream!r} is no id of a stream") from None
        except Refused:
            raise
        except Exception as fault:
            raise Refused(Code.STILL_BROKEN, consumer=consumer, problem=repr(fault)) from fault
    _list([{"consumer": consumer, "stream": stream, "events": str(handled)}], as_json)
    return 0


def _list(rows: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        typer.echo("nothing is parked")
        return
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)


def reset(settings: Settings, yes: bool, as_json: bool) -> None:
    """Remove the data directory; asks first unless told not to, refuses while it is in use.

    Raises:
        Refused: SETTING, the data are not in this directory but on servers.
    """
    if settings.database:
        raise Refused(Code.SETTING, name="SPINOR_DATABASE", problem="reset only removes an embedded database")
    if not settings.data.exists():
        told = {"data": str(settings.data), "removed": False}
        typer.echo(json.dumps(told) if as_json else f"nothing is kept in {settings.data}")
        return
    if not (settings.data / "postgres").exists():
        raise Refused(Code.SETTING, name="SPINOR_DATA", problem=f"{settings.data} does not look like ours")
    if not yes:
        typer.confirm(f"Remove every job, log and sandbox in {settings.data}?", abort=True, err=as_json)
    from infra.postgres import lock

    held = lock(settings.data / "postgres")
    try:
        shutil.rmtree(settings.data)
    finally:
        os.close(held)
    told = {"data": str(settings.data), "removed": True}
    typer.echo(json.dumps(told) if as_json else f"removed {settings.data}")


def show(settings: Settings, as_json: bool) -> None:
    """Every setting as a row; a secret only says whether it is set."""
    rows = [
        {"variable": f"SPINOR_{name.upper()}", "value": _shown(getattr(settings, name)), "what": field.description}
        for name, field in type(settings).model_fields.items()
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table("variable", "value", "what it is", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else "(not set)"
    return PASSWORD.sub(r"\1…@", str(value))


def load(name: str) -> System:
    """A system by `module:name`; the module is installed, or in the directory the command is given in.

    Raises:
        Refused: SETTING, it cannot be imported or is none.
    """
    module, _, attribute = name.partition(":")
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # last: nothing here may stand in for a module of ours
    try:
        found = getattr(importlib.import_module(module), attribute or "system")
    except (ImportError, AttributeError) as fault:
        raise Refused(Code.SETTING, name="--system", problem=f"{name}: {fault}") from None
    if not isinstance(found, System):
        raise Refused(Code.SETTING, name="--system", problem=f"{name} is not a System")
    return found
