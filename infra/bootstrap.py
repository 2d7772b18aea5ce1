"""`spinor init`: the first keys, the first VO, the first administrator; a second time it only says what is there."""

import getpass
import json
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import typer

from domain.configuration import ChangeConfiguration, Installation
from domain.errors import Code, Refused
from domain.schema import builtin
from domain.tree import Tree, applied, difference
from gateway.cli.output import called
from infra.bus.messages import Request
from infra.runtime import Runtime, opened
from infra.seal import public, signing_key
from infra.settings import Settings
from infra.system import System
from infra.tokens import installation_secret

RIGHTS = ["CSAdministrator"]
ADMINISTRATORS = "admins"
PROPERTIES = ["NormalUser", "CSAdministrator", "JobAdministrator", "Operator", "ServiceAdministrator"]


class Wanted(NamedTuple):
    """What `init` is asked for. Without an issuer the VO has the development identity of this machine."""

    vo: str
    issuer: str = ""
    client: str = ""
    administrator: str = ""  # the subject at the provider
    name: str = ""  # the user name of that person


async def initialise(system: System, settings: Settings, wanted: Wanted, as_json: bool) -> None:
    """Make what is missing, and say what was done and what comes next."""
    done = _keys(settings)
    async with opened(system, settings, beside=True) as runtime:
        if Installation not in system.aggregates:
            raise Refused(Code.SYSTEM, problem="it keeps no configuration")
        done |= await _configured(runtime, wanted)
    _tell(done, wanted, settings, as_json)


def _keys(settings: Settings) -> dict[str, Any]:
    """The secret that signs tokens and the key that signs seals: read, or made."""
    secret = Path(settings.data) / "secret"
    there = bool(settings.secret.get_secret_value()) or secret.exists()
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    installation_secret(settings.secret.get_secret_value(), settings.data)
    return {"keys": "there already" if there else "made", "seal_key": public(signing_key(settings))}


async def _configured(runtime: Runtime, wanted: Wanted) -> dict[str, Any]:
    found = runtime.configuration.current
    document = found.document if found.revision else {}
    vos = document.get("registry", {})
    if wanted.vo in vos:
        return {"vo": wanted.vo, "revision": found.revision, "configuration": "there already"}
    new = applied(difference({}, _first(wanted)), document)
    if vos and not document.get("systems", {}).get("administrators"):
        new = {**new, "systems": {**document.get("systems", {}), "administrators": sorted(vos)}}
    elif not vos:
        new = {**new, "systems": {**document.get("systems", {}), "administrators": [wanted.vo]}}
    changes = difference(document, new)
    command = ChangeConfiguration(found.revision, changes.put, changes.removed, "spinor init")
    return {"vo": wanted.vo, "revision": await decided(runtime, command), "configuration": "made"}


async def decided(runtime: Runtime, command: ChangeConfiguration) -> int:
    """Have a command of this machine's operator decided here; the revision that it made."""
    request = Request(
        id=uuid4(), topic=command.TOPIC, data=msgspec.Raw(msgspec.json.encode(command)), vo="",
        actor=f"operator:{getpass.getuser()}", rights=RIGHTS, token="", correlation=None,
    )  # fmt: skip
    (outcome,) = await runtime.dispatcher()([request])
    if not outcome.ok:
        raise Refused(Code.of(outcome.code or "broken"), **outcome.parameters)
    return int(outcome.version)


def _first(wanted: Wanted) -> Tree:
    """The VO as it begins: users and administrators, and its provider or the development identity."""
    if not wanted.issuer:
        return builtin(wanted.vo)
    groups = {"users": {"properties": ["NormalUser"]}, ADMINISTRATORS: {"properties": PROPERTIES}}
    vo: Tree = {
        "idp": {"issuer": wanted.issuer, "client_id": wanted.client},
        "default_group": "users",
        "groups": groups,
    }
    if wanted.administrator:
        person = {"preferred_username": wanted.name or "admin", "groups": ["users", ADMINISTRATORS]}
        vo["users"] = {wanted.administrator: person}
    return {"registry": {wanted.vo: vo}}


def _tell(done: dict[str, Any], wanted: Wanted, settings: Settings, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(done | {"data": str(settings.data)}))
        return
    typer.echo(f"keys           {done['keys']} (below {settings.data}, readable by this account only)")
    typer.echo(f"seal key       {done['seal_key']}  (public: keep a copy elsewhere, spinor verify asks for it)")
    typer.echo(f"VO             {done['vo']}: {done['configuration']}, revision {done['revision']}")
    if not wanted.issuer and done["configuration"] == "made":
        typer.echo("identity       development identity, this machine only")
    typer.echo("next           " + called("; ".join(_next(wanted))))


def _next(wanted: Wanted) -> list[str]:
    if not wanted.issuer:
        return ["spinor up", "spinor config show", "for a real provider: spinor vo add --help"]
    steps = [f"spinor user add SUBJECT --vo {wanted.vo} --set groups=admins"] if not wanted.administrator else []
    return [*steps, "spinor up", f"spinor login {wanted.vo}", "spinor site add --help"]
