"""`spinor pilot`: one pilot on this machine, as a site would start it: announced over HTTP, then on its own."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.session import connected, credentials
from pilot.build import build

Tags = Annotated[str, typer.Option(help="what this machine offers besides, comma separated")]


def run(
    context: typer.Context,
    site: Annotated[str, typer.Option(help="name of the site")] = "Laptop",
    ce: Annotated[str, typer.Option(help="name of the computing element")] = "localhost",
    tags: Tags = "",
    processors: Annotated[int | None, typer.Option(min=1, help="default: all this process may use")] = None,
    memory_mb: Annotated[int | None, typer.Option(min=1, help="default: all this process may use")] = None,
    idle_exit: Annotated[float, typer.Option(help="seconds without a job after which it ends")] = 600.0,
    max_jobs: Annotated[int, typer.Option(min=0, help="end after so many jobs; 0: no limit")] = 0,
    work_dir: Annotated[Path | None, typer.Option(help="where its jobs run; default: a directory of its own")] = None,
) -> None:
    """Run a pilot on this machine, or look at the pilots there are.

    Without a command, a pilot is announced to the gateway and started here; it ends when it was idle for long enough.
    """
    if context.invoked_subcommand:
        return
    with connected() as session:
        announced = session.post("/api/v1/pilots", {"site": site, "ce": ce})
    asked = {"--processors": processors, "--memory-mb": memory_mb, "--tags": tags or None}
    more = [str(word) for name, value in asked.items() if value is not None for word in (name, value)]
    with tempfile.TemporaryDirectory(prefix="spinor-pilot-") as folder:
        command = [
            sys.executable, build(str(Path(folder) / "pilot.pyz")), "--url", credentials()[0], "--vo",
            announced["vo"], "--stamp", announced["pilot"], "--site", site, "--ce", ce, "--idle-exit", str(idle_exit),
            "--max-jobs", str(max_jobs), "--work-dir", str(work_dir or folder), *more,
        ]  # fmt: skip
        raise typer.Exit(_wait(command, announced["secret"]))


def _wait(command: list[str], secret: str) -> int:
    """Run the pilot; a signal to us is one to it, and its end is ours."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPINOR_")}
    with subprocess.Popen(command, env=environment | {"SPINOR_PILOT_SECRET": secret}) as process:
        _pass_on(process)
        return process.wait()


def _pass_on(process: subprocess.Popen[bytes]) -> None:

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, _: process.send_signal(signal.SIGTERM))
