"""Suspending a user, a group or the VO, letting them go on, and who is suspended; always of the asker's own VO."""

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field
from sqlalchemy import select

from domain.errors import Code, Refused
from domain.suspension import Kind, Resume, Running, Suspend, SuspensionCommand
from domain.values import subject
from gateway.auth.granting import BUILT_IN
from gateway.fields import Body, Text
from gateway.keys import Key, Keyed
from gateway.ports import Outside, Principal, Row, World
from gateway.rights import Manager
from projections import sessions, suspensions
from projections.jobs import jobs

router = APIRouter(prefix="/api/v1/suspensions", tags=["suspensions"])
Name = Annotated[Text, Field(min_length=1)]
PSEUDONYM, GROUP = "[0-9a-f]{32}", r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}"
Json = dict[str, Any]


class Whom(Body):
    """A user by name or pseudonym, a group by name, or the VO (whose name says that it is meant)."""

    kind: Kind
    name: Name
    reason: Text = ""


class Suspended(Whom):
    """Why, until when, and what becomes of jobs that run: as the VO's policy says, unless it is said here."""

    until: AwareDatetime | None = None
    running: Running | None = None


@router.get("")
async def listed(who: Manager, outside: Outside, every: Annotated[bool, Query(alias="all")] = False) -> Json:
    """Who is suspended; with `all` also who was."""
    return {"suspensions": [_shown(row) for row in await outside.read(suspensions.of_vo(who.vo, every=every))]}


@router.post("", status_code=201)
async def suspend(who: Manager, key: Keyed, outside: Outside, body: Suspended) -> Json:
    """Suspend: tokens are refused and new jobs too, jobs that wait are held, all with this reason."""
    name, label = await _named(outside, who, body)
    if body.kind is Kind.USER and name == who.subject:
        raise Refused(Code.SUSPENSION, problem="nobody suspends themselves: ask another manager")
    running = body.running or _policy(outside, who.vo)
    command = Suspend(who.vo, body.kind, name, body.reason, label, _whole(body.until), running)
    return await _done(outside, who, key, command)


@router.post("/resume")
async def resume(who: Manager, key: Keyed, outside: Outside, body: Whom) -> Json:
    """Let them go on; what was held for this is freed."""
    name, _ = await _named(outside, who, body)
    if not await outside.read(suspensions.one(who.vo, body.kind.value, name)):
        raise Refused(Code.NOT_FOUND, thing=f"suspended {body.kind.value}", name=body.name)
    return await _done(outside, who, key, Resume(who.vo, body.kind, name, body.reason))


async def _done(world: World, who: Principal, key: Key, command: SuspensionCommand) -> Json:
    (answer,) = await world.ask(who, [(key.id(who, command.TOPIC, command.stream), command)])
    if answer.refusal:
        raise answer.refusal
    (row,) = await world.read(suspensions.one(command.vo, command.kind.value, command.name))
    return _shown(row)


def _policy(world: World, vo: str) -> Running:
    registry = world.configuration().registry.get(vo)
    return Running.KILL if registry and registry.suspension.running_jobs == "kill" else Running.RUN


async def _named(world: World, who: Principal, whom: Whom) -> tuple[str, str]:
    """The name under which it is kept, and the one that people use.

    Raises:
        Refused: SUSPENSION or NOT_FOUND.
    """
    if whom.kind is Kind.VO and whom.name != who.vo:
        raise Refused(Code.SUSPENSION, problem=f"you manage the VO {who.vo}, not {whom.name}")
    if whom.kind is Kind.GROUP and not re.fullmatch(GROUP, whom.name):
        raise Refused(Code.SUSPENSION, problem=f"{whom.name} is no name of a group")
    if whom.kind is not Kind.USER:
        return whom.name, whom.name
    found = await users(world, who.vo, whom.name)
    if len(found) > 1:
        several = ", ".join(sorted(found))
        raise Refused(Code.SUSPENSION, problem=f"{whom.name} names several users, choose one of {several}")
    if not found:
        raise Refused(Code.NOT_FOUND, thing="user", name=whom.name)
    return found.popitem()


async def users(world: World, vo: str, name: str) -> dict[str, str]:
    """The users of a VO whom this name or pseudonym may mean, as far as the VO has heard of them."""
    if re.fullmatch(PSEUDONYM, name):
        return {name: ""}
    if typed := _typed(world, vo, name):
        return typed
    owners = select(jobs.c.owner, jobs.c.owner_name).where(jobs.c.vo == vo).distinct().limit(10)
    named = await world.read(owners.where(jobs.c.owner_name == name))
    kept = suspensions.suspensions
    known = select(kept.c.name, kept.c.label).where(kept.c.vo == vo, kept.c.kind == Kind.USER.value)
    before = await world.read(known.where(kept.c.label == name))
    logged = sessions.sessions
    seen = select(logged.c.subject).where(logged.c.vo == vo, logged.c.name == name, logged.c.how != "client")
    came = await world.read(seen.distinct().limit(10))
    found = {row["owner"]: row["owner_name"] for row in named} | {row["name"]: row["label"] for row in before}
    return found | {row["subject"]: name for row in came}


def _typed(world: World, vo: str, name: str) -> dict[str, str]:
    """Those of the VO's registry that this name or subject means."""
    registry = world.configuration().registry.get(vo)
    if registry is None:
        return {}
    issuer = registry.idp.issuer if registry.idp else BUILT_IN
    found = ((sub, user.preferred_username) for sub, user in registry.users.items())
    return {subject(vo, issuer, sub): label for sub, label in found if name in (sub, label)}


def _whole(until: datetime | None) -> datetime | None:
    return until.replace(microsecond=0) if until else None


def _shown(row: Row) -> Json:
    return dict(row)
