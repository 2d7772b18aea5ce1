"""The keys of this process, kept as the log says; and the operator's commands on them."""

import getpass
import json as jsons
from datetime import UTC, datetime
from typing import Annotated, Any

import structlog
import typer

from domain.keyring import STREAM, Keyring, RotateKeys
from domain.messages import Event, Origin, Recorded
from gateway.cli.ids import Json
from gateway.cli.output import Column, as_json, out, table
from infra.decider import Ask
from infra.process import Bus, Data, Database, configured, run, system
from infra.runtime import Runtime, opened
from infra.store import TROUBLE
from infra.tokens import Ring, Tokens, installation_secret
from infra.waiting import within
from infra.wake import CHANNEL

LOOK = 30.0  # seconds between two looks when nobody wakes us; the next key is published long before it signs
log = structlog.get_logger("spinor")


class Keys:
    """Turns the keys of `tokens` as the log says."""

    def __init__(self, runtime: Runtime, tokens: Tokens) -> None:
        self._runtime = runtime
        self._tokens = tokens

    async def load(self) -> None:
        """Use the keys of now."""
        if Keyring in self._runtime.system.aggregates:
            self._tokens.turn((await keyring(self._runtime)).believed(datetime.now(UTC)))

    async def run(self) -> None:
        """Follow rotations until cancelled."""
        woken = self._runtime.wakes.event(Keyring.LOG)
        try:
            while True:
                await within(LOOK, woken)
                woken.clear()
                try:
                    await self.load()
                except TROUBLE as fault:
                    log.warning("keys not looked at", reason=str(fault) or repr(fault))
        finally:
            self._runtime.wakes.drop(Keyring.LOG, woken)


async def keyring(runtime: Runtime) -> Keyring:
    """The keys as the log has them."""
    return told(await runtime.store.history(Keyring.LOG, STREAM))


def told(events: list[Recorded[Event]]) -> Keyring:
    """The keys after these events."""
    state = Keyring()
    for event in events:
        state = state.evolve(event)
    return state


async def rotate(runtime: Runtime, at_once: bool) -> Keyring:
    """Let the next key sign, in every process of the installation."""
    current = (await keyring(runtime)).current
    origin = Origin(f"operator:{getpass.getuser()}", "", datetime.now(UTC))
    async with runtime.store.transaction() as connection:
        await runtime.decider.decide(connection, [Ask(RotateKeys(current, at_once), origin)])
    await runtime.pool.execute("select pg_notify($1, $2)", CHANNEL, Keyring.LOG)
    return await keyring(runtime)


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


def _row(found: Keyring, number: int, kid: str) -> dict[str, Any]:
    state = {found.current: "current", found.current + 1: "next"}.get(number, "retired")
    ended = found.retired.get(number)
    return {"number": number, "state": state, "kid": kid, "ended": jsons.loads(jsons.dumps(ended, default=str))}
