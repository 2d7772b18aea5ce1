"""HTTP connections that nobody can hold open for nothing, or fill with what never becomes a request."""

from asyncio import BaseTransport, TimerHandle
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PATIENCE = 30.0  # seconds in which a request must have said what it wants
MOST = 64 * 1024  # bytes of an address and all headers; of whatever leads to nothing
SPILLED = 128 * 1024 * 1024  # bytes of a body that come after its answer: who sends too much should still hear it


class Guarded(HttpToolsProtocol):
    """The server's protocol, which by itself keeps headers without end and waits for them without end."""

    _late: TimerHandle | None = None
    _fields = _silent = _spilled = 0  # bytes of this head; since anything was understood; after the answer

    def connection_made(self, transport: BaseTransport) -> None:
        """As of any protocol."""
        super().connection_made(cast(Any, transport))
        self._late = self.loop.call_later(PATIENCE, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """As of any protocol."""
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As of any protocol; what is understood of the data sets `_silent` back."""
        self._silent += len(data)
        super().data_received(data)
        if max(self._silent, self._spilled - SPILLED) > MOST:
            self.transport.close()

    def on_message_begin(self) -> None:
        """As of any parser."""
        super().on_message_begin()
        self._fields = self._silent = self._spilled = 0
        self._in_time()
        self._late = self.loop.call_later(PATIENCE, self.transport.close)

    def on_url(self, url: bytes) -> None:
        """As of any parser."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """As of any parser; also of what follows a body in chunks."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """As of any parser."""
        self._in_time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """As of any parser."""
        self._silent = 0
        self._spilled += len(body) if self.cycle.response_complete else 0
        super().on_body(body)

    def _count(self, size: int) -> None:
        self._silent = 0
        self._fields += size
        if self._fields > MOST:
            raise ValueError("too many headers")  # the parser makes it an invalid request

    def _in_time(self) -> None:
        if self._late:
            self._late.cancel()
            self._late = None
