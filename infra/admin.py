"""What operators do now and then: migrate, rebuild, reset, look at the settings."""

import importlib
import os
import shutil
from typing import Any

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from domain.errors import Code, Refused
from infra.runtime import opened
from infra.settings import Settings
from infra.system import System


async def migrated(system: System, settings: Settings) -> list[str]:
    """Open the database, which migrates it; the names of what was done."""
    async with opened(system, settings) as runtime:
        return list(runtime.migrated)


async def rebuilt(system: System, settings: Settings, view: str) -> None:
    """Rebuild one view, with a progress bar."""
    from infra.rebuild import rebuild

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"rebuilding {view}", total=None)
        async with opened(system, settings) as runtime:
            await rebuild(runtime, view, lambda done, total: progress.update(bar, completed=done, total=total))


def reset(settings: Settings, yes: bool) -> None:
    """Remove the data directory; asks first unless told not to, refuses while it is in use.

    Raises:
        Refused: SETTING, the data are not in this directory but on servers.
    """
    if settings.database:
        raise Refused(Code.SETTING, name="SPINOR_DATABASE", problem="reset only removes an embedded database")
    if not settings.data.exists():
        typer.echo(f"nothing is kept in {settings.data}")
        return
    if not (settings.data / "postgres").exists():
        raise Refused(Code.SETTING, name="SPINOR_DATA", problem=f"{settings.data} does not look like ours")
    if not yes:
        typer.confirm(f"Remove every job, log and sandbox in {settings.data}?", abort=True)
    from infra.postgres import lock

    held = lock(settings.data / "postgres")
    try:
        shutil.rmtree(settings.data)
    finally:
        os.close(held)
    typer.echo(f"removed {settings.data}")


def show(settings: Settings) -> None:
    """Every setting as a row; a secret only says whether it is set."""
    rows = Table("variable", "value", "what it is", box=None, pad_edge=False)
    for name, field in type(settings).model_fields.items():
        rows.add_row(f"SPINOR_{name.upper()}", _shown(getattr(settings, name)), field.description or "")
    Console().print(rows)


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else "(not set)"
    return str(value)


def load(name: str) -> System:
    """A system by `module:name`.

    Raises:
        Refused: SETTING, it cannot be imported or is none.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute or "system")
    except (ImportError, AttributeError) as fault:
        raise Refused(Code.SETTING, name="--system", problem=f"{name}: {fault}") from None
    if not isinstance(found, System):
        raise Refused(Code.SETTING, name="--system", problem=f"{name} is not a System")
    return found
