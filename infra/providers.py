"""The identity providers of the VOs: where to send a browser, and whom a code that comes back speaks of.

Each has its own connections, cache and patience: one that is slow or broken holds up nobody else.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.common.security import generate_token
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from domain.errors import Code, Refused
from domain.registry import IdentityProvider, VoRegistry
from infra.settings import reason

PATIENCE = httpx.Timeout(8, connect=4)
FRESH = 600.0  # seconds that a provider's documents are believed
SOON = 20.0  # seconds before keys are asked for again because of a token with an unknown one
LARGEST = 1 << 20
LATE = 60  # seconds that clocks may differ
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
REQUIRED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
Json = dict[str, Any]


@dataclass
class Provider:
    """What is known of one provider."""

    issuer: str
    http: httpx.AsyncClient
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    metadata: Json = field(default_factory=dict)
    keys: KeySet | None = None
    metadata_at: float = -FRESH
    keys_at: float = -FRESH


class Providers:
    """All of them, by issuer."""

    def __init__(self) -> None:
        self._known: dict[str, Provider] = {}

    async def close(self) -> None:
        """Let their connections go."""
        for provider in self._known.values():
            await provider.http.aclose()

    async def address(self, vo: str, idp: IdentityProvider, back: str, state: str, secrets: tuple[str, str]) -> str:
        """Where a browser logs in. `secrets`: the PKCE verifier and the nonce.

        Raises:
            Refused: PROVIDER_AWAY.
        """
        verifier, nonce = secrets
        metadata = await self._metadata(vo, self._of(idp))
        asked = [
            ("response_type", "code"), ("code_challenge", create_s256_code_challenge(verifier)),
            ("code_challenge_method", "S256"), ("client_id", idp.client_id), ("redirect_uri", back),
            ("scope", " ".join(idp.scopes)), ("state", state), ("nonce", nonce),
        ]  # fmt: skip
        return str(add_params_to_uri(metadata["authorization_endpoint"], asked))

    async def claims(
        self, vo: str, registry: VoRegistry, code: str, back: str, secrets: tuple[str, str]
    ) -> Mapping[str, Any]:  # fmt: skip
        """The verified claims that the provider gives for a code.

        Raises:
            Refused: PROVIDER_AWAY, PROVIDER_REFUSED.
        """
        idp = registry.idp
        assert idp is not None
        provider = self._of(idp)
        answer = await self._tokens(vo, idp, provider, code, back, secrets[0])
        claims = await self._verified(vo, idp, provider, str(answer.get("id_token", "")), secrets[1])
        wanted = {rule.claim for rule in registry.rules} | {"preferred_username"}
        if wanted - claims.keys() and (token := answer.get("access_token")):
            claims = {**await self._userinfo(vo, provider, str(token), claims["sub"]), **claims}
        return claims

    def _of(self, idp: IdentityProvider) -> Provider:
        if idp.issuer not in self._known:
            limits = httpx.Limits(max_connections=20, max_keepalive_connections=2, keepalive_expiry=30)
            self._known[idp.issuer] = Provider(idp.issuer, httpx.AsyncClient(timeout=PATIENCE, limits=limits))
        return self._known[idp.issuer]

    async def _metadata(self, vo: str, provider: Provider) -> Json:
        async with provider.lock:  # of this provider alone: many who log in at once ask it once
            if time.monotonic() - provider.metadata_at > FRESH:
                url = f"{provider.issuer}/.well-known/openid-configuration"
                provider.metadata = _usable(vo, provider.issuer, await _json(vo, provider, "GET", url))
                provider.metadata_at = time.monotonic()
        return provider.metadata

    async def _keys(self, vo: str, provider: Provider, age: float) -> KeySet:
        metadata = await self._metadata(vo, provider)
        async with provider.lock:
            if provider.keys is None or time.monotonic() - provider.keys_at > age:
                found = await _json(vo, provider, "GET", metadata["jwks_uri"])
                try:
                    provider.keys = KeySet.import_key_set(found)  # type: ignore[arg-type]
                except (JoseError, ValueError, KeyError, TypeError) as fault:
                    raise Refused(Code.PROVIDER_AWAY, vo=vo, problem="its keys cannot be read") from fault
                provider.keys_at = time.monotonic()
            return provider.keys

    async def _tokens(
        self, vo: str, idp: IdentityProvider, provider: Provider, code: str, back: str, verifier: str
    ) -> Json:  # fmt: skip
        metadata = await self._metadata(vo, provider)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": verifier}
        login: Any = None
        if secret := _secret(vo, idp):
            if "client_secret_basic" in metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
                login = httpx.BasicAuth(idp.client_id, secret)
            else:
                form["client_secret"] = secret
        if login is None:
            form["client_id"] = idp.client_id
        return await _json(vo, provider, "POST", metadata["token_endpoint"], data=form, auth=login)

    async def _verified(self, vo: str, idp: IdentityProvider, provider: Provider, token: str, nonce: str) -> Json:
        for age in (FRESH, SOON):  # the second time with keys that the provider has only now
            try:
                found = jwt.decode(token, await self._keys(vo, provider, age), algorithms=ALGORITHMS)
                break
            except (JoseError, ValueError, TypeError) as fault:
                if age == SOON:
                    raise _refused(vo, "its id_token is not signed by it") from fault
        rules = jwt.JWTClaimsRegistry(
            leeway=LATE, iss={"essential": True, "value": provider.metadata["issuer"]}, sub={"essential": True},
            aud={"essential": True, "value": idp.client_id}, exp={"essential": True}, iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )  # fmt: skip
        try:
            rules.validate(found.claims)
        except JoseError as fault:
            raise _refused(vo, f"its id_token is not for this login ({fault.error})") from fault
        if found.claims.get("azp", idp.client_id) != idp.client_id:
            raise _refused(vo, "its id_token is for another client")
        return found.claims

    async def _userinfo(self, vo: str, provider: Provider, token: str, sub: str) -> Json:
        """More claims, if the provider has them there; what speaks of somebody else is refused."""
        url = provider.metadata.get("userinfo_endpoint")
        if not url:
            return {}
        found = await _json(vo, provider, "GET", str(url), headers={"Authorization": f"Bearer {token}"})
        if found.get("sub") != sub:
            raise _refused(vo, "its userinfo speaks of somebody else")
        return found


def verifier_and_nonce() -> tuple[str, str]:
    """Secrets of one login: for PKCE, and for the id_token."""
    return generate_token(64), generate_token(32)


def _secret(vo: str, idp: IdentityProvider) -> str:
    if not idp.client_secret_env:
        return ""
    if not (found := os.environ.get(idp.client_secret_env, "")):
        raise Refused(Code.PROVIDER_AWAY, vo=vo, problem=f"the variable {idp.client_secret_env} is not set here")
    return found


def _usable(vo: str, issuer: str, found: Json) -> Json:
    """A discovery document that is this provider's own, with addresses that are as safe as its own."""
    if str(found.get("issuer", "")).rstrip("/") != issuer:
        raise Refused(Code.PROVIDER_AWAY, vo=vo, problem="its discovery document is of another issuer")
    scheme = urlsplit(issuer).scheme
    for name in REQUIRED:
        if urlsplit(str(found.get(name, ""))).scheme not in (scheme, "https"):
            raise Refused(Code.PROVIDER_AWAY, vo=vo, problem=f"its discovery document has no usable {name}")
    return found


