"""Who logged in, who was refused, what was given out and taken back: for managers of a VO, and for everybody about
themselves."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from domain.errors import Code, Refused
from domain.session import Session, session_of
from gateway.fields import MOST, Page
from gateway.holding import Held
from gateway.ports import Outside, Principal, Row, World
from gateway.rights import MANAGERS, User
from gateway.suspensions import users
from gateway.visible import sees_all
from projections import sessions
from projections.audit import ALL, TOPICS, Sought, told
from projections.history import Line

router = APIRouter(prefix="/api/v1", tags=["system"])
AUDITORS = MANAGERS | {"CSAdministrator"}
HELD = 10  # questions that wait for something new, of one person
Kind = Annotated[Literal["", "logins", "refusals", "tokens", "revocations"], Query(description="empty: all")]
Moment = Annotated[AwareDatetime | None, Query()]
Json = dict[str, Any]


@router.get("/audit")
async def audit(
    who: User, outside: Outside, holding: Held, kind: Kind = "", limit: Page = 100, since: Moment = None,
    until: Moment = None, user: Annotated[str, Query(max_length=255, description="a name or pseudonym")] = "",
    after: Annotated[int, Query(ge=-1, le=MOST, description="a position: what came after it, oldest first")] = 0,
    wait: Annotated[float, Query(ge=0, le=30, description="seconds to wait for something new")] = 0,
) -> Json:  # fmt: skip
    """Logins, refusals, tokens and revocations: of the VO for its managers, else one's own."""
    subject = await _whom(outside, who, user)
    vos = (who.vo, "") if sees_all(who, outside.configuration()) else (who.vo,)
    sought = Sought(vos, TOPICS.get(kind, ALL), subject, since, until, after, limit)
    if after and wait:
        with holding.one(who, HELD):
            events = await outside.audit(sought, wait)
    else:
        events = await outside.audit(sought)
    lines = [_line(line, event.position) for line, event in zip(await _told(outside, who, events), events, strict=True)]
    return {"lines": lines, "last": events[-1].position if events else after}


@router.get("/sessions/{session}/history")
async def history(who: User, outside: Outside, session: UUID) -> Json:
    """The life of one session: by whom it was begun, each refresh, its end. The id of one of its tokens does, too."""
    events = await outside.history(Session.LOG, session_of(session)[0])
    first = events[0] if events else None
    if first is None or not isinstance(first.event, Session.Opened) or first.vo != who.vo:
        raise Refused(Code.NOT_FOUND, thing="session", name=str(session))
    if first.event.subject != who.subject and not who.rights & AUDITORS:
        raise Refused(Code.SESSION_NOT_YOURS)
    return {"lines": [line._asdict() for line in await _told(outside, who, events)]}


async def _whom(world: World, who: Principal, user: str) -> str:
    """Whose events are shown: "" for everybody's of the VO."""
    if not who.rights & AUDITORS:
        if user not in ("", who.name, who.subject):
            raise Refused(Code.FORBIDDEN, right=" or ".join(sorted(AUDITORS)))
        return who.subject
    if not user:
        return ""
    found = await users(world, who.vo, user)
    if len(found) != 1:
        raise Refused(Code.NOT_FOUND, thing="single user", name=user)
    return next(iter(found))


async def _told(world: World, who: Principal, events: Any) -> list[Line]:
    subjects = {event.actor.partition(":")[2] for event in events if event.actor.startswith("user:")}
    rows: list[Row] = await world.read(sessions.names(who.vo, subjects)) if subjects else []
    return told(events, {who.subject: who.name} | {row["subject"]: row["name"] for row in rows})


def _line(line: Line, position: int) -> Json:
    return line._asdict() | {"position": position}
