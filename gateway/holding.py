"""Requests that are held for long: how many of them one asker may have, so that nobody takes them all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from domain.errors import Code, Refused
from gateway.errors import problem
from gateway.ports import Principal

OFFERS = 8  # of one pilot: it has one at a time, and asks again while an earlier request is still held
LISTENERS = 20  # of one user


class Holding:
    """Counts what is held in this process."""

    def __init__(self) -> None:
        self._held: Counter[tuple[str, str, str]] = Counter()

    @contextmanager
    def one(self, who: Principal, limit: int) -> Iterator[None]:
        """Hold one more; raises Refused(TOO_MANY_HELD)."""
        key = (who.vo, who.kind, who.subject)
        if self._held[key] >= limit:
            raise Refused(Code.TOO_MANY_HELD, limit=limit)
        self._held[key] += 1
        try:
            yield
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]


class Listening(StreamingResponse):
    """A stream that counts as held from its first to its last byte, however it ends."""

    held: tuple[Holding, Principal]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or the refusal in its place."""
        holding, who = self.held
        with ExitStack() as stack:
            try:
                stack.enter_context(holding.one(who, LISTENERS))
            except Refused as refused:
                await problem(refused)(scope, receive, send)
                return
            await super().__call__(scope, receive, send)


async def holding(request: Request) -> Holding:
    """What is held in the process that the application runs in."""
    found: Holding = request.app.state.holding
    return found


Held = Annotated[Holding, Depends(holding)]
