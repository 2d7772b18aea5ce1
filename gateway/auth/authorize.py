"""The authorization code flow: a web application gets a code for whoever logged in."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from domain.errors import Code, Refused
from gateway.auth import granting
from gateway.auth.device import Word
from gateway.auth.pages import for_browsers
from gateway.auth.sources import remembered
from gateway.auth.wellknown import CLIENT, base
from gateway.identity import Flow
from gateway.ports import Outside
from gateway.rights import public

router = APIRouter(prefix="/api/auth", tags=["auth"], dependencies=[Depends(public)])
LIFE = 300  # seconds
Challenge = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{43}$")]


@router.get("/authorize", status_code=307)
@for_browsers
async def initiate_authorization_flow(
    request: Request, outside: Outside, response_type: Literal["code"], code_challenge: Challenge,
    code_challenge_method: Literal["S256"], client_id: Word, redirect_uri: Word, scope: Word, state: Word,
) -> Response:  # fmt: skip
    """On to the provider. Nothing is sent to an address that is not known, not even a refusal."""
    if client_id != CLIENT:
        raise Refused(Code.CLIENT_UNKNOWN, problem="Unrecognised client_id")
    if redirect_uri not in outside.identity.redirects:
        raise Refused(Code.CLIENT_UNKNOWN, problem="Unrecognised redirect_uri")
    wanted = granting.wanted(outside, scope)
    expires = datetime.now(UTC) + timedelta(seconds=LIFE)
    flow = Flow(
        uuid4(), "code", wanted.vo, wanted.group, client_id, expires, wanted.properties, redirect=redirect_uri,
        client_state=state, challenge=code_challenge,
    )  # fmt: skip
    there = await outside.identity.depart(flow, f"{base(request, outside)}/api/auth/authorize/complete")
    await outside.identity.begin(flow)
    return RedirectResponse(there, 307)


@router.get("/authorize/complete", status_code=307)
@for_browsers
async def complete_authorization_flow(
    request: Request, outside: Outside, state: Word, code: Word = "", error: Word = "", iss: Word = ""
) -> Response:
    """The browser comes back from the provider, and goes on to its application with a code."""
    async with remembered(outside, request, "login"):
        if error or not code:
            raise Refused(Code.PROVIDER_REFUSED, vo="this VO", problem=error[:100] or "it gave no code")
        flow, given = await outside.identity.arrive("code", state, code, iss)
    # Joined as texts: applications keep a fragment in their address and want the parameters inside of it.
    there = f"{flow.redirect}?{urlencode({'code': given, 'state': flow.client_state})}"
    return Response(status_code=307, headers={"Location": there})
