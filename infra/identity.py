"""`gateway.identity.Identity` on a runtime: flows and guesses in PostgreSQL, providers over HTTP."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from authlib.common.security import generate_token
from cryptography.fernet import Fernet, InvalidToken
from joserfc.errors import ExpiredTokenError, JoseError
from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.membership import person
from domain.registry import VoRegistry
from domain.session import jti
from domain.values import subject
from gateway.identity import PENDING, Flow, Grant, Service
from infra.flows import Flows, hashed_secret
from infra.guesses import Guesses
from infra.providers import Providers, verifier_and_nonce
from infra.runtime import Runtime
from infra.store import AWAY
from infra.tokens import Tokens, UnknownKey, derived, uuid7

FLOW = 600  # seconds that a login may take


@asynccontextmanager
async def _database() -> AsyncIterator[None]:
    try:
        yield
    except AWAY as fault:
        raise Refused(Code.DATABASE_AWAY) from fault


class State(msgspec.Struct, frozen=True):
    """What goes to the provider and comes back, encrypted: nothing else ties the browser to its flow."""

    flow: UUID
    back: str
    verifier: str
    nonce: str


class RuntimeIdentity:
    """Everything about logins that is outside of the routes."""

    def __init__(self, runtime: Runtime, tokens: Tokens, secret: bytes, url: str) -> None:
        self._runtime = runtime
        self._tokens = tokens
        self._fernet = Fernet(urlsafe_b64encode(derived(secret, "flows")))
        self._flows = Flows(runtime.pool, self._fernet)
        self._guesses = Guesses(runtime.pool)
        self._providers = Providers()
        self.redirects = frozenset(runtime.settings.redirects.split()) | {f"{url}/api/docs/oauth2-redirect"}
        self.legacy_key = runtime.settings.legacy_key
        self.grace = runtime.settings.refresh_grace
        self.session_seconds = runtime.settings.session_seconds
        self.url = runtime.settings.url.rstrip("/")
        self.services: Mapping[str, Service] = {
            name: msgspec.convert(given, Service) for name, given in runtime.settings.services.items()
        }

    @property
    def issuer(self) -> str:
        return self._tokens.issuer

    async def close(self) -> None:
        """Let the providers go."""
        await self._providers.close()

    def registries(self) -> Mapping[str, VoRegistry]:
        return self._runtime.configuration.current.registry

    def public_keys(self) -> Sequence[dict[str, Any]]:
        return self._tokens.ring.public()

    async def begin(self, flow: Flow, secret: str = "") -> None:
        async with _database():
            await self._flows.begin(flow, secret)

    async def by_user_code(self, code: str) -> Flow | None:
        async with _database():
            return await self._flows.by("user_code", code)

    async def by_secret(self, kind: str, secret: str) -> Flow | None:
        async with _database():
            flow = await self._flows.by("secret_hash", hashed_secret(secret))
        return flow if flow and flow.kind == kind else None

    async def use(self, flow: Flow) -> bool:
        async with _database():
            return await self._flows.use(flow)

    async def depart(self, flow: Flow, back: str) -> str:
        registry = self.registries().get(flow.vo)
        if registry is None or registry.idp is None:
            raise Refused(Code.NO_PROVIDER, vo=flow.vo)
        secrets = verifier_and_nonce()
        state = self._fernet.encrypt(msgspec.json.encode(State(flow.id, back, *secrets))).decode()
        return await self._providers.address(flow.vo, registry.idp, back, state, secrets)

    async def waiting(self, kind: str, state: str) -> Flow:
        opened = self._opened(state)
        async with _database():
            flow = await self._flows.by("id", opened.flow)
        if flow is None or flow.kind != kind:
            raise Refused(Code.GRANT, problem="Invalid state", vo="VO")
        if flow.status != PENDING or flow.expires < datetime.now(UTC):
            raise Refused(Code.GRANT, problem="this login is over already, or took too long", vo=flow.vo)
        return flow

    async def arrive(self, kind: str, state: str, code: str, issuer: str = "") -> tuple[Flow, str]:
        opened, flow = self._opened(state), await self.waiting(kind, state)
        registry = self.registries().get(flow.vo)
        if registry is None or registry.idp is None:
            raise Refused(Code.GRANT, problem="Invalid state", vo="VO")
        if issuer and issuer.rstrip("/") != registry.idp.issuer:
            raise Refused(Code.PROVIDER_REFUSED, vo=flow.vo, problem="another provider sent the browser here")
        claims = await self._providers.claims(flow.vo, registry, code, opened.back, (opened.verifier, opened.nonce))
        other = subject(flow.vo, registry.idp.issuer, str(claims["sub"]))[:6]
        ready = replace(flow, person=person(flow.vo, registry, claims, other))
        given = generate_token(43) if kind == "code" else ""
        async with _database():
            if not await self._flows.ready(ready, given):
                raise Refused(Code.GRANT, problem="this login is over already", vo=flow.vo)
        return ready, given

    def _opened(self, state: str) -> State:
        try:
            return msgspec.json.decode(self._fernet.decrypt(state.encode(), ttl=FLOW), type=State)
        except (InvalidToken, msgspec.MsgspecError, UnicodeError):
            raise Refused(Code.GRANT, problem="Invalid state", vo="VO") from None

    def access(self, grant: Grant) -> tuple[str, int]:
        seconds = self._runtime.settings.access_seconds
        return self._tokens.issue(grant.who, seconds), seconds

    def refresh(self, grant: Grant) -> str:
        return self._tokens.sign({
            "jti": str(jti(grant.session, grant.generation)), "exp": int(grant.until.timestamp()),
            "legacy_exchange": grant.legacy, "dirac_policies": {},
        })  # fmt: skip

    def presented(self, token: str, *, ended: bool = False) -> tuple[UUID, bool]:
        try:
            claims = self._tokens.opened(token, ended=ended)
            if "iss" in claims:  # an access token
                raise ValueError("not a refresh token")
            return UUID(claims["jti"]), bool(claims["legacy_exchange"])
        except UnknownKey:
            raise Refused(Code.TOKEN_INVALID, problem="No key for kid: the token was not issued here") from None
        except ExpiredTokenError:
            raise Refused(Code.TOKEN_INVALID, problem="expired_token: The token is expired") from None
        except (JoseError, ValueError, KeyError, TypeError, AttributeError):
            raise Refused(Code.TOKEN_INVALID, problem="Invalid JWT") from None

    async def allowed(self, kind: str, source: str) -> None:
        async with _database():
            await self._guesses.allowed(kind, source)

    async def wrong(self, kind: str, source: str) -> bool:
        async with _database():
            return await self._guesses.wrong(kind, source)

    def new_session(self) -> UUID:
        return uuid7(16)
