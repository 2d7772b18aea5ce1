"""What travels on the bus, and how it becomes bytes and back: JSON, with event bodies embedded as they were stored."""

from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from hmac import compare_digest
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from domain.errors import Code, Refused

FORMAT = 1  # of every body; a consumer refuses one it does not know instead of guessing
LIMIT = 8 << 20  # bytes of one message; brokers of the 4.x series refuse more than 16 MiB
KEPT = 64 << 10  # bytes of a body that a dead letter keeps

_encoder = msgspec.json.Encoder()


class Request(Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One command. `id` makes a second arrival harmless; `data` is the command's JSON body."""

    id: UUID
    topic: str
    data: Raw = Raw(b"{}")
    vo: str
    actor: str
    correlation: UUID | None = None
    cause: UUID | None = None
    rights: list[str] = []
    token: str = ""
    group: str = ""
    deadline: datetime | None = None


class Outcome(Struct, frozen=True, omit_defaults=True, gc=False):
    """One answer: what became of a command. `received` counts how often it has come (1 = for the first time)."""

    id: UUID
    ok: bool
    code: str | None = None
    parameters: dict[str, Any] = {}
    stream: UUID | None = None
    version: int = 0
    received: int = 1


class WireEvent(Struct, frozen=True, array_like=True, gc=False):
    """An event of the log; `data` holds the very bytes that are stored. An array, since names cost a third."""

    position: int
    stream: UUID
    version: int
    topic: str
    schema: int
    data: Raw
    id: UUID
    cause: UUID | None
    correlation: UUID | None
    actor: str
    vo: str
    at: datetime


class Envelope(Struct, frozen=True, dict=True):
    """Events of one partition in the order of the log: all that lie in (previous, last], and nothing else.

    `proof` is made with a key that only those know who read the database: a consumer moves by no other envelope.
    """

    log: str
    epoch: int
    partition: int
    previous: int
    first: int
    last: int
    events: list[WireEvent] = []
    format: int = FORMAT
    proof: str = ""

    @cached_property
    def proven(self) -> bytes:
        """What the proof is made over: its place in the log and the ids of its events, not each of their bytes."""
        place = f"{self.log}/{self.epoch}/{self.partition}/{self.previous}/{self.first}/{self.last}/"
        return place.encode() + b"".join([event.id.bytes for event in self.events])


class Announcement(Struct, frozen=True):
    """An event as other programs get it: thin, and without anything of how we store it.

    `correlation` is the id of the command that began it all, where there was one.
    """

    id: UUID
    topic: str
    vo: str
    stream: UUID
    version: int
    schema: int
    at: datetime
    actor: str
    data: Raw
    correlation: UUID | None = None


class DeadLetter(Struct, frozen=True):
    """A message that could not be handled: where it was, what it was, why, and how often it was tried.

    Sending `body` again under the same id is safe: the id makes a second effect impossible.
    """

    id: UUID
    source: str
    topic: str
    vo: str
    actor: str
    body: str
    reason: str
    detail: str
    attempts: int
    first_at: datetime
    at: datetime

    def request(self) -> Request:
        """The command in it, to be sent again.

        Raises:
            Refused: MALFORMED, the body is not one of a command (or was too large to keep).
        """
        return _read(_request, self.body.encode())


class Requests(Struct, frozen=True):
    """The body of one message to the command side."""

    requests: list[Request]
    format: int = FORMAT


class Outcomes(Struct, frozen=True):
    """The body of one answer."""

    outcomes: list[Outcome]
    format: int = FORMAT


class Format(Struct, frozen=True):
    """What can still be read of a body of an unknown version."""

    format: int = FORMAT


_envelope = msgspec.json.Decoder(Envelope)
_request = msgspec.json.Decoder(Request)
_requests = msgspec.json.Decoder(Requests)
_outcomes = msgspec.json.Decoder(Outcomes)
_format = msgspec.json.Decoder(Format)

T = TypeVar("T")
V = TypeVar("V", Envelope, Requests, Outcomes)


def encode(message: Any) -> bytes:
    """The bytes of any of these messages; `data` goes in as it is."""
    return _encoder.encode(message)


def proven(envelope: Envelope, key: bytes) -> Envelope:
    """The envelope with its proof."""
    return replace(envelope, proof=_proof(envelope, key))


def genuine(envelope: Envelope, key: bytes) -> bool:
    """Whether somebody made this envelope who knows the key."""
    return compare_digest(envelope.proof.encode(), _proof(envelope, key).encode())


def _proof(envelope: Envelope, key: bytes) -> str:
    return blake2b(envelope.proven, key=key, digest_size=16).hexdigest()


def read_envelope(body: bytes) -> Envelope:
    """The envelope in a message.

    Raises:
        Refused: MALFORMED or VERSION_UNKNOWN.
    """
    return _known(_read(_envelope, body), "envelope")


def read_requests(body: bytes) -> list[Request]:
    """The commands in a message; raises as `read_envelope`."""
    return _known(_read(_requests, body), "requests").requests


def read_outcomes(body: bytes) -> list[Outcome]:
    """The answers in a message; raises as `read_envelope`."""
    return _known(_read(_outcomes, body), "outcomes").outcomes


def kept(body: bytes) -> str:
    """As much of a body as a dead letter keeps, whatever is in it."""
    return body[:KEPT].decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def _read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _known_format(body)
        raise Refused(Code.MALFORMED, problem=str(error)) from error


def _known_format(body: bytes) -> None:
    try:
        found = _format.decode(body).format
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if found != FORMAT:
        raise Refused(Code.VERSION_UNKNOWN, version=found, topic="the bus")


def _known(message: V, topic: str) -> V:
    if message.format != FORMAT:
        raise Refused(Code.VERSION_UNKNOWN, version=message.format, topic=topic)
    return message
