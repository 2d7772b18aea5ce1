"""What every request passes first: an id to trace it by, a limit to its body, and a net below unexpected faults."""

import asyncio
import time
from collections.abc import Mapping
from contextvars import ContextVar
from uuid import UUID, uuid4, uuid5

import structlog
from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import Code, Refused
from domain.values import NAMES
from gateway.errors import problem

KIB, MIB = 1024, 1024 * 1024
SMALL = MIB
ID = "x-ms-client-request-id"
LONGEST_ID = 128
PATIENCE, SLOWEST = 60.0, 10_000  # seconds for a body, and bytes a second that make it longer
# Unless a route says otherwise: answers hold tokens and what belongs to one person, and no other site may show them.
CAREFUL = ((b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"), (b"cache-control", b"no-store"),
           (b"referrer-policy", b"no-referrer"))  # fmt: skip
correlation: ContextVar[UUID | None] = ContextVar("correlation", default=None)  # of the request that is being answered
log = structlog.get_logger("spinor.gateway")


class CutOff(Exception):
    """The body is not taken any further; never leaves this module."""


class Edge:
    """Pure ASGI, so that bodies and answers stream through it.

    `limits` are bytes by path; every other path has SMALL.
    """

    def __init__(self, app: ASGIApp, limits: Mapping[str, int]) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = identified(scope)
        token = correlation.set(given)
        passage = Passage(scope, receive, send, self._most(scope["path"].rstrip("/")), given)
        try:
            with structlog.contextvars.bound_contextvars(request=str(given)):
                await passage.run(self._app)
        finally:
            correlation.reset(token)

    def _most(self, path: str) -> int:
        """Bytes of a body for this path; a limit for a path that ends with / holds for all below it."""
        below = (limit for prefix, limit in self._limits.items() if prefix.endswith("/") and path.startswith(prefix))
        return self._limits.get(path) or next(below, SMALL)


class Passage:
    """One request on its way through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int, given: UUID) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._limit, self._size, self._id = limit, 0, given
        self._started = self._whole = False
        self._cut: Response | None = None  # the answer when the body is cut off
        self._since = time.monotonic()

    async def run(self, app: ASGIApp) -> None:
        """Let the application answer, or answer in its place."""
        announced = _length(self._scope)
        if announced > self._limit:
            self._cut = self._too_large(announced)
        try:
            if not self._cut:
                await app(self._scope, self._taken, self._given)
        except (CutOff, ClientDisconnect):  # the client is gone, or is answered below
            pass
        except Exception as fault:
            await self._broken(fault)
        if self._cut and not self._started:
            await self._answer(self._cut)

    async def _taken(self) -> Message:
        message = await self._next()
        self._size += len(message.get("body", b""))
        if message["type"] == "http.request" and self._size > self._limit:
            self._cut = self._too_large(self._size)
            raise CutOff
        self._whole = not message.get("more_body", False)
        return message

    async def _next(self) -> Message:
        """What comes next of the body, as long as it comes at all; or, when it is whole, the end of the connection."""
        if self._whole:
            return await self._receive()
        late = self._since + PATIENCE + self._size / SLOWEST - time.monotonic()
        try:
            return await asyncio.wait_for(self._receive(), max(late, 1.0))
        except TimeoutError:
            self._cut = problem(Refused(Code.MALFORMED, problem="the body came too slowly"), 408)
            self._cut.headers["Connection"] = "close"  # who knows what else comes on it
            raise CutOff from None

    async def _given(self, message: Message) -> None:
        if self._cut and not self._started:
            return  # whatever the application makes of a body that was cut off
        if message["type"] == "http.response.start":
            self._started = True
            headers = message.setdefault("headers", [])
            headers.append((ID.encode(), str(self._id).encode()))
            there = {name.lower() for name, _ in headers}
            headers += [(name, value) for name, value in CAREFUL if name not in there]
        await self._send(message)

    async def _broken(self, fault: Exception) -> None:
        reference = uuid4().hex[:12]
        path = str(self._scope["path"])[:200]
        log.error("broken", reference=reference, method=self._scope["method"], path=path, exc_info=fault)
        if not self._started:
            await self._answer(problem(Refused(Code.BROKEN, reference=reference)))

    def _too_large(self, size: int) -> Response:
        return problem(Refused(Code.TOO_LARGE, size=size, limit=self._limit))

    async def _answer(self, answer: Response) -> None:
        self._cut = None
        await answer(self._scope, self._receive, self._given)


def identified(scope: Scope) -> UUID:
    """The id the client gave its request, or a new one."""
    text = Request(scope).headers.get(ID, "")[:LONGEST_ID]
    return as_id(text, NAMES) if text else uuid4()


def as_id(text: str, scope: UUID) -> UUID:
    """A client's key as an id that is its own within a scope."""
    return uuid5(scope, text.strip().lower())


def _length(scope: Scope) -> int:
    text = Request(scope).headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
