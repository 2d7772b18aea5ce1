"""Define transformations, list them, look at one."""

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from domain.data.field import Known
from domain.data.names import check_name
from domain.data.query import parse
from domain.errors import Code, Refused
from domain.limits import Limits, Rejected
from domain.submission import digest
from domain.transformations.definition import MOST_TARGETS, Definition, Plugin, Source, Then
from domain.transformations.transformation import TRANSITIONS, CreateTransformation, Status
from gateway.data.catalogue import asker
from gateway.data.fields import fast
from gateway.errors import problem
from gateway.fields import Body, Filter, Page
from gateway.intake import first_fault, limits_of, understood
from gateway.keys import Keyed
from gateway.ports import Outside, Principal, Row
from gateway.rights import User
from gateway.transformations.fields import Json, NameInPath, asked, visible
from gateway.transformations.why import of_file, of_transformation
from projections.data import fields
from projections.transformations import transformations

router = APIRouter(prefix="/api/v1/transformations", tags=["transformations"])
LARGEST = 64 * 1024  # bytes of a template
Short = Annotated[str, Field(max_length=64)]


class Wanted(Body):
    """A transformation. `job` is the description of its jobs; in any text of it {task}, {transformation}, {target} and
    {job} are filled in, and InputData is what a task has."""

    name: Short
    job: Json
    source: Source | None = None
    plugin: Plugin = Plugin.STANDARD
    group_size: int = 1
    path: Annotated[str, Field(max_length=1024)] = ""
    conditions: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=20)] = []
    targets: Annotated[tuple[Short, ...], Field(max_length=MOST_TARGETS)] = ()
    shares: Annotated[dict[Short, float], Field(max_length=MOST_TARGETS)] = {}
    priority: int = 1
    max_tasks: int = 0
    retries: int = 2
    then: Then = Then.QUARANTINE


@router.post("", status_code=201)
async def create(who: User, key: Keyed, request: Request, outside: Outside, body: Wanted) -> Response:
    """Define a transformation; nothing runs before it is started. The same again is no fault."""
    template = msgspec.json.encode(body.job, order="sorted")
    if len(template) > LARGEST:
        raise Refused(Code.TOO_LARGE, size=len(template), limit=LARGEST)
    limits = limits_of(outside.configuration(), who.vo, request.app.state.limits)
    if wrong := await asyncio.to_thread(_wrong, body.job, limits, who):
        return wrong
    path = check_name(who.vo, body.path.rstrip("/")) if body.path else ""
    known = {row["name"]: Known(row["name"], row["type"], row["holder"])
             for row in await outside.read(fields.of_vo(who.vo))}  # fmt: skip
    parse(body.conditions, known)
    definition = _definition(body, digest(template), path)
    await outside.keep_bodies({definition.template: template})
    command = CreateTransformation(who.vo, body.name, who.subject, who.name or who.subject, who.group, definition,
                                   asker(who).manages)  # fmt: skip
    await asked(outside, who, key, "create", command)
    return fast(_shown(await visible(outside, who, body.name)), 201)


def _wrong(job: Json, limits: Limits, who: Principal) -> Response | None:
    """What is wrong with the description, held to everything that jobs are held to."""
    accepted = understood([job], limits, who)
    if len(accepted.places) == 1 and not isinstance(accepted.places[0], Rejected):
        return None
    if not accepted.rejected:
        raise Refused(Code.TRANSFORMATION, field="job", problem="one job is expected, none with Parameters")
    first, every = first_fault(accepted)
    return problem(first, 422, **every)


def _definition(body: Wanted, template: str, path: str) -> Definition:
    source = body.source
    if source is None:
        source = Source.QUERY if path or body.conditions else Source.LIST
    return Definition(
        template, source, body.plugin, body.group_size, path, tuple(body.conditions), body.targets, dict(body.shares),
        body.priority, body.max_tasks, body.retries, body.then,
    )  # fmt: skip


@router.get("")
async def listed(
    who: User, outside: Outside, status: Filter = "", mine: bool = False, after: Filter = "", limit: Page = 100
) -> Response:
    """The transformations of the VO by name, with their counts."""
    owner = who.subject if mine else ""
    rows = await outside.read(transformations.of_vo(who.vo, status=status, owner=owner, after=after, limit=limit))
    page = [_shown(row) for row in rows]
    return fast({"transformations": page, "next": page[-1]["name"] if len(page) == limit else None})


@router.get("/{name}")
async def one(who: User, outside: Outside, name: NameInPath) -> Response:
    """One transformation: its definition, its counts, and what it may become."""
    row = await visible(outside, who, name)
    definition = msgspec.json.decode(row["definition"])
    job = msgspec.json.decode(await outside.body(definition.pop("template")))
    may = sorted(status.value for status in TRANSITIONS[Status(row["status"])])
    return fast(_shown(row) | {"definition": definition, "job": job, "may_become": may})


@router.get("/{name}/why")
async def why(
    who: User, outside: Outside, name: NameInPath, lfn: Annotated[str, Query(max_length=1025)] = ""
) -> Response:  # fmt: skip
    """Why it does not go on, or what became of one file."""
    row = await visible(outside, who, name)
    reasons = await of_file(outside, who, row, lfn) if lfn else await of_transformation(outside, row)
    return fast({"transformation": name, "status": row["status"], "reasons": reasons})


def _shown(row: Row) -> dict[str, Any]:
    shown = {name: row[name] for name in transformations.SHOWN}
    unused = row["attached"] - row["assigned"] - row["processed"] - row["quarantined"]
    return shown | {"unused": unused}
