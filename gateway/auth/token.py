"""The token endpoint: every grant ends here."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Annotated, Any, NamedTuple

import msgspec
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import JSONResponse

from domain.errors import Code, Refused
from domain.membership import Person
from domain.session import RefreshSession, session_of
from domain.values import subject
from gateway.auth import granting
from gateway.auth.sources import guessing, remember, remembered
from gateway.auth.wellknown import DEVICE
from gateway.edge import ID
from gateway.errors import problem
from gateway.identity import PENDING, USED, Flow, Grant
from gateway.ports import Outside, Principal, Row, World
from gateway.rights import public
from projections import sessions

router = APIRouter(prefix="/api/auth", tags=["auth"], dependencies=[Depends(public)])
Text = Annotated[str, Form(max_length=8192)]
Json = dict[str, Any]


class Asked(NamedTuple):
    """What came with the request."""

    client: str
    code: str
    device_code: str
    redirect: str
    verifier: str
    refresh: str
    secret: str


@router.post("/token")
async def get_oidc_token(
    request: Request, outside: Outside, grant_type: Text, client_id: Text = "", code: Text = "",
    device_code: Text = "", redirect_uri: Text = "", code_verifier: Text = "", refresh_token: Text = "",
    client_secret: Text = "",
) -> Any:  # fmt: skip
    """Tokens for a code, for a refresh token, or for a client's own secret."""
    client, secret = _basic(request) or (client_id, client_secret)
    asked = Asked(client, code, device_code, redirect_uri, code_verifier, refresh_token, secret)
    if not client:
        raise Refused(Code.MALFORMED, problem="client_id: it is missing")
    if (answer := GRANTS.get(grant_type)) is None:
        return problem(Refused(Code.GRANT, problem="this grant type is not known", vo="VO"), 400,
                       error="unsupported_grant_type")  # fmt: skip
    told = await answer(request, outside, asked)
    return told if isinstance(told, JSONResponse) else JSONResponse(told, headers={"Pragma": "no-cache"})


async def _device(request: Request, world: World, asked: Asked) -> Any:
    if not asked.device_code:
        raise _grant("device_code: it is missing")
    async with guessing(world, request, "device-code"):
        flow = await world.identity.by_secret("device", asked.device_code)
        if flow is None:
            raise _grant("the device code is not known")
        if flow.client != asked.client:
            raise _grant("Bad client_id")
    if flow.status == PENDING and flow.expires > datetime.now(UTC):
        return JSONResponse({"error": "authorization_pending"}, 400)
    _alive(flow, "Device code expired")
    return await _granted(request, world, flow)


async def _code(request: Request, world: World, asked: Asked) -> Any:
    if not (asked.code and asked.verifier and asked.redirect):
        raise _grant("code, code_verifier and redirect_uri are needed")
    async with guessing(world, request, "authorization-code"):
        flow = await world.identity.by_secret("code", asked.code)
        if flow is None:
            raise _grant("the code is not known")
        if flow.redirect != asked.redirect:
            raise _grant("Invalid redirect_uri")
        if flow.client != asked.client:
            raise _grant("Bad client_id")
        shown = create_s256_code_challenge(asked.verifier) if asked.verifier.isascii() else ""
        if not compare_digest(shown, flow.challenge):
            raise _grant("Invalid code_challenge")
    _alive(flow, "Code expired")
    return await _granted(request, world, flow)


def _alive(flow: Flow, told: str) -> None:
    """A code is good for a while, and once."""
    if flow.status == USED:
        raise _grant("Code was already used")
    if flow.expires < datetime.now(UTC):
        raise Refused(Code.TOKEN_INVALID, problem=told)


async def _granted(request: Request, world: World, flow: Flow) -> Json:
    """Tokens for a flow whose person is known; a refusal does not use it up."""
    person = flow.person
    assert person is not None
    session = world.identity.new_session()
    async with remembered(world, request, "login", flow.vo):
        who = granting.principal(world, flow.vo, person, flow.group, flow.properties, session)
        if not await world.identity.use(flow):
            raise _grant("Code was already used")
    return granting.tokens(
        world, await granting.opened(world, who, person, flow.kind, flow.properties, flow.client)
    )  # fmt: skip


async def _refresh(request: Request, world: World, asked: Asked) -> Json:
    if not asked.refresh:
        raise _grant("refresh_token: it is missing")
    token, _ = world.identity.presented(asked.refresh)
    session, generation = session_of(token)
    rows = await world.read(sessions.one(session))
    if not rows:
        raise Refused(Code.SESSION_UNKNOWN, session=str(token))
    row = rows[0]
    async with remembered(world, request, "refresh", row["vo"], row["subject"]):
        who = _again(world, row)
        command = RefreshSession(session, generation, request.headers.get(ID, "")[:64], world.identity.grace)
        (answer,) = await world.ask(who, [(session, command)])
        if answer.refusal:
            await _reused(world, who, row, generation, answer.refusal)
    legacy = row["how"] == "legacy"
    grant = Grant(who, session, generation if legacy else generation + 1, row["until"], legacy)
    return granting.tokens(world, grant)


def _again(world: World, row: Row) -> Principal:
    """The one a session belongs to, as they are now: groups, properties and suspension are looked at again."""
    groups = tuple(msgspec.json.decode(row["groups"]))
    person = Person(row["sub"], row["name"], groups)
    asked = msgspec.json.decode(row["asked"])
    return granting.principal(world, row["vo"], person, row["group_name"], asked, row["session"])


async def _reused(world: World, who: Principal, row: Row, generation: int, refusal: Refused) -> None:
    """A used token came again: whoever has the others may be a thief, so all sessions of this subject end."""
    if refusal.code is Code.TOKEN_REUSED and row["ended_at"] is None:
        await granting.end_all(world, who, row["vo"], "reuse", subject=row["subject"], generation=generation)
    raise refusal


async def _client(request: Request, world: World, asked: Asked) -> Json:
    """A service with a secret of its own gets a token for its group, and none to refresh."""
    async with guessing(world, request, "client-secret"):
        service = world.identity.services.get(asked.client)
        kept = service.secret_sha256 if service else ""
        shown = sha256(asked.secret.encode()).hexdigest()
        if not compare_digest(kept or "0" * 64, shown) or service is None:
            raise Refused(Code.TOKEN_INVALID, problem="invalid_client: the client or its secret is wrong")
    registry = granting.registry_of(world, service.vo)
    pseudonym = subject(service.vo, "service", asked.client)
    if refusal := world.suspended(service.vo, pseudonym, service.group):
        await remember(world, request, "client-secret", refusal, service.vo, pseudonym)
        raise refusal
    who = Principal(
        "service", pseudonym, service.vo, asked.client, service.group, registry.properties(service.group),
        sub=f"{service.vo}:{asked.client}", session=str(world.identity.new_session()),
    )  # fmt: skip
    grant = await granting.opened(
        world, who, Person(asked.client, asked.client, ()), "client", client=asked.client, seconds=1200
    )  # fmt: skip
    return granting.tokens(world, grant, refreshable=False)


def _basic(request: Request) -> tuple[str, str] | None:
    """A client's name and secret in the header, as RFC 6749 has it."""
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Refused(Code.TOKEN_INVALID, problem="invalid_client: the client or its secret is wrong") from None
    return name, secret


def _grant(problem: str) -> Refused:
    return Refused(Code.GRANT, problem=problem, vo="VO")


GRANTS: dict[str, Callable[[Request, World, Asked], Awaitable[Any]]] = {
    DEVICE: _device,
    "authorization_code": _code,
    "refresh_token": _refresh,
    "client_credentials": _client,
}
