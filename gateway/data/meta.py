"""Metadata: declare fields, describe directories and files, find files by what they have and inherit."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import Field

from domain.data.access import READ, may
from domain.data.bulk import DescribePaths
from domain.data.field import LONGEST, DeclareField, Known
from domain.data.field import shown as value_of
from domain.data.names import check_name, directory_stream, file_stream, lineage, parent
from domain.data.query import MOST, Condition, parse
from domain.errors import Code, Refused
from gateway.data.catalogue import asker, bulk, check_readable, of_row, shown
from gateway.data.fields import Json, Paths, fast, told
from gateway.fields import Body
from gateway.keys import Keyed
from gateway.ports import Outside, World
from gateway.rights import User
from projections.data import fields, values

router = APIRouter(prefix="/api/v1/data", tags=["data"])
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
Text = Annotated[str, Field(max_length=LONGEST)]


class Declared(Body):
    """A field."""

    name: FieldName
    type: Annotated[str, Field(max_length=16)]
    holder: Annotated[str, Field(max_length=16, description="directory (all below it inherits) or file")] = "directory"


class Description(Paths):
    """Values for some directories or files; null takes one away."""

    values: Annotated[dict[FieldName, int | float | Text | None], Field(min_length=1, max_length=100)]


class Wanted(Body):
    """What to find: files below `path` for which all conditions hold."""

    conditions: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=MOST)] = []
    path: Annotated[str, Field(max_length=1024)] = ""
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    after: UUID | None = None
    count: bool = False


@router.get("/fields")
async def declared(who: User, outside: Outside) -> Response:
    """The metadata fields of the VO."""
    return fast({"fields": await outside.read(fields.of_vo(who.vo))})


@router.post("/fields")
async def declare(who: User, key: Keyed, outside: Outside, body: Declared) -> Json:
    """Declare a field, for good; the same again is no fault. This needs the care of the VO's data."""
    if not asker(who).manages:
        raise Refused(Code.FORBIDDEN, right="DataManager")
    command = DeclareField(who.vo, body.name, body.type, body.holder)
    (answer,) = await outside.ask(who, [(key.id(who, "fields", body.name), command)])
    if answer.refusal:
        raise answer.refusal
    return body.model_dump()


@router.post("/describe")
async def describe(who: User, key: Keyed, outside: Outside, body: Description) -> Response:
    """Set metadata of directories and files. Each has its own result."""
    command = DescribePaths(who.vo, who.subject, who.group, tuple(body.paths), body.values)
    return fast(told(await bulk(outside, who, key.id(who, "describe"), command), body.paths, "path"))


@router.get("/meta")
async def meta(who: User, outside: Outside, path: Annotated[str, Query(max_length=1024)]) -> Response:
    """The metadata of a file or directory, with what it inherits and from where."""
    path = check_name(who.vo, path)
    await check_readable(outside, who, path)
    above = {directory_stream(step): step for step in lineage(path)} | {file_stream(path): path}
    types = {row["name"]: row["type"] for row in await outside.read(fields.of_vo(who.vo))}
    found: Json = {}
    for row in await outside.read(values.of_holders(list(above))):
        value = value_of(types.get(row["field"], ""), row["number"], row["text"])
        found[row["field"]] = {"value": value, "from": above[row["holder"]]}
    return fast({"path": path, "directory": parent(path), "values": found})


@router.post("/find")
async def find(who: User, outside: Outside, body: Wanted) -> Response:
    """Find files; the next page begins `after` the `next` of this one (null at the end). Or only count them."""
    path = check_name(who.vo, body.path.rstrip("/") or f"/{who.vo}")
    known = {row["name"]: Known(row["name"], row["type"], row["holder"])
             for row in await outside.read(fields.of_vo(who.vo))}  # fmt: skip
    conditions = parse(body.conditions, known)
    inside = await _inside(outside, who.vo, path, conditions)
    if body.count:
        (row,) = await outside.read(values.count(who.vo, path, conditions, inside))
        return fast({"files": row["files"], "bytes": int(row["bytes"])})
    page = await outside.read(values.found(who.vo, path, conditions, inside, after=body.after, limit=body.limit))
    readable = [shown(row) for row in page if may(asker(who), of_row(row), READ)]
    return fast({"files": readable, "next": page[-1]["file"] if len(page) == body.limit else None})


async def _inside(world: World, vo: str, path: str, conditions: Sequence[Condition]) -> list[UUID] | None:
    """The directories that hold what is asked of directories; None when nothing is, or when they are too many."""
    asked = [condition for condition in conditions if condition.field.holder == "directory"]
    rows = await world.read(values.holding(vo, path, asked)) if asked else []
    return [row["directory"] for row in rows] if asked and len(rows) <= values.MOST_NAMED else None
