"""What operators ask and say about a database that came back in an earlier state."""

import json
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from infra import epoch
from infra.runtime import opened
from infra.settings import Settings
from infra.system import System
from infra.witness import Witness

COLUMNS = ("epoch", "what", "name", "first", "last", "since", "until", "vo", "pilot", "received", "found_at")


async def show(system: System, settings: Settings, as_json: bool) -> None:
    """List what was lost: ranges of events and job numbers, then what pilots asked about that nobody knew."""
    async with opened(system, settings, beside=True) as runtime:
        rows = await epoch.listed(runtime.pool)
    if as_json:
        typer.echo(json.dumps(rows, default=str))
        return
    if not rows:
        typer.echo("nothing was ever lost")
        return
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_shown(row[name]) for name in COLUMNS))
    Console().print(table)


async def declare(system: System, settings: Settings, as_json: bool = False) -> None:
    """Begin a new epoch by hand."""
    async with opened(system, settings, beside=True) as runtime:
        witness = Witness(settings.data, settings.bus)
        try:
            begun = await epoch.restored(runtime.pool, system, witness)
        finally:
            await witness.close()
    if as_json:
        typer.echo(json.dumps({"epoch": begun}))
        return
    typer.echo(f"epoch {begun} has begun; spinor lost shows what the witness missed")


def _shown(value: Any) -> str:
    return "" if value is None else str(value)
