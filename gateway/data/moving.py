"""Files to and from storage elements: announce, upload, confirm; and where to fetch them from."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field

from domain.data.bulk import AnnounceFiles, ConfirmFiles, NewFile, Receipt
from domain.data.element import Access, preferred
from domain.data.file import Held
from domain.errors import Code, Refused
from gateway.data.catalogue import bulk, found
from gateway.data.fields import Described, Json, Name, SeName, Some, fast
from gateway.errors import explained
from gateway.fields import Body
from gateway.keys import Keyed
from gateway.ports import Outside, Principal, World
from gateway.rights import User

router = APIRouter(prefix="/api/v1/data", tags=["data"])
MOST = 1000  # files of one request: each needs a signature, or is read again
AT_ONCE = 4  # files read at the same time


class Uploads(Body):
    """Files that are going to be written; without `ses` the preferred storage element takes them."""

    files: Annotated[list[Described], Field(min_length=1, max_length=MOST)]


class Placed(Body):
    """A file at a storage element."""

    lfn: Name
    se: SeName


class Written(Body):
    """Files that were written."""

    files: Annotated[list[Placed], Field(min_length=1, max_length=MOST)]


class Wanted(Some):
    """Files that somebody wants to read; `se` when it has to be from there."""

    lfns: Annotated[list[Name], Field(min_length=1, max_length=MOST)]
    se: SeName | None = None


@router.get("/elements")
async def elements(who: User, outside: Outside) -> Response:
    """The storage elements of the VO, and what is not possible there now."""
    known = outside.storages.known(who.vo).values()
    shown = [{"name": e.name, "kind": e.kind, "priority": e.priority, "sites": e.sites, "refuses": dict(e.refuses)}
             for e in known if e.serves(who.vo)]  # fmt: skip
    return fast({"elements": shown})


@router.post("/uploads")
async def announce(who: User, key: Keyed, outside: Outside, body: Uploads) -> Response:
    """Announce files; each gets a form that takes exactly its bytes. The same again goes on with the same upload."""
    new = [_placed(outside, who, file) for file in body.files]
    return fast({"results": await announced(outside, who, key.id(who, "files.announce"), new)})


async def announced(world: World, who: Principal, id_: UUID, new: Sequence[NewFile]) -> list[Json]:
    """The upload form of each file, or an error; no form for what is there already."""
    command = AnnounceFiles(who.vo, who.subject, who.group, tuple(new))
    answer = await bulk(world, who, id_, command)
    if answer.refusal:
        raise answer.refusal
    errors = answer.told["results"]
    states = await _states(world, who, [file.lfn for file, error in zip(new, errors, strict=True) if not error])
    return [{"lfn": file.lfn, "error": error} if error else await _form(world, who, file, states)
            for file, error in zip(new, errors, strict=True)]  # fmt: skip


def _placed(world: World, who: Principal, file: Described) -> NewFile:
    if not file.sha256:
        raise Refused(Code.MALFORMED, problem=f"{file.lfn[:200]}: an upload needs the sha256 of the file")
    new = file.as_new()
    if new.ses:
        return new
    places = preferred(world.storages.known(who.vo), who.vo, Access.WRITE)
    if not places:
        raise Refused(Code.SE_UNKNOWN, se="that can be written to")
    return NewFile(new.lfn, new.content, (places[0].name,), new.ancestors)


async def _states(world: World, who: Principal, lfns: list[str]) -> dict[tuple[str, str], str]:
    files = (await found(world, who, lfns))["files"] if lfns else {}
    return {(lfn, each["se"]): each["state"] for lfn, file in files.items() for each in file.get("replicas", ())}


async def _form(world: World, who: Principal, file: NewFile, states: dict[tuple[str, str], str]) -> Json:
    """A name that is taken with the same content needs no bytes, unless its replica is not there or doubted."""
    se = file.ses[0]
    result: Json = {"lfn": file.lfn, "se": se, "url": None, "fields": {}}
    if states.get((file.lfn, se)) == Held.ACTIVE.value:
        return result
    try:
        form = await world.storages.open(who.vo, se, Access.WRITE).upload_form(file.lfn, file.content)
    except Refused as refused:
        return {"lfn": file.lfn, "error": explained(refused)}
    return result | {"url": form.url, "fields": form.fields}


@router.post("/uploads/confirm")
async def confirm(who: User, key: Keyed, outside: Outside, body: Written) -> Response:
    """Have storage elements asked what they have: what is as announced is registered. Each has its own result."""
    places = [(file.lfn, file.se) for file in body.files]
    return fast({"results": await confirmed(outside, who, key.id(who, "files.confirm"), places)})


async def confirmed(world: World, who: Principal, id_: UUID, places: Sequence[tuple[str, str]]) -> list[Json]:
    """What became of each: the bytes are read where they lie, whoever says that they are there."""
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(lfn: str, se: str) -> Receipt | Refused:
        async with room:
            try:
                storage = world.storages.open(who.vo, se, Access.CHECK)
                return Receipt(lfn, se, await storage.examine(lfn))
            except Refused as refused:
                return refused

    receipts = await asyncio.gather(*(ask(lfn, se) for lfn, se in places))
    good = tuple(each for each in receipts if isinstance(each, Receipt))
    command = ConfirmFiles(who.vo, who.subject, who.group, good, who.job, who.attempt)
    answer = await bulk(world, who, id_, command)
    if answer.refusal:
        raise answer.refusal
    told = iter(answer.told["results"])
    return [_result(place, explained(receipt) if isinstance(receipt, Refused) else next(told))
            for place, receipt in zip(places, receipts, strict=True)]  # fmt: skip


def _result(place: tuple[str, str], error: Any) -> Json:
    result: Json = {"lfn": place[0], "se": place[1]}
    return result | {"error": error} if error else result


@router.post("/downloads")
async def downloads(who: User, outside: Outside, body: Wanted) -> Response:
    """Where files can be fetched from for some minutes, without a token: the preferred replicas first."""
    files = (await found(outside, who, body.lfns))["files"]
    return fast({"results": [await source(outside, who.vo, lfn, files[lfn], body.se) for lfn in files]})


async def source(world: World, vo: str, lfn: str, file: Json, se: str | None = None) -> Json:
    """One file with the URLs of its good replicas, or why there is none."""
    if "error" in file:
        return {"lfn": lfn, "error": file["error"]}
    good = {each["se"] for each in file["replicas"] if each["state"] == Held.ACTIVE.value}
    wanted = frozenset(good & {se} if se else good)
    urls = [{"se": each.name, "url": await world.storages.open(vo, each.name, Access.READ).download_url(lfn)}
            for each in preferred(world.storages.known(vo), vo, Access.READ, wanted)]  # fmt: skip
    if not urls:
        return {"lfn": lfn, "error": explained(_unreadable(lfn, good, se))}
    known = {name: file[name] for name in ("size", "adler32", "sha256")}
    return {"lfn": lfn, "urls": urls} | known


def _unreadable(lfn: str, good: set[str], se: str | None) -> Refused:
    """Why a file cannot be read now."""
    if se and se not in good:
        return Refused(Code.REPLICA_UNKNOWN, lfn=lfn, se=se)
    if not good:
        return Refused(Code.FILE_LOST, lfn=lfn)
    return Refused(Code.SE_REFUSES, se=", ".join(sorted(good)), status="closed", access="read")
