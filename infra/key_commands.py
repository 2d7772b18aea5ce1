"""`spinor keys …`: the operator looks at the keys that sign tokens, and turns them."""

import json as jsons
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.ids import Json
from gateway.cli.output import Column, as_json, out, table
from infra.process import Bus, Data, Database, configured, run, system

if TYPE_CHECKING:
    from domain.keyring import Keyring


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    group = typer.Typer(help="The keys that sign tokens.", no_args_is_help=True, rich_markup_mode=None)
    group.command("list")(show)
    group.command("rotate")(turn)
    app.add_typer(group, name="keys")


def show(database: Database = None, data: Data = None, json: Json = False) -> None:
    """List the keys that are believed: current, next, retired.

    \b
    Example: spinor keys list
    """
    run(_keys(None, json, database=database, data=data))


def turn(
    at_once: Annotated[bool, typer.Option("--at-once", help="believe no earlier key: all log in again")] = False,
    database: Database = None, bus: Bus = None, data: Data = None, json: Json = False,
) -> None:  # fmt: skip
    """Sign with the next key, and publish the one after it.

    What earlier keys have signed is believed until it ends, unless --at-once says that one may be in wrong hands.

    \b
    Example: spinor keys rotate
             spinor keys rotate --at-once
    """
    run(_keys(at_once, json, database=database, bus=bus, data=data))


async def _keys(at_once: bool | None, json: bool, **given: Any) -> None:
    from infra.keys import keyring, rotate
    from infra.runtime import opened
    from infra.tokens import Ring, installation_secret

    settings = configured(**given)
    secret = installation_secret(settings.secret.get_secret_value(), settings.data)
    async with opened(system(), settings, beside=True) as runtime:
        found = await keyring(runtime) if at_once is None else await rotate(runtime, at_once)
    ring = Ring(secret, found.believed(datetime.now(UTC)))
    rows = [_row(found, number, str(key.kid)) for number, key in zip(ring.numbers, ring.keys, strict=True)]
    if json:
        as_json({"keys": rows})
        return
    table(rows, [Column("number"), Column("state"), Column("kid"), Column("ended")])
    if at_once is not None:
        out("", "every gateway signs with the current key within seconds")


def _row(found: "Keyring", number: int, kid: str) -> dict[str, Any]:
    state = {found.current: "current", found.current + 1: "next"}.get(number, "retired")
    ended = found.retired.get(number)
    return {"number": number, "state": state, "kid": kid, "ended": jsons.loads(jsons.dumps(ended, default=str))}
