"""The catalogue: register files and directories, look them up, list them."""

from collections import defaultdict
from collections.abc import Collection
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from domain.data.access import READ, Asker, Guarded, check, may
from domain.data.bulk import BulkCommand, ChangeReplicas, MakeDirectories, ProtectPaths, RegisterFiles
from domain.data.names import check_file, check_name, directory_stream, file_stream, parent
from domain.errors import Code, Refused
from gateway.data.fields import (
    AfterName,
    Files,
    Json,
    NewDirectories,
    Path,
    Protection,
    Replicas,
    Some,
    fast,
    told,
)  # fmt: skip
from gateway.errors import explained
from gateway.fields import Page
from gateway.keys import Keyed
from gateway.ports import Answer, Outside, Principal, Row, World
from gateway.rights import User
from projections.data import directories, files, replicas
from projections.data.history import SENTENCES
from projections.history import lines

router = APIRouter(prefix="/api/v1/data", tags=["data"])


def asker(who: Principal) -> Asker:
    """Who asks, as far as rights on data go."""
    return Asker(who.subject, who.group, who.rights)


async def bulk(world: World, who: Principal, id_: UUID, command: BulkCommand) -> Answer:
    """Have a bulk decided."""
    (answer,) = await world.ask(who, [(id_, command)])
    return answer


@router.post("/files")
async def register(who: User, key: Keyed, outside: Outside, body: Files) -> Response:
    """Register files that lie on storage elements already; the same again is no fault. Each has its own result."""
    new = tuple(file.as_new() for file in body.files)
    command = RegisterFiles(who.vo, who.subject, who.group, new)
    answer = await bulk(outside, who, key.id(who, "files.register"), command)
    return fast(told(answer, [file.lfn for file in new]))


@router.post("/directories")
async def make_directories(who: User, key: Keyed, outside: Outside, body: NewDirectories) -> Response:
    """Make directories, with all they are in; one that is there is no fault."""
    command = MakeDirectories(who.vo, who.subject, who.group, tuple(body.paths), body.mode)
    return fast(told(await bulk(outside, who, key.id(who, "directories"), command), body.paths, "path"))


@router.post("/directories/protect")
async def protect(who: User, key: Keyed, outside: Outside, body: Protection) -> Response:
    """Change mode, owner or group of directories: their owner may change the mode, who manages data everything."""
    command = ProtectPaths(who.vo, who.subject, who.group, tuple(body.paths), body.mode, body.owner, body.group)
    return fast(told(await bulk(outside, who, key.id(who, "protect"), command), body.paths, "path"))


@router.post("/replicas/{verb}")
async def change_replicas(who: User, key: Keyed, outside: Outside, verb: str, body: Replicas) -> Response:
    """add, drop, doubt, lose or trust the replicas of files at one storage element. Each has its own result."""
    command = ChangeReplicas(who.vo, who.subject, who.group, verb[:16], body.se, tuple(body.lfns), body.reason)
    return fast(told(await bulk(outside, who, key.id(who, "replicas", verb), command), body.lfns))


@router.post("/lookup")
async def lookup(who: User, outside: Outside, body: Some) -> Response:
    """What some files are, and where they lie. Each has its own result."""
    return fast(await found(outside, who, body.lfns))


async def found(world: World, who: Principal, lfns: list[str]) -> Json:
    """Files with their replicas by name, or an error each."""
    names, wrong = _checked(who, lfns)
    rows = {row["file"]: row for row in await world.read(files.named(names))} if names else {}
    by_file = defaultdict(list)
    for row in await world.read(replicas.of_ids(list(rows))) if rows else ():
        by_file[row["file"]].append({name: row[name] for name in ("se", "state", "since", "sure_at", "reason")})
    answers: Json = {}
    for lfn in names:
        there = rows.get(file_stream(lfn))
        refused = _unreadable(who, lfn, there)
        if there is None or refused:
            answers[lfn] = {"error": explained(refused or Refused(Code.FILE_UNKNOWN, lfn=lfn))}
        else:
            answers[lfn] = shown(there) | {"replicas": by_file[there["file"]]}
    return {"files": answers | wrong}


def _unreadable(who: Principal, lfn: str, row: Row | None) -> Refused | None:
    """Why somebody may not know of a file."""
    if row is None or row["status"] == "Removed":
        return Refused(Code.FILE_UNKNOWN, lfn=lfn)
    if not may(asker(who), of_row(row), READ):
        return Refused(Code.DATA_FORBIDDEN, verb="read", path=row["path"])
    return None


