"""The command `spinor`: what operators run, with the commands of users beside it."""

import sys
from importlib import metadata
from typing import Annotated

import typer

from domain.errors import Refused
from gateway.cli.ids import Json
from gateway.cli.main import application, fail, unexpected
from infra import key_commands, operate, parts, pilot_here
from infra.process import Bus, Data, Database, Host, Port, chosen, configured, run, system

app = application()
for group in app.registered_groups:
    if group.name == "pilot" and group.typer_instance:
        group.typer_instance.callback(invoke_without_command=True, no_args_is_help=False)(pilot_here.run)
parts.add(app)
operate.add(app)
key_commands.add(app)


@app.command()
def up(  # the laptop, and the smallest server
    database: Database = None, bus: Bus = None, data: Data = None, host: Host = None, port: Port = None,
    pilots: Annotated[int, typer.Option(min=0, max=16, help="pilots to run on this machine")] = 1,
    json: Json = False,
) -> None:  # fmt: skip
    """Run everything in one process, until Ctrl-C.

    With --json: where it is, as one object, as soon as it runs.

    \b
    Example: spinor up
             spinor up --data /scratch/spinor --port 0 --pilots 2
    """
    from infra.laptop import stay_up

    run(stay_up(system(), configured(database=database, bus=bus, data=data, host=host, port=port), pilots))


@app.command()
def demo(data: Data = None, port: Port = None, json: Json = False) -> None:
    """Run a small, real production of Z → µ⁺µ⁻, and explain it.

    With --json: the numbers of its jobs and the fit on stdout, the story on stderr.

    \b
    Example: spinor demo
             spinor demo --data /tmp/spinor
    """
    from infra.demo.show import show

    run(show(system(), configured(data=data, port=port if port is not None else 0)))


def main() -> None:
    """The console script. A refusal is said in a sentence with what to do next, never as a traceback."""
    try:
        app(standalone_mode=True)
    except Refused as refusal:
        fail(refusal)
    except Exception as fault:  # whatever it is, its user gets a sentence and its programmer a file
        fail(unexpected(fault))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spinor {metadata.version('spinor')}, Python {sys.version.split()[0]}")
        raise typer.Exit


@app.callback()
def _common(
    name: Annotated[
        str, typer.Option("--system", help="module:name of a system, for communities with parts of their own")
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Spinor, the event-sourced interware."""
    chosen[0] = name
