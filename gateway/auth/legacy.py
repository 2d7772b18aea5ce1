"""The exchange of the X.509 world: servers that hold a key get tokens for the people they speak for."""

import base64
import binascii
from hashlib import sha256
from hmac import compare_digest
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request

from domain.errors import Code, Refused
from domain.membership import Person, Wish, wish
from gateway.auth import granting
from gateway.auth.sources import guessing, remembered
from gateway.errors import problem
from gateway.ports import Outside, World
from gateway.rights import public

router = APIRouter(prefix="/api/auth", tags=["auth"], dependencies=[Depends(public)], include_in_schema=False)
PREFIX = "diracx:legacy:"


@router.get("/legacy-exchange")
async def legacy_exchange(
    request: Request, outside: Outside, preferred_username: Annotated[str, Query(max_length=255)],
    scope: Annotated[str, Query(max_length=4096)], authorization: Annotated[str, Header(max_length=4096)],
    expires_minutes: Annotated[int | None, Query(ge=1, le=43_200)] = None,
) -> Any:  # fmt: skip
    """Tokens for somebody whom a trusted server knows by a certificate; their refresh token may be used often."""
    if not outside.identity.legacy_key:
        return problem(Refused(Code.CLIENT_UNKNOWN, problem="Legacy exchange is not enabled"), 503)
    kind, _, key = authorization.partition(" ")
    if kind != "Bearer":
        raise Refused(Code.CLIENT_UNKNOWN, problem="Invalid authorization header")
    async with guessing(outside, request, "legacy-key"):
        if not _right(key, outside.identity.legacy_key):
            raise Refused(Code.TOKEN_INVALID, problem="Invalid credentials")
    wanted, person = _known(outside, scope, preferred_username)
    async with remembered(outside, request, "legacy", wanted.vo):
        session = outside.identity.new_session()
        who = granting.principal(outside, wanted.vo, person, wanted.group, wanted.properties, session)
    grant = await granting.opened(
        outside, who, person, "legacy", wanted.properties, seconds=(expires_minutes or 0) * 60
    )  # fmt: skip
    return granting.tokens(outside, grant)


def _right(key: str, kept: str) -> bool:
    try:
        secret = base64.urlsafe_b64decode(key.removeprefix(PREFIX).encode() + b"==")
    except (binascii.Error, UnicodeEncodeError):
        return False
    return key.startswith(PREFIX) and compare_digest(sha256(secret).hexdigest(), kept)


def _known(world: World, scope: str, name: str) -> tuple[Wish, Person]:
    """Whom the server means; which part of it is wrong is not told."""
    try:
        wanted = wish(scope, world.identity.registries())
        users = granting.registry_of(world, wanted.vo).users
        (sub,) = (sub for sub, user in users.items() if user.preferred_username == name)
    except (Refused, ValueError):
        raise Refused(Code.SCOPE, problem="Invalid scope or preferred_username") from None
    return wanted, Person(sub, name, ())
