"""Requests: have something done with files, see how far it is and what it waits for, cancel it."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, Field

from domain.data.access import WRITE, check
from domain.data.element import Access, usable
from domain.data.request import (
    MOST_FILES,
    MOST_OPERATIONS,
    VERBS,
    CancelRequest,
    MakeRequest,
    Operation,
    RequestCommand,
)
from domain.errors import Code, Refused
from gateway.data.catalogue import asker, found, of_row
from gateway.data.fields import Json, Name, SeName, fast
from gateway.errors import explained
from gateway.fields import Body, Page, clean
from gateway.keys import Keyed
from gateway.ports import Outside, Principal, Row, World
from gateway.rights import User
from projections.data import files, requests
from projections.data.history import SENTENCES
from projections.history import lines

router = APIRouter(prefix="/api/v1/data/requests", tags=["data"])
WRITES = ("replicate",)
DAY = 86_400
SHOWN = ("request", "status", "detail", "operation", "files", "done", "failed", "tries", "reason", "job", "owner",
         "owner_group", "made_at", "updated_at")  # fmt: skip


class Step(Body):
    """One operation, done with all files before the next one begins; `se` is where, for all but remove."""

    verb: Annotated[str, Field(pattern=f"^({'|'.join(VERBS)})$")]
    se: SeName | None = None


class Wanted(Body):
    """What is to be done with which files, within so many days."""

    lfns: Annotated[list[Name], Field(min_length=1, max_length=MOST_FILES)]
    operations: Annotated[list[Step], Field(min_length=1, max_length=MOST_OPERATIONS)]
    reason: Annotated[str, Field(max_length=255), AfterValidator(clean)] = ""
    days: Annotated[float, Field(gt=0, le=30, allow_inf_nan=False)] = 7.0


@router.post("", status_code=201)
async def make(who: User, key: Keyed, outside: Outside, body: Wanted) -> Response:
    """Have something done with files of which you may change the directory; refused ones are told and left out."""
    elements = outside.storages.known(who.vo)
    for step in body.operations:
        if step.se and step.verb in WRITES and not (step.se in elements and elements[step.se].serves(who.vo)):
            usable(elements, who.vo, step.se, Access.WRITE)  # there is none of that name; a banned one is waited for
    good, refused = await _allowed(outside, who, body.lfns)
    if not good:
        raise refused[0][1]
    request = key.id(who, "request")
    operations = tuple(Operation(step.verb, step.se or "") for step in body.operations)
    command = MakeRequest(who.vo, request, who.subject, who.group, operations, tuple(good), body.reason,
                          int(body.days * DAY))  # fmt: skip
    await _asked(outside, who, key.id(who, "request.make"), command)
    told = [{"lfn": lfn, "error": explained(why)} for lfn, why in refused]
    return fast({"request": request, "files": len(good), "refused": told}, 201)


async def _allowed(world: World, who: Principal, lfns: list[str]) -> tuple[list[str], list[tuple[str, Refused]]]:
    """The files that somebody may change, and why not the others."""
    answers = (await found(world, who, lfns))["files"]
    good = [lfn for lfn, answer in answers.items() if "error" not in answer]
    rows = await world.read(files.named(good)) if good else []
    refused = [(lfn, Refused(Code.of(answer["error"]["code"]), **_parameters(answer["error"])))
               for lfn, answer in answers.items() if "error" in answer]  # fmt: skip
    allowed = []
    for row in rows:
        lfn = f"{row['path']}/{row['name']}"
        try:
            check(asker(who), of_row(row), WRITE)
            allowed.append(lfn)
        except Refused as why:
            refused.append((lfn, why))
    return sorted(allowed), refused


def _parameters(error: Json) -> Json:
    return {name: value for name, value in error.items() if name not in ("code", "detail", "who", "next")}


@router.get("")
async def listed(who: User, outside: Outside, status: Annotated[str, Query(max_length=16)] = "", mine: bool = False,
                 limit: Page = 100) -> Json:  # fmt: skip
    """Your requests, newest first; those of the whole VO for who manages data."""
    own = mine or not asker(who).manages
    query = requests.of_vo(who.vo, status=status, owner=who.subject if own else "", limit=limit)
    return {"requests": [_shown(row) for row in await outside.read(query)]}


@router.get("/{request}")
async def show(who: User, outside: Outside, request: UUID) -> Json:
    """One request with its history."""
    row = await _row(outside, who, request)
    command = CancelRequest(who.vo, request, who.subject)
    events = await outside.history("files", command.stream)
    told = lines(events, {who.subject: who.name or who.subject}, SENTENCES)
    return _shown(row) | {"lines": [line._asdict() for line in told]}


@router.get("/{request}/why")
async def why(who: User, outside: Outside, request: UUID) -> Json:
    """What a request waits for, or why it ended as it did."""
    row = await _row(outside, who, request)
    said = {"Done": "everything is done", "Waiting": "it is being tried"}.get(row["status"], "it ended")
    return _shown(row) | {"why": row["detail"] or said}


@router.post("/{request}/cancel")
async def cancel(who: User, key: Keyed, outside: Outside, request: UUID) -> Json:
    """Do nothing more of it; what is done stays done."""
    command = CancelRequest(who.vo, request, who.subject, asker(who).manages)
    await _asked(outside, who, key.id(who, "request.cancel", request), command)
    return _shown(await _row(outside, who, request))


async def _row(world: World, who: Principal, request: UUID) -> Row:
    rows = await world.read(requests.one(who.vo, request))
    if not rows:
        raise Refused(Code.NOT_FOUND, thing="request", name=str(request))
    if rows[0]["owner"] != who.subject and not asker(who).manages:  # it names files
        raise Refused(Code.FORBIDDEN, right="a request of your own, or DataManager")
    return rows[0]


def _shown(row: Row) -> Json:
    operations: list[Any] = msgspec.json.decode(row["operations"])
    return {name: row[name] for name in SHOWN} | {"operations": operations}


async def _asked(world: World, who: Principal, id_: UUID, command: RequestCommand) -> None:
    (answer,) = await world.ask(who, [(id_, command)])
    if answer.refusal:
        raise answer.refusal
