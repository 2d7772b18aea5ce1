"""Checks of storage elements, what they found, and why a file is as it is."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import Field

from domain.data.consistency import CheckStorage
from domain.data.element import Access, usable
from domain.data.names import check_file, check_name
from domain.errors import Code, Refused
from gateway.data.catalogue import asker, found
from gateway.data.fields import Json, Path, fast
from gateway.fields import Body, Filter, Page
from gateway.keys import Keyed
from gateway.ports import Outside, Principal
from gateway.rights import User
from projections.data import checks, findings

router = APIRouter(prefix="/api/v1/data", tags=["data"])
NEXT = {
    "Intended": "upload it again with spinor data put, or remove it with spinor data rm",
    "Suspect": "spinor data check {se}",
    "Lost": "spinor data check {se}; if it stays lost, put it there again",
    "Removing": "nothing: its bytes are going",
}


class Where(Body):
    """Below which directory; empty: everything of the VO."""

    path: Annotated[str, Field(max_length=1024)] = ""


@router.post("/elements/{se}/check", status_code=202)
async def check(who: User, key: Keyed, outside: Outside, se: str, body: Where) -> Json:
    """Compare what a storage element has with the catalogue. It goes on by itself: look at the check for its end."""
    _manages(who)
    usable(outside.storages.known(who.vo), who.vo, se, Access.CHECK)
    path = check_name(who.vo, body.path.rstrip("/") or f"/{who.vo}")
    id_ = key.id(who, "check", se, path)
    (answer,) = await outside.ask(who, [(id_, CheckStorage(who.vo, id_, se, path))])
    if answer.refusal:
        raise answer.refusal
    return {"check": id_}


@router.get("/checks/{check}")
async def one(who: User, outside: Outside, check: UUID) -> Response:
    """How far a check is."""
    _manages(who)
    rows = await outside.read(checks.one(who.vo, check))
    if not rows:
        raise Refused(Code.NOT_FOUND, thing="check", name=str(check))
    return fast({name: value for name, value in rows[0].items() if name != "version"})


@router.get("/findings")
async def listed(
    who: User, outside: Outside, se: Filter = "", kind: Filter = "", resolved: Annotated[bool, Query()] = False,
    limit: Page = 1000,
) -> Response:  # fmt: skip
    """Where storage and catalogue diverge, newest first: dark, lost, size, unconfirmed."""
    _manages(who)
    query = findings.of_vo(who.vo, se=se, kind=kind, resolved=resolved, limit=limit)
    return fast({"findings": await outside.read(query)})


@router.get("/why")
async def why(who: User, outside: Outside, path: Path) -> Response:
    """Whether a file can be used, and if not, what is wrong where and what to do."""
    lfn = check_file(who.vo, path)
    file = (await found(outside, who, [lfn]))["files"][lfn]
    if "error" in file:
        return fast({"lfn": lfn} | file["error"])
    places = file["replicas"]
    wrong = {row["se"]: row for row in await outside.read(findings.of_file(who.vo, lfn, [p["se"] for p in places]))}
    known = outside.storages.known(who.vo)
    return fast({
        "lfn": lfn,
        "status": file["status"],
        "usable": any(p["state"] == "Active" and "read" not in _refuses(known, p["se"]) for p in places),
        "replicas": [_told(place, wrong.get(place["se"]), _refuses(known, place["se"])) for place in places],
    })  # fmt: skip


def _refuses(known: Any, se: str) -> dict[str, str]:
    return dict(known[se].refuses) if se in known else {"read": "not configured"}


def _told(place: Json, finding: Any, refuses: dict[str, str]) -> Json:
    told = {name: place[name] for name in ("se", "state", "since", "reason")}
    told["refuses"] = refuses
    told["next"] = NEXT.get(place["state"], "").format(se=place["se"])
    if finding:
        told["finding"] = {name: finding[name] for name in ("kind", "since", "until", "detail", "found_at")}
    return told


def _manages(who: Principal) -> None:
    if not asker(who).manages:
        raise Refused(Code.FORBIDDEN, right="DataManager")
