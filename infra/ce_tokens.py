"""Tokens towards computing elements: this installation is a client of the VO's provider, as anybody else is.

A token is for one audience, that of the computing element, and for `compute.*` scopes; it is kept until shortly before
its end. The client's secret comes from the environment by the name that the configuration gives.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import msgspec

from domain.errors import Code, Refused
from domain.registry import IdentityProvider
from domain.schema import Configuration

COMPUTE = ("compute.read", "compute.create", "compute.modify", "compute.cancel")
PATIENCE = httpx.Timeout(10, connect=4)
LARGEST = 64 * 1024  # bytes of an answer
EARLY, LEAST = 0.2, 30.0  # part of its life, and seconds, that a token must still be good for
BRIEFEST = 60.0  # seconds of life that make a token worth asking for
MOST = 10_000  # tokens kept at once
Json = dict[str, Any]


class Kept(NamedTuple):
    """A token, and when on the monotonic clock it is asked for anew."""

    token: str
    until: float


class Key(NamedTuple):
    """What a token is good for, and as whom it was asked for."""

    vo: str
    issuer: str
    client: str
    audience: str
    scopes: tuple[str, ...]


class ComputeTokens:
    """Tokens by VO and audience. Many who want the same one at once ask the provider once."""

    def __init__(self, configuration: Callable[[], Configuration], environment: Mapping[str, str] = os.environ) -> None:
        self._configuration = configuration
        self._environment = environment
        self._http = httpx.AsyncClient(timeout=PATIENCE, follow_redirects=False)
        self._kept: dict[Key, Kept] = {}
        self._asking: dict[Key, asyncio.Task[Kept]] = {}

    async def close(self) -> None:
        """Let the connections go."""
        for task in self._asking.values():
            task.cancel()
        await self._http.aclose()

    async def token(self, vo: str, audience: str, scopes: tuple[str, ...] = COMPUTE) -> str:
        """A token for this computing element that is good for a while yet.

        Raises:
            Refused: COMPUTE_TOKEN, with the reason; it names neither secret nor token.
        """
        idp = self._provider(vo, audience)
        key = Key(vo, idp.issuer, idp.compute_client_id or idp.client_id, audience, tuple(sorted(scopes)))
        kept = self._kept.get(key)
        if kept is None or time.monotonic() >= kept.until:
            kept = await self._fresh(key, idp)
        return kept.token

    def forget(self, vo: str, audience: str) -> None:
        """A computing element did not take the token: the next one is asked for anew."""
        self._kept = {key: kept for key, kept in self._kept.items() if (key.vo, key.audience) != (vo, audience)}

    async def _fresh(self, key: Key, idp: IdentityProvider) -> Kept:
        if (asking := self._asking.get(key)) is None:
            asking = self._asking[key] = asyncio.create_task(self._asked(key, idp))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(asking)

    async def _asked(self, key: Key, idp: IdentityProvider) -> Kept:
        secret = self._secret(key, idp)
        metadata = await self._json(key, "GET", f"{idp.issuer.rstrip('/')}/.well-known/openid-configuration")
        form = {"grant_type": "client_credentials", "scope": " ".join(key.scopes), "audience": key.audience}
        if urlsplit(key.audience).scheme:  # RFC 8707 takes addresses only; WLCG's `audience` anything
            form["resource"] = key.audience
        basic = httpx.BasicAuth(key.client, secret)
        answer = await self._json(key, "POST", _endpoint(key, metadata), data=form, auth=basic)
        kept = _read(key, answer)
        if len(self._kept) >= MOST:
            self._kept.clear()
        self._kept[key] = kept
        return kept

    def _provider(self, vo: str, audience: str) -> IdentityProvider:
        registry = self._configuration().registry.get(vo)
        if registry is None or registry.idp is None:
            raise Refused(Code.COMPUTE_TOKEN, vo=vo, audience=audience, problem="the VO has no identity provider")
        return registry.idp

    def _secret(self, key: Key, idp: IdentityProvider) -> str:
        name = idp.compute_secret_env if idp.compute_client_id else idp.compute_secret_env or idp.client_secret_env
        if not name:
            raise _problem(key, "no variable is named for the secret of its client")
        if not (secret := self._environment.get(name, "")):
            raise _problem(key, f"the variable {name} is not set in this process")
        return secret

    async def _json(self, key: Key, method: str, url: str, **request: Any) -> Json:
        """What the provider answers; neither its redirects nor its megabytes are followed."""
        try:
            async with asyncio.timeout(20), self._http.stream(method, url, **request) as response:
                body = b""
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > LARGEST:
                        raise _problem(key, "the provider says too much")
        except TimeoutError:
            raise _problem(key, "the provider does not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise _problem(key, f"the provider cannot be reached ({type(fault).__name__})") from None
        return _content(key, response.status_code, body)


def _content(key: Key, status: int, body: bytes) -> Json:
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise _problem(key, f"the provider answers with status {status} and no JSON") from None
    if status != 200:
        said = " ".join(str(found.get(name, "")) for name in ("error", "error_description")).strip()
        raise _problem(key, f"the provider refuses: {_plain(said) or status}")
    return found


def _endpoint(key: Key, metadata: Json) -> str:
    """The token endpoint of a discovery document that is this issuer's own, as safe as the issuer itself."""
    if str(metadata.get("issuer", "")).rstrip("/") != key.issuer.rstrip("/"):
        raise _problem(key, "the discovery document is of another issuer")
    url = str(metadata.get("token_endpoint", ""))
    if urlsplit(url).scheme not in ("https", urlsplit(key.issuer).scheme):
        raise _problem(key, "the discovery document names no usable token endpoint")
    return url


def _read(key: Key, answer: Json) -> Kept:
    """The token in an answer; one that gives less than was asked for is refused here, not at the computing element."""
    token, lasts = answer.get("access_token"), answer.get("expires_in", 300)
    if (
        not isinstance(token, str)
        or not token.isascii()
        or not token
        or str(answer.get("token_type")).lower() != "bearer"
    ):
        raise _problem(key, "the provider's answer holds no bearer token")
    if not isinstance(lasts, int | float) or lasts < BRIEFEST:
        raise _problem(key, f"the token would be good for {_plain(str(lasts))} s only")
    granted = answer.get("scope")
    missing = sorted(set(key.scopes) - set(str(granted).split())) if granted is not None else []
    if missing:
        raise _problem(key, f"the client may not have {', '.join(missing)}")
    return Kept(token, time.monotonic() + lasts - max(lasts * EARLY, LEAST))


def _problem(key: Key, problem: str) -> Refused:
    return Refused(Code.COMPUTE_TOKEN, vo=key.vo, audience=key.audience, problem=problem)


def _plain(text: str) -> str:
    """What a provider says of itself, short and without what a terminal or a log might obey."""
    return "".join(letter for letter in text if letter.isprintable())[:200]
