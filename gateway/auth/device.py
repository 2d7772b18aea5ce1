"""The device flow: a terminal shows a code, a browser anywhere logs in for it."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from domain.errors import Code, Refused
from gateway.auth import granting, pages
from gateway.auth.sources import guessing, remembered
from gateway.auth.wellknown import CLIENT, base
from gateway.identity import PENDING, Flow
from gateway.ports import Outside
from gateway.rights import public

router = APIRouter(prefix="/api/auth", tags=["auth"], dependencies=[Depends(public)])
LIFE = 600  # seconds
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, so no words; nothing that looks like a digit
Word = Annotated[str, Query(max_length=4096)]
Typed = Annotated[str, Form(max_length=4096)]


@router.post("/device")
async def initiate_device_flow(request: Request, outside: Outside, client_id: Word, scope: Word) -> dict[str, Any]:
    """Begin: a code for the person, and one for the terminal that waits."""
    if client_id != CLIENT:
        raise Refused(Code.CLIENT_UNKNOWN, problem="Unrecognised client ID")
    wanted = granting.wanted(outside, scope)
    if outside.identity.registries()[wanted.vo].idp is None:
        raise Refused(Code.NO_PROVIDER, vo=wanted.vo)
    device_code, user_code = secrets.token_urlsafe(32), "".join(secrets.choice(LETTERS) for _ in range(8))
    expires = datetime.now(UTC) + timedelta(seconds=LIFE)
    flow = Flow(
        uuid4(), "device", wanted.vo, wanted.group, client_id, expires, wanted.properties, user_code=user_code
    )  # fmt: skip
    await outside.identity.begin(flow, device_code)
    at = f"{base(request, outside)}/api/auth/device"
    return {
        "user_code": user_code, "device_code": device_code, "verification_uri": at,
        "verification_uri_complete": f"{at}?user_code={user_code}", "expires_in": LIFE,
    }  # fmt: skip


@router.get("/device", status_code=307)
@pages.for_browsers
async def do_device_flow(request: Request, outside: Outside, user_code: Word = "") -> Response:
    """The browser: on to the provider; without a code, a page that asks for it."""
    if not user_code:
        return pages.ask_for_code()
    typed = "".join(letter for letter in user_code.upper() if letter in LETTERS)
    async with guessing(outside, request, "user-code"):
        flow = await outside.identity.by_user_code(typed)
        if flow is None or flow.status != PENDING or flow.expires < datetime.now(UTC):
            raise Refused(Code.GRANT, problem="No row was found when one was required", vo="VO")
    granting.readable(outside, flow.vo)
    back = f"{base(request, outside)}/api/auth/device/complete"
    return RedirectResponse(await outside.identity.depart(flow, back), 307)


@router.get("/device/complete", status_code=307)
@pages.for_browsers
async def finish_device_flow(
    request: Request, outside: Outside, state: Word, code: Word = "", error: Word = "", iss: Word = ""
) -> Response:
    """The browser comes back from the provider. A person is asked first whose terminal it is: whoever sent them a link
    would act as them (RFC 8628, 5.4), and a provider that knows them already asks nothing."""
    async with remembered(outside, request, "login"):
        if error or not code:
            raise Refused(Code.PROVIDER_REFUSED, vo="this VO", problem=error[:100] or "it gave no code")
        if "text/html" in request.headers.get("accept", ""):
            flow = await outside.identity.waiting("device", state)
            return pages.confirm(flow, {"state": state, "code": code, "iss": iss})
        await outside.identity.arrive("device", state, code, iss)
    return RedirectResponse(f"{base(request, outside)}/api/auth/device/complete/finished", 307)


@router.post("/device/complete", status_code=303, include_in_schema=False)
@pages.for_browsers
async def confirm_device_flow(
    request: Request, outside: Outside, state: Typed, code: Typed, iss: Typed = ""
) -> Response:
    """The person knows the terminal."""
    async with remembered(outside, request, "login"):
        await outside.identity.arrive("device", state, code, iss)
    return RedirectResponse(f"{base(request, outside)}/api/auth/device/complete/finished", 303)


@router.get("/device/complete/finished")
async def finished() -> Response:
    """The last page that the browser shows."""
    return pages.finished()
