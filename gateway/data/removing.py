"""Remove many files: plan, look, carry out, undo."""

import hashlib
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, Field

from domain.data.access import WRITE, may
from domain.data.names import check_file, check_name
from domain.data.removal import MOST, CarryOutRemoval, PlanRemoval, RemovalCommand, UndoRemoval
from domain.errors import Code, Refused
from gateway.data.catalogue import asker, of_row, shown
from gateway.data.fields import Json, Name, fast
from gateway.fields import Body, Page, clean
from gateway.keys import Key, Keyed
from gateway.ports import Outside, Principal, Row, World
from gateway.rights import User
from projections.data import files, removals, replicas

router = APIRouter(prefix="/api/v1/data/removals", tags=["data"])
PART = 10_000
SHOWN = (
    "removal", "status", "owner", "owner_group", "files", "size", "reason", "refused", "lost_files", "planned_at",
    "updated_at",
)  # fmt: skip


class Wanted(Body):
    """What to remove: files by name, and all that is below some directories."""

    lfns: Annotated[list[Name], Field(max_length=PART)] = []
    below: Annotated[list[Name], Field(max_length=100)] = []
    reason: Annotated[str, Field(max_length=255), AfterValidator(clean)] = ""


@router.post("", status_code=201)
async def plan(who: User, key: Keyed, outside: Outside, body: Wanted) -> Response:
    """Plan a removal; nothing happens yet. The answer shows what would go; it waits a day for being carried out."""
    rows = await _rows(outside, who, body)
    good = [row for row in rows if may(asker(who), of_row(row), WRITE)]
    if not good:
        raise Refused(Code.NOT_FOUND, thing="file that you may remove among", name=f"the {len(rows)} found")
    removal = key.id(who, "removal")
    names = [f"{row['path']}/{row['name']}" for row in good]
    text = msgspec.json.encode(names)
    digest = hashlib.sha256(text).hexdigest()
    await outside.keep_bodies({digest: text})
    size = sum(row["size"] for row in good)
    manages = asker(who).manages
    command = PlanRemoval(who.vo, removal, who.subject, who.group, manages, digest, len(names), size, body.reason)
    await _asked(outside, who, key, "plan", command)
    return fast(await _preview(outside, who.vo, removal, good, len(rows) - len(good)), 201)


async def _rows(world: World, who: Principal, body: Wanted) -> list[Row]:
    """The files that are meant, each once.

    Raises:
        Refused: TOO_MANY, FILE_NAME.
    """
    found: dict[UUID, Row] = {}
    names = [check_file(who.vo, lfn) for lfn in body.lfns]
    for row in await world.read(files.named(names)) if names else ():
        found |= {row["file"]: row} if row["status"] != "Removed" else {}
    for path in body.below:
        after: UUID | None = None
        while True:
            page = await world.read(files.below(check_name(who.vo, path.rstrip("/")), after=after, limit=PART))
            found |= {row["file"]: row for row in page}
            if len(found) > MOST:
                raise Refused(Code.TOO_MANY, count=len(found), things="files", limit=MOST)
            if len(page) < PART:
                break
            after = page[-1]["file"]
    return list(found.values())


async def _preview(world: World, vo: str, removal: UUID, good: list[Row], forbidden: int) -> Json:
    by_se: dict[str, Json] = {}
    sizes = {row["file"]: row["size"] for row in good}
    for start in range(0, len(good), PART):
        ids = [row["file"] for row in good[start : start + PART]]
        for each in await world.read(replicas.of_ids(ids)):
            count = by_se.setdefault(each["se"], {"replicas": 0, "bytes": 0})
            count["replicas"] += 1
            count["bytes"] += sizes[each["file"]]
    (row,) = await world.read(removals.one(vo, removal))
    first = [shown(each) for each in good[:20]]
    return _shown(row) | {"forbidden": forbidden, "elements": by_se, "first": first}


@router.get("")
async def listed(who: User, outside: Outside, limit: Page = 100) -> Response:
    """Removals of the VO, newest first: your own, or all for who manages data."""
    owner = "" if asker(who).manages else who.subject
    return fast({"removals": [_shown(row) for row in await outside.read(removals.of_vo(who.vo, limit, owner))]})


@router.get("/{removal}")
async def one(
    who: User, outside: Outside, removal: UUID, after: Annotated[int, Query(ge=0, le=MOST)] = 0, limit: Page = 1000
) -> Response:  # fmt: skip
    """A removal and the names of its files, in pages."""
    row = await _visible(outside, who, removal)
    names = msgspec.json.decode(await outside.body(row["lfns"]), type=list[str])
    page = names[after : after + limit]
    return fast(_shown(row) | {"lfns": page, "next": after + limit if after + limit < len(names) else None})


@router.post("/{removal}/carry-out")
async def carry_out(who: User, key: Keyed, outside: Outside, removal: UUID) -> Response:
    """Take the files out of the catalogue; their bytes are kept for a week, in which it can be undone."""
    await _visible(outside, who, removal)
    command = CarryOutRemoval(who.vo, removal, who.subject, asker(who).manages)
    return fast({"removal": removal} | await _asked(outside, who, key, "carry-out", command))


@router.post("/{removal}/undo")
async def undo(who: User, key: Keyed, outside: Outside, removal: UUID) -> Response:
    """Put the files back; those of which storage has lost something are told by name."""
    await _visible(outside, who, removal)
    command = UndoRemoval(who.vo, removal, who.subject, asker(who).manages)
    return fast({"removal": removal} | await _asked(outside, who, key, "undo", command))


async def _visible(world: World, who: Principal, removal: UUID) -> Row:
    rows = await world.read(removals.one(who.vo, removal))
    if not rows or not (asker(who).manages or rows[0]["owner"] == who.subject):
        raise Refused(Code.REMOVAL_UNKNOWN, removal=str(removal))
    return rows[0]


async def _asked(world: World, who: Principal, key: Key, verb: str, command: RemovalCommand) -> dict[str, Any]:
    (answer,) = await world.ask(who, [(key.id(who, "removal", verb, command.removal), command)])
    if answer.refusal:
        raise answer.refusal
    return dict(answer.told)


def _shown(row: Row) -> Json:
    return {name: row[name] for name in SHOWN}