def shown(row: Row) -> Json:
    """A file as answers have it."""
    return {"lfn": f"{row['path']}/{row['name']}"} | {name: row[name] for name in files.SHOWN}


def of_row(row: Row) -> Guarded:
    """What the directory of a file says about who may do what."""
    return Guarded(row["path"], row["directory_owner"], row["directory_group"], row["mode"])


def _checked(who: Principal, lfns: list[str]) -> tuple[list[str], Json]:
    names, wrong = [], {}
    for lfn in dict.fromkeys(lfns):
        try:
            names.append(check_file(who.vo, lfn))
        except Refused as refused:
            wrong[lfn] = {"error": explained(refused)}
    return names, wrong


@router.get("/list")
async def listed(
    who: User, outside: Outside, path: Path = "", limit: Page = 1000, after: AfterName = "",
    recursive: Annotated[bool, Query(description="all files below, in no order of names")] = False,
) -> Response:  # fmt: skip
    """A directory: what is in it, by name. The next page begins `after` the `next` of this one (null at the end)."""
    path = check_name(who.vo, path.rstrip("/") or f"/{who.vo}")
    rows = await outside.read(directories.named([path]))
    if not rows:
        raise Refused(Code.DIRECTORY_UNKNOWN, path=path)
    check(asker(who), guarded(rows[0]), READ)
    if recursive:
        return fast(await _below(outside, who, path, after, limit))
    page = await outside.read(files.in_directory(path, after=after, limit=limit))
    inside = [] if after else await outside.read(directories.inside(path))
    if len(inside) > directories.MOST_INSIDE:
        raise Refused(Code.TOO_MANY, count=f"more than {directories.MOST_INSIDE}", things="directories in it",
                      limit=directories.MOST_INSIDE)  # fmt: skip
    return fast({
        "path": path,
        "directory": _directory(rows[0]),
        "directories": [_directory(row) for row in inside],
        "files": [shown(row) for row in page],
        "next": page[-1]["name"] if len(page) == limit else None,
    })  # fmt: skip


async def _below(world: World, who: Principal, path: str, after: str, limit: int) -> Json:
    """The files below that the asker may read; a page may have fewer than asked for and not be the last one."""
    try:
        start = UUID(after) if after else None
    except ValueError:
        raise Refused(Code.MALFORMED, problem="after: expected the `next` of the page before") from None
    page = await world.read(files.below(path, after=start, limit=limit))
    readable = [shown(row) for row in page if may(asker(who), of_row(row), READ)]
    return {"path": path, "files": readable, "next": page[-1]["file"] if len(page) == limit else None}


async def check_readable(world: World, who: Principal, path: str) -> None:
    """Let somebody know of a file or directory, or not.

    Raises:
        Refused: DATA_FORBIDDEN.
    """
    for row in await world.read(directories.named([path, parent(path)])):
        check(asker(who), guarded(row), READ)


async def open_to(world: World, who: Principal, lfns: Collection[str]) -> set[str]:
    """Those of these files that the asker may know of, by what their directories say; they may be gone by now."""
    rows = await world.read(directories.named(list({parent(lfn) for lfn in lfns})))
    paths = {row["path"] for row in rows if may(asker(who), guarded(row), READ)}
    return {lfn for lfn in lfns if parent(lfn) in paths}


def guarded(row: Row) -> Guarded:
    """What a directory says about who may do what."""
    return Guarded(row["path"], row["owner"], row["owner_group"], row["mode"])


def _directory(row: Row) -> Json:
    return {name: row[name] for name in ("path", "owner", "owner_group", "mode", "created_at")}


@router.get("/history")
async def history(who: User, outside: Outside, path: Path) -> Json:
    """Everything that happened to a file or a directory, a sentence each."""
    check_name(who.vo, path)
    events = await outside.history("files", file_stream(path))
    events = events or await outside.history("files", directory_stream(path))
    if not events:
        raise Refused(Code.FILE_UNKNOWN, lfn=path)
    await check_readable(outside, who, path)
    named = {who.subject: who.name or who.subject}
    return {"path": path, "lines": [line._asdict() for line in lines(events, named, SENTENCES)]}
