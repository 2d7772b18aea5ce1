"""What operators do now and then, as commands: migrate, rebuild, verify, reset, ask the doctor."""

from typing import Annotated

import typer

from gateway.cli.ids import Json
from infra.process import Bus, Data, Database, configured, known, run, system

Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
Key = Annotated[list[str] | None, typer.Option(help="a former key of this installation, to be trusted too")]


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    for command in (init, migrate, rebuild, verify, lost, restored, reset, doctor):
        app.command()(command)
    app.command("settings")(show_settings)


def init(
    vo: Annotated[str, typer.Option(help="name of the first VO; default: SPINOR_VO")] = "",
    issuer: Annotated[str, typer.Option(help="URL of its OpenID provider; default: development identity")] = "",
    client: Annotated[str, typer.Option("--client-id", help="the id under which Spinor is registered there")] = "",
    administrator: Annotated[str, typer.Option(help="subject of the first administrator at the provider")] = "",
    name: Annotated[str, typer.Option(help="user name of that person")] = "",
    database: Database = None, data: Data = None, json: Json = False,
) -> None:  # fmt: skip
    """Make the first keys, the first VO and its administrator.

    A second time it only says what is there; with another VO it adds that one.

    \b
    Example: spinor init
             spinor init --vo lhcb --issuer https://auth.example.org --client-id spinor --administrator b824 --name ann
    """
    from infra.bootstrap import Wanted, initialise

    found = configured(database=database, data=data)
    if bool(issuer) != bool(client):
        raise typer.BadParameter("--issuer and --client-id belong together")
    run(initialise(system(), found, Wanted(vo or found.vo, issuer, client, administrator, name), json))


def migrate(database: Database = None, data: Data = None, json: Json = False) -> None:
    """Bring the database up to this release.

    Every part does so when it starts, too.

    \b
    Example: spinor migrate --database postgresql://spinor@db/spinor
    """
    from infra import admin

    admin.tell_migrated(run(admin.migrated(system(), configured(database=database, data=data))), json)


def rebuild(
    view: Annotated[str, typer.Argument(help="its name")],
    database: Database = None, data: Data = None, json: Json = False,
) -> None:  # fmt: skip
    """Fill a view anew from the log, then swap it in.

    It is filled beside the live one, which serves until the two are swapped.

    \b
    Example: spinor rebuild jobs
    """
    from infra import admin

    known([view], [projection.name for projection in system().projections], "view")
    run(admin.rebuilt(system(), configured(database=database, data=data), view, json))


def verify(
    vo: Annotated[str, typer.Option(help="only this VO")] = "", key: Key = None,
    database: Database = None, data: Data = None, json: Json = False,
) -> None:  # fmt: skip
    """Check the log against its seals.

    Finds what was changed, removed or slipped in.

    \b
    Example: spinor verify
             spinor verify --vo lhcb --json
    """
    from infra import admin

    raise typer.Exit(run(admin.verified(system(), configured(database=database, data=data), vo, key or (), json)))


def lost(database: Database = None, data: Data = None, json: Json = False) -> None:
    """List what a restored database does not know any more.

    \b
    Example: spinor lost
    """
    from infra import losses

    run(losses.show(system(), configured(database=database, data=data), json))


def restored(database: Database = None, bus: Bus = None, data: Data = None, json: Json = False) -> None:
    """Say that the database was restored from a backup.

    Nothing is numbered twice then, and what is on the bus is void.

    \b
    Example: spinor restored --database postgresql://spinor@db/spinor --bus amqp://spinor:secret@mq/
    """
    from infra import losses

    run(losses.declare(system(), configured(database=database, bus=bus, data=data), json))


def reset(data: Data = None, yes: Yes = False, json: Json = False) -> None:
    """Remove everything that is kept in the data directory.

    \b
    Example: spinor reset
    """
    from infra import admin

    admin.reset(configured(data=data), yes, json)


def doctor(database: Database = None, bus: Bus = None, data: Data = None, json: Json = False) -> None:
    """Say what works, what is missing, and how to mend it.

    \b
    Example: spinor doctor
    """
    from infra.doctor import examine

    raise typer.Exit(run(examine(system(), configured(database=database, bus=bus, data=data), json)))


def show_settings(json: Json = False) -> None:
    """List every setting and its value; secrets are not shown.

    Settings are variables of the environment: SPINOR_DATA, SPINOR_PORT, …

    \b
    Example: spinor settings
    """
    from infra import admin

    admin.show(configured(), json)