async def _json(vo: str, provider: Provider, method: str, url: str, **request: Any) -> Json:
    """What the provider answers; neither its redirects nor its megabytes are followed."""
    try:
        async with asyncio.timeout(20), provider.http.stream(method, url, **request) as response:
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > LARGEST:
                    raise Refused(Code.PROVIDER_AWAY, vo=vo, problem="it says too much")
            return _read(vo, response, body)
    except TimeoutError:
        raise Refused(Code.PROVIDER_AWAY, vo=vo, problem="it is too slow") from None
    except httpx.HTTPError as fault:
        problem = "it is too slow" if isinstance(fault, httpx.TimeoutException) else reason(fault)
        raise Refused(Code.PROVIDER_AWAY, vo=vo, problem=problem) from fault


def _read(vo: str, response: httpx.Response, body: bytes) -> Json:
    status = response.status_code
    if 400 <= status < 500 and response.request.method == "POST":
        raise _refused(vo, f"it answers {status}")
    if status != 200:
        raise Refused(Code.PROVIDER_AWAY, vo=vo, problem=f"it answers {status}")
    try:
        found = httpx.Response(200, content=body).json()
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(Code.PROVIDER_AWAY, vo=vo, problem="its answer is no JSON object")
    return found


def _refused(vo: str, problem: str) -> Refused:
    return Refused(Code.PROVIDER_REFUSED, vo=vo, problem=problem)
