"""What may be used: statuses of resources, their history, and setting them, for the asker's VO or for all VOs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, AwareDatetime, Field

from domain.errors import Refused
from domain.resource import EVERYWHERE, Access, ResourceKind, ResourceStatus, SetResourceStatus
from domain.values import resource_stream
from gateway.errors import explained
from gateway.fields import Body, Page, Text, clean
from gateway.keys import Key, Keyed
from gateway.ports import Outside, Principal, Row, World
from gateway.rights import Keeper, User
from projections import resource_status
from projections.history import lines

router = APIRouter(prefix="/api/v1/resources", tags=["resources"])
ALL_VOS = "all"  # how people call the scope of everybody
AT_ONCE = 1000
NAME = r"^[A-Za-z0-9][A-Za-z0-9._:@/+ -]{0,254}$"
Name = Annotated[str, Field(pattern=NAME)]
Named = Annotated[str, Query(pattern=NAME, description="the resource's name")]
Why = Annotated[str, Field(max_length=512), AfterValidator(clean)]
Scope = Annotated[str, Query(max_length=64, description="your VO, or `all`: what was said for all VOs; default: both")]
Json = dict[str, Any]


class Resource(Body):
    """One resource. Queues are named `CE/QUEUE`, nodes `SITE/HOST`."""

    kind: ResourceKind
    name: Name


class Wish(Body):
    """What to say of some resources. `vo`: the asker's (default), or `all`; `access` is for storage elements."""

    resources: Annotated[list[Resource], Field(min_length=1, max_length=AT_ONCE)]
    status: ResourceStatus
    reason: Why
    until: AwareDatetime | None = None
    access: Annotated[tuple[Access, ...], Field(max_length=len(Access))] = ()
    vo: Text = ""


@router.get("")
async def listed(
    who: User, outside: Outside, kind: ResourceKind | None = None, status: ResourceStatus | None = None,
    every: Annotated[bool, Query(alias="all", description="also those that are Active again")] = False,
    limit: Page = 1000,
) -> Json:  # fmt: skip
    """What is said of resources, to the asker's VO."""
    every = every or status is ResourceStatus.ACTIVE
    query = resource_status.of_vo(who.vo, kind=kind or "", status=status or "", every=every, limit=limit)
    return {"resources": [shown(row) for row in await outside.read(query)]}


@router.get("/one")
async def one(who: User, outside: Outside, kind: ResourceKind, name: Named) -> Json:
    """One resource: a row for each access, and for each of the VO and all VOs of which something was said."""
    rows = await outside.read(resource_status.of_vo(who.vo, kind=kind, name=name))
    return {"kind": kind.value, "name": name, "statuses": [shown(row) for row in rows] or [_unsaid(who, kind, name)]}


@router.get("/history")
async def history(who: User, outside: Outside, kind: ResourceKind, name: Named) -> Json:
    """Everything that was said of a resource to the asker's VO, a sentence each."""
    told = [await outside.history("resources", resource_stream(s, kind, name)) for s in (EVERYWHERE, who.vo)]
    events = [event for part in told for event in part]
    names = {facts.author: facts.author_name for event in events if (facts := _facts(event)).author_name}
    return {"kind": kind.value, "name": name, "lines": [line._asdict() for line in lines(events, names)]}


@router.post("")
async def say(who: Keeper, key: Keyed, outside: Outside, body: Wish) -> Json:
    """Set the status of resources; the answer has a result for each."""
    scope = EVERYWHERE if body.vo == ALL_VOS else body.vo or who.vo
    until = body.until.replace(microsecond=0) if body.until else None
    commands = [
        SetResourceStatus(scope, each.kind, each.name, body.status, body.reason, until, body.access, who.name)
        for each in dict.fromkeys(body.resources)
    ]
    return {"resources": await _done(outside, who, key, commands)}


async def _done(world: World, who: Principal, key: Key, commands: Sequence[SetResourceStatus]) -> list[Json]:
    """The result of each: `error` says what was refused.

    Raises:
        Refused: the only one was refused.
    """
    answers = await world.ask(who, [(key.id(who, c.TOPIC, c.stream), c) for c in commands])
    if len(answers) == 1 and (refusal := answers[0].refusal):
        raise refusal
    return [_result(c, a.refusal) for c, a in zip(commands, answers, strict=True)]


def _result(command: SetResourceStatus, refusal: Refused | None) -> Json:
    about = {"kind": command.kind.value, "name": command.name, "status": command.status.value}
    return about | {"error": explained(refusal) if refusal else None}


def _facts(event: Any) -> Any:
    return event.event


def _unsaid(who: Principal, kind: ResourceKind, name: str) -> Json:
    nothing: dict[str, datetime | None] = {"since": None, "until": None}
    return {"vo": who.vo, "kind": kind.value, "name": name, "access": Access.ALL.value,
            "status": ResourceStatus.ACTIVE.value, "former": None, "reason": "nothing was ever said of it",
            "author": None} | nothing  # fmt: skip


def shown(row: Row) -> Json:
    """A row for people: `vo` is `all` for what counts for all VOs, `author` a name where one is known."""
    told = {name: row[name] for name in ("kind", "name", "access", "status", "former", "reason")}
    times = {name: row[name] for name in ("since", "until")}
    author = row["author_name"] or row["author"]
    return {"vo": row["scope"] or ALL_VOS} | told | {"author": author} | times | {"event": str(row["event"])}
