"""Pilots as people see them: lists, one pilot with its jobs, and announcing a new one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from secrets import token_hex, token_urlsafe
from typing import Any
from uuid import uuid4

import msgspec
from fastapi import APIRouter

from domain.errors import Code, Refused
from domain.pilot import RENEWED_FOR, SECRET_GOOD_FOR, RequestPilot, RevokePilot, Status
from domain.usable import places
from domain.values import pilot_stream
from gateway.fields import AsOf, Body, Filter, Page, PilotInPath, Stamp, Text
from gateway.keys import Keyed
from gateway.ports import Outside, Row
from gateway.resources import shown
from gateway.rights import Administrator, User, only
from projections import assignments, jobs, pilots, resource_status
from projections.history import lines

router = APIRouter(prefix="/api/v1/pilots", tags=["pilots"])
Json = dict[str, Any]


class Announcement(Body):
    """A pilot that is expected; without a stamp it gets one."""

    stamp: Stamp | None = None
    site: Text = ""
    ce: Text = ""
    queue: Text = ""


class Reason(Body):
    """Why."""

    reason: Text = ""


@router.get("")
async def listed(who: User, outside: Outside, status: Filter = "", limit: Page = 100) -> Json:
    """Pilots of the VO, newest first."""
    rows = await outside.read(pilots.of_vo(who.vo, status=status or None, limit=limit))
    return {"pilots": [_shown(row) for row in rows]}


@router.get("/{stamp}")
async def one(who: User, outside: Outside, stamp: PilotInPath) -> Json:
    """A pilot, what is said of its place, when it was heard of last, and its jobs, as far as the asker may see them."""
    rows = await outside.read(pilots.one(who.vo, stamp))
    if not rows:
        raise Refused(Code.PILOT_UNKNOWN, pilot=stamp)
    query = assignments.of_pilot(who.vo, stamp).limit(1000)
    for column, value in only(who).items():
        query = query.where(jobs.jobs.c[column] == value)
    stream = pilot_stream(who.vo, stamp)
    heard = await outside.last_heard([stream])
    proofs = await outside.proofs(who.vo, stamp)
    told = _shown(rows[0]) | _credential(rows[0], proofs)
    here = places(told["site"], told["ce"], told["queue"], told["node"].get("hostname", ""), stamp)
    standing = await outside.read(resource_status.at(who.vo, here))
    return told | {
        "standing": [shown(row) for row in standing],
        "heard_at": heard[stream][0] if stream in heard else None,
        "jobs": await outside.read(query),
    }


@router.get("/{stamp}/history")
async def history(who: User, outside: Outside, stamp: PilotInPath, as_of: AsOf = None) -> Json:
    """Everything that happened to the pilot, a sentence each."""
    events = await outside.history("pilots", pilot_stream(who.vo, stamp), as_of)
    if not events and not as_of:
        raise Refused(Code.PILOT_UNKNOWN, pilot=stamp)
    return {"pilot": stamp, "lines": [line._asdict() for line in lines(events, {})]}


@router.post("", status_code=201)
async def announce(who: Administrator, outside: Outside, body: Announcement) -> Json:
    """Expect a pilot. Its secret is made here, kept only hashed, and shown this once."""
    stamp, secret = body.stamp or token_hex(8), token_urlsafe(32)
    digest = sha256(secret.encode()).hexdigest()
    command = RequestPilot(who.vo, stamp, digest, body.site, body.ce, body.queue)
    (answer,) = await outside.ask(who, [(uuid4(), command)])
    if answer.refusal:
        raise answer.refusal
    return {"pilot": stamp, "vo": who.vo, "secret": secret}


@router.post("/{stamp}/revoke")
async def revoke(who: Administrator, key: Keyed, outside: Outside, stamp: PilotInPath, body: Reason) -> Json:
    """Take everything from a pilot: its secret, its tokens, and the jobs it holds."""
    command = RevokePilot(who.vo, stamp, body.reason)
    (answer,) = await outside.ask(who, [(key.id(who, "revoke", stamp), command)])
    if answer.refusal:
        raise answer.refusal
    return _shown((await outside.read(pilots.one(who.vo, stamp)))[0])


def _credential(row: Row, proofs: Sequence[Row]) -> Json:
    """What its secret is worth, when it proved itself last, and what was refused."""
    used = row["incarnation"] > 0
    until = row["requested_at"] + (RENEWED_FOR if used else SECRET_GOOD_FOR)
    state = "renewable" if used else "not used yet"
    if until < datetime.now(UTC):
        state = "expired"
    if row["revoked_at"] or row["status"] == Status.DONE:
        state = "revoked" if row["revoked_at"] else "spent"
    proved = next((proof for proof in proofs if not proof["code"]), None)
    return {
        "credential": state, "credential_until": until, "proved_at": proved["last_at"] if proved else None,
        "proofs": proved["count"] if proved else 0,
        "refused": [{"code": p["code"], "count": p["count"], "last": p["last_at"]} for p in proofs if p["code"]],
    }  # fmt: skip


def _shown(row: Row) -> Json:
    return dict(row) | {"node": msgspec.json.decode(row["node"] or "{}")}
