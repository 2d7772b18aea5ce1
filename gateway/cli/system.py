"""`status`, `whoami`, `login`: how the system is, and as whom the commands speak to it."""

from typing import Any

import typer

from gateway.cli.ids import Json
from gateway.cli.output import Column, as_json, facts, out, table
from gateway.cli.session import connected
from gateway.cli.text import ago

CONSUMERS = (
    Column("consumer"),
    Column("waiting", "lag"),
    Column("log", rank=1),
    Column("position", rank=2),
    Column("duplicates", rank=4),
    Column("gaps", rank=3),
    Column("at", "moved", rank=5, show=ago),
)


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    for command in (status,):
        app.command()(command)


def status(json: Json = False) -> None:
    """Show how the system is.

    Bus, database, consumers and their lag, timers, dead letters.

    \b
    Example: spinor status
    """
    with connected() as session:
        answer = session.get("/api/v1/status")
    if json:
        as_json(answer)
        return
    bus, logs, consumers = answer.pop("bus", {}), answer.pop("logs", {}), answer.pop("consumers", [])
    configuration = _configuration(answer.pop("configuration", {}))
    facts({"gateway": session.url, "bus": _bus(bus), "configuration": configuration} | answer)
    out("")
    table([{"log": name} | log for name, log in logs.items()],
          [Column("log"), Column("position"), Column("at", "last event", show=ago)])  # fmt: skip
    out("")
    table(consumers, CONSUMERS)


def _configuration(found: dict[str, Any]) -> str:
    """The configuration in words; what is broken says who shows more."""
    if not found:
        return ""
    said = f"revision {found['revision']}, {found['vos']} VOs" if found["revision"] else "built in, one VO"
    broken = f", {found['broken']} BROKEN: spinor config health" if found["broken"] else ""
    return said + broken + (f", NOT UNDERSTOOD: {found['fault']}" if found.get("fault") else "")


def _bus(bus: dict[str, Any]) -> str:
    state = "up" if bus.get("up") else "DOWN"
    detail = f" ({bus['detail']})" if bus.get("detail") else ""
    waiting = bus.get("waiting") or {}
    counts = ", ".join(f"{count} {name}" for name, count in waiting.items() if count)
    return f"{bus.get('kind', '')} {state}{detail}, waiting: {counts or 'nothing'}"
