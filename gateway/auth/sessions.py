"""Who I am, and the sessions: listed, and ended one by one."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Form, Path, Response

from domain.errors import Code, Refused
from domain.session import jti, session_of
from gateway.auth import granting
from gateway.auth.wellknown import CLIENT
from gateway.errors import problem
from gateway.ports import Outside, Principal, Row, World
from gateway.rights import Resident, public
from projections import sessions

router = APIRouter(prefix="/api/auth", tags=["auth"])
CREATED, REVOKED = 1, 2
Json = dict[str, Any]


@router.get("/userinfo")
async def userinfo(who: Resident) -> Response:
    """What the access token says."""
    told = {
        "sub": who.sub or who.subject, "vo": who.vo, "dirac_group": who.group, "policies": {},
        "properties": sorted(who.rights), "preferred_username": who.name,
    }  # fmt: skip
    return Response(msgspec.json.encode(told), media_type="application/json")


@router.get("/refresh-tokens")
async def get_refresh_tokens(who: Resident, outside: Outside) -> list[Json]:
    """One's own that still work; with ProxyManagement everybody's of the VO, those that ended, too."""
    every = "ProxyManagement" in who.rights
    query = sessions.of_vo(who.vo, subject="" if every else who.subject, alive=not every)
    rows = await outside.read(query)
    return [_shown(row) for row in rows if row["how"] != "client"]


def _shown(row: Row) -> Json:
    return {
        "JTI": str(jti(row["session"], row["generation"])), "Status": REVOKED if row["ended_at"] else CREATED,
        "Scope": f"vo:{row['vo']} group:{row['group_name']}", "Sub": f"{row['vo']}:{row['sub']}",
    }  # fmt: skip


@router.delete("/refresh-tokens/{token}")
async def revoke_refresh_token_by_jti(
    who: Resident, outside: Outside, token: Annotated[str, Path(max_length=64)]
) -> Any:
    """End a session by one of its refresh tokens."""
    try:
        session, _ = session_of(UUID(token))
    except ValueError:
        raise Refused(Code.MALFORMED, problem=f"{token} is no UUID") from None
    row = await _one(outside, session)
    if row is None or row["vo"] != who.vo:
        return problem(Refused(Code.SESSION_UNKNOWN, session=token), 404)
    if row["subject"] != who.subject and "ProxyManagement" not in who.rights:
        raise Refused(Code.SESSION_NOT_YOURS)
    await granting.end(outside, who, [row], "revoked")
    return "Refresh token revoked"


@router.post("/revoke", dependencies=[Depends(public)])
async def revoke_refresh_token_by_refresh_token(
    outside: Outside, token: Annotated[str, Form(max_length=8192)],
    token_type_hint: Annotated[str, Form(max_length=100)] = "",
    client_id: Annotated[str, Form(max_length=255)] = CLIENT,
) -> Any:  # fmt: skip
    """End the session of a refresh token, as RFC 7009 has it: nobody learns whether it was one."""
    if client_id != CLIENT:
        return problem(Refused(Code.CLIENT_UNKNOWN, problem="Unrecognised client_id"), 401)
    if token_type_hint == "access_token":  # noqa: S105
        return problem(Refused(Code.GRANT, problem="unsupported_token_type", vo="VO"), 400,
                       error="unsupported_token_type")  # fmt: skip
    try:
        session, _ = session_of(outside.identity.presented(token, ended=True)[0])
    except Refused:
        return "Refresh token revoked"
    if (row := await _one(outside, session)) and not row["ended_at"]:
        who = Principal("user", row["subject"], row["vo"])
        await granting.end(outside, who, [row], "logout")
    return "Refresh token revoked"


@router.get("/sessions")
async def listed(who: Resident, outside: Outside) -> Json:
    """One's own sessions that are alive, newest first."""
    rows = await outside.read(sessions.of_vo(who.vo, subject=who.subject))
    return {"sessions": [_told(row, who) for row in rows]}


def _told(row: Row, who: Principal) -> Json:
    names = ("session", "how", "opened_at", "refreshed_at", "until")
    return {name: row[name] for name in names} | {
        "group": row["group_name"], "current": str(row["session"]) == who.session,
    }  # fmt: skip


@router.delete("/sessions")
async def ended(who: Resident, outside: Outside) -> Json:
    """End all of one's own sessions, this one too."""
    return {"ended": await granting.end_all(outside, who, who.vo, "logout", subject=who.subject)}


async def _one(world: World, session: UUID) -> Row | None:
    rows = await world.read(sessions.one(session))
    return rows[0] if rows else None
