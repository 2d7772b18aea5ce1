"""The commands that run one part of the system as a process of its own."""

from typing import Annotated, Any

import typer

from gateway.cli.output import note
from infra.process import Bus, Data, Database, Host, Port, configured, known, run, system

Names = Annotated[list[str] | None, typer.Argument(help="all when none is named")]


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    for command in (gateway, dispatch, consume, project, relay, match, timers):
        app.command()(command)


def gateway(
    database: Database = None, bus: Bus = None, data: Data = None, host: Host = None, port: Port = None
) -> None:
    """Run the HTTP gateway alone.

    \b
    Example: spinor gateway --database postgresql://spinor@db/spinor --bus amqp://spinor:secret@mq/ --port 8642
    """
    _serve(["gateway"], database=database, bus=bus, data=data, host=host, port=port)


def dispatch(database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Run the command side alone: decide what the bus brings.

    \b
    Example: spinor dispatch --database postgresql://spinor@db/spinor --bus amqp://spinor:secret@mq/
    """
    _serve(["dispatch"], database=database, bus=bus, data=data)


def consume(policies: Names = None, database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Run policies: each reacts to events with commands.

    \b
    Example: spinor consume
             spinor consume scheduling job-deadlines
    """
    known(policies, [policy.name for policy in system().policies], "policy")
    _serve(["consume"], policies, database=database, bus=bus, data=data)


def project(views: Names = None, database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Keep the views that follow the log.

    \b
    Example: spinor project
             spinor project activity
    """
    known(views, [view.name for view in system().projections if not view.inline], "view that follows the log")
    _serve(["project"], views, database=database, bus=bus, data=data)


def relay(database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Publish the log on the bus; of several, one leads.

    \b
    Example: spinor relay --database postgresql://spinor@db/spinor --bus amqp://spinor:secret@mq/
    """
    _serve(["relay"], database=database, bus=bus, data=data)


def match(database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Give waiting jobs to offering pilots; of several, one leads.

    \b
    Example: spinor match --database postgresql://spinor@db/spinor --bus amqp://spinor:secret@mq/
    """
    _serve(["match"], database=database, bus=bus, data=data)


def timers(database: Database = None, bus: Bus = None, data: Data = None) -> None:
    """Fire the timers that are due; of several, one leads.

    \b
    Example: spinor timers --database postgresql://spinor@db/spinor --bus amqp://spinor:secret@mq/
    """
    _serve(["timers"], database=database, bus=bus, data=data)


def _serve(parts: list[str], names: list[str] | None = None, **given: Any) -> None:
    from infra.laptop import write_credentials
    from infra.serve import Running, serve

    found = configured(**given)

    def ready(work: Running) -> None:
        if work.url:
            write_credentials(work, found)
        where = f" at {work.url}" if work.url else ""
        note(f"{' '.join([*parts, *(names or ())])} runs{where}; Ctrl-C stops it")

    run(serve(system(), found, parts, names or (), ready))
