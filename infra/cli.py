"""The command `spinor`: what operators run, with the commands of users beside it."""

import asyncio
import logging
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from domain.errors import Refused
from gateway.cli.main import application, fail, unexpected
from infra import pilot_here
from infra.settings import Settings, settings

app = application()
for group in app.registered_groups:
    if group.name == "pilot" and group.typer_instance:
        group.typer_instance.callback(invoke_without_command=True, no_args_is_help=False)(pilot_here.run)
Database = Annotated[str | None, typer.Option(help="postgresql://… of a server; default: an embedded one")]
Bus = Annotated[str | None, typer.Option(help="amqp://… of a RabbitMQ; default: the bus inside this process")]
Data = Annotated[Path | None, typer.Option(help="directory of data and logs")]
Host = Annotated[str | None, typer.Option(help="address to listen on")]
Port = Annotated[int | None, typer.Option(help="port to listen on; 0 takes a free one")]
Names = Annotated[list[str] | None, typer.Argument(help="all when none is named")]


@app.command()
def up(  # the laptop, and the smallest server
    database: Database = None,
    bus: Bus = None,
    data: Data = None,
    host: Host = None,
    port: Port = None,
    pilots: Annotated[int, typer.Option(min=0, max=16, help="pilots to run on this machine")] = 1,
) -> None:
    """Run everything in one process, until Ctrl-C."""
    from infra.laptop import stay_up

    _run(stay_up(_system(), _settings(database=database, bus=bus, data=data, host=host, port=port), pilots))


@app.command()
def demo(data: Data = None, port: Port = None) -> None:
    """Run a small, real production of Z → µ⁺µ⁻, explain it, and stop."""
    from infra.demo.show import show

    _run(show(_system(), _settings(data=data, port=port if port is not None else 0)))


@app.command()
def gateway(
    database: Database = None, bus: Bus = None, data: Data = None, host: Host = None, port: Port = None
) -> None:
    """Run the HTTP gateway alone."""
    _serve(["gateway"], database=database, bus=bus, data=data, host=host, port=port)


@app.command()
def dispatch(database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Run the command side alone: decide what the bus brings."""
    _serve(["dispatch"], database=database, bus=bus, data=data)


@app.command()
def consume(policies: Names = None, database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Run policies."""
    _known(policies, [policy.name for policy in _system().policies], "policy")
    _serve(["consume"], policies, database=database, bus=bus, data=data)


@app.command()
def project(views: Names = None, database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Keep the views that follow the log."""
    _known(views, [view.name for view in _system().projections if not view.inline], "view that follows the log")
    _serve(["project"], views, database=database, bus=bus, data=data)


@app.command()
def relay(database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Publish the log on the bus."""
    _serve(["relay"], database=database, bus=bus, data=data)


@app.command()
def match(database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Give waiting jobs to offering pilots."""
    _serve(["match"], database=database, bus=bus, data=data)


@app.command()
def timers(database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Fire the timers that are due."""
    _serve(["timers"], database=database, bus=bus, data=data)


@app.command()
def migrate(database: Database = None, data: Data = None) -> None:
    """Bring the database up to this release; every part does so when it starts, too."""
    from infra import admin

    done = _run(admin.migrated(_system(), _settings(database=database, data=data)))
    typer.echo("\n".join(done) or "nothing to do")


@app.command()
def rebuild(view: str, database: Database = None, data: Data = None) -> None:
    """Fill a view anew from the log, beside the live one, then swap the two."""
    from infra import admin

    _known([view], [projection.name for projection in _system().projections], "view")
    _run(admin.rebuilt(_system(), _settings(database=database, data=data), view))


@app.command()
def verify(
    vo: Annotated[str, typer.Option(help="only this VO")] = "",
    key: Annotated[list[str] | None, typer.Option(help="a former key of this installation, to be trusted too")] = None,
    database: Database = None, data: Data = None,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:  # fmt: skip
    """Check the whole log against its seals: find what was changed, removed or slipped in."""
    from infra import admin

    raise typer.Exit(_run(admin.verified(_system(), _settings(database=database, data=data), vo, key or (), json)))


@app.command()
def lost(
    database: Database = None, data: Data = None,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:  # fmt: skip
    """List what a database that came back in an earlier state does not know any more."""
    from infra import losses

    _run(losses.show(_system(), _settings(database=database, data=data), json))


@app.command()
def restored(database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Say that the database was restored: nothing is numbered twice, and what is on the bus is void."""
    from infra import losses

    _run(losses.declare(_system(), _settings(database=database, bus=bus, data=data)))


@app.command()
def parked(
    consumer: Annotated[str, typer.Argument(help="the consumer at which a stream waits; empty: list them")] = "",
    stream: Annotated[str, typer.Argument(help="the stream to handle again")] = "",
    database: Database = None, data: Data = None,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:  # fmt: skip
    """List streams that wait behind an event a consumer could not handle, or handle one again.

    \b
    Example: spinor parked scheduling 00000000-0007-8001-8000-000000000000
    """
    from infra import admin

    raise typer.Exit(_run(admin.parked(_system(), _settings(database=database, data=data), consumer, stream, json)))


@app.command()
def reset(data: Data = None, yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """Remove everything this installation keeps below its data directory."""
    from infra import admin

    admin.reset(_settings(data=data), yes)


@app.command()
def doctor(
    database: Database = None, bus: Bus = None, data: Data = None,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:  # fmt: skip
    """Say what works, what is missing, and how to mend it."""
    from infra.doctor import examine

    raise typer.Exit(_run(examine(_system(), _settings(database=database, bus=bus, data=data), json)))


@app.command("settings")
def show_settings(json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """List every setting, its variable and its value in force; secrets are not shown."""
    from infra import admin

    admin.show(_settings(), json)


def main() -> None:
    """The console script. A refusal is said in a sentence with what to do next, never as a traceback."""
    try:
        app(standalone_mode=True)
    except Refused as refusal:
        fail(refusal)
    except Exception as fault:  # whatever it is, its user gets a sentence and its programmer a file
        fail(unexpected(fault))


_chosen: list[str] = [""]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spinor {metadata.version('spinor')}, Python {sys.version.split()[0]}")
        raise typer.Exit


@app.callback()
def _common(
    system: Annotated[str, typer.Option(help="module:name of a system, for communities with parts of their own")] = "",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="say it, and end")
    ] = False,
) -> None:
    """Spinor, the event-sourced interware."""
    _chosen[0] = system


def _system() -> Any:
    """The system in force; read only when a command needs it, for the commands of users must start fast."""
    from infra.admin import load
    from infra.app import CORE

    return load(_chosen[0]) if _chosen[0] else CORE


def _settings(**given: Any) -> Settings:
    found = settings(**given)
    level = logging.getLevelName(found.log_level.upper())
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    for library in ("aiormq", "aio_pika", "uvicorn"):  # what matters of theirs, our own log says with its reason
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return found


def _serve(parts: list[str], names: list[str] | None = None, **given: Any) -> None:
    from infra.serve import serve

    _run(serve(_system(), _settings(**given), parts, names or ()))


def _known(given: list[str] | None, known: list[str], thing: str) -> None:
    for name in given or ():
        if name not in known:
            raise typer.BadParameter(f"there is no {thing} {name}; there are: {', '.join(known)}")


def _run(work: Any) -> Any:
    if sys.implementation.name == "cpython":
        import uvloop

        return uvloop.run(work)
    return asyncio.run(work)
