"""A request: operations on files, one after the other, tried again until they are done or their time is over."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Self
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.values import NAMES

MOST_FILES, MOST_OPERATIONS = 1000, 10
LONGEST = timedelta(days=30)
USUAL = timedelta(days=7)
VERBS = ("replicate", "register", "drop", "doubt", "trust", "remove")


class Status(StrEnum):
    """The states of a request."""

    NEW = ""
    WAITING = "Waiting"
    DONE = "Done"
    FAILED = "Failed"
    CANCELED = "Canceled"


class Operation(Struct, frozen=True):
    """What is done to every file: `replicate` copies it to `se` and registers it there, `register` a replica that is
    there, `drop` takes one away, `doubt` and `trust` set its state; `remove` removes the file."""

    verb: str
    se: str = ""


class RequestCommand(Command, frozen=True):
    """A command to one request of a VO."""

    KEYED = False
    vo: str
    request: UUID

    @property
    def stream(self) -> UUID:
        return uuid5(NAMES, f"request/{self.vo}/{self.request}")


class MakeRequest(RequestCommand, frozen=True):
    """Do this to these files. `job` is the one whose outputs they are, if that waits for it."""

    TOPIC = "request.make"
    owner: str
    group: str
    operations: tuple[Operation, ...]
    lfns: tuple[str, ...]
    reason: str = ""
    seconds: int = int(USUAL.total_seconds())
    job: int = 0
    attempt: int = 0


class CarryOutRequest(RequestCommand, frozen=True):
    """Try what is left of the present operation."""

    TOPIC = "request.carry-out"


class BeginRound(RequestCommand, frozen=True):
    """Somebody tries it now; should they die, it is tried again."""

    TOPIC = "request.begin-round"


class NoteRequest(RequestCommand, frozen=True):
    """What came of a try, file by file: done, failed for good, or to be tried again, each with the reason."""

    TOPIC = "request.note"
    operation: int
    done: tuple[str, ...] = ()
    failed: dict[str, Any] = {}
    waiting: dict[str, Any] = {}


class ExpireRequest(RequestCommand, frozen=True):
    """Its time is over."""

    TOPIC = "request.expire"


class CancelRequest(RequestCommand, frozen=True):
    """Somebody wants it no more."""

    TOPIC = "request.cancel"
    owner: str
    manages: bool = False


class Request(Aggregate, frozen=True):
    """What a request is at the moment."""

    TOPIC = "request"
    LOG = "files"

    request: UUID | None = None
    status: Status = Status.NEW
    owner: str = ""
    operations: tuple[Operation, ...] = ()
    lfns: tuple[str, ...] = ()
    current: int = 0
    done: frozenset[str] = frozenset()  # of the present operation
    failed: Mapping[str, str] = {}
    waiting: Mapping[str, str] = {}
    tries: int = 0
    job: int = 0
    attempt: int = 0

    class Made(Event, frozen=True):
        """It is going to be done, until `seconds` are over."""

        TOPIC = "request.made"
        request: UUID
        owner: str
        group: str
        operations: tuple[Operation, ...]
        lfns: tuple[str, ...]
        seconds: int
        reason: str = ""
        job: int = 0
        attempt: int = 0

    class RoundBegun(Event, frozen=True):
        """It is being tried."""

        TOPIC = "request.round-begun"
        request: UUID

    class Progressed(Event, frozen=True):
        """A try is over. `tries` counts those in a row that brought nothing."""

        TOPIC = "request.progressed"
        request: UUID
        operation: int
        done: tuple[str, ...] = ()
        failed: dict[str, Any] = {}
        waiting: dict[str, Any] = {}
        tries: int = 0

    class Advanced(Event, frozen=True):
        """An operation is done with all files: the next one begins."""

        TOPIC = "request.advanced"
        request: UUID
        operation: int

    class Ended(Event, frozen=True):
        """Nothing more is done. `detail` says why, unless it went well."""

        TOPIC = "request.ended"
        request: UUID
        status: str
        detail: str = ""
        job: int = 0
        attempt: int = 0

    def make(self, command: MakeRequest, origin: Origin) -> Decision:
        """Once; the same again changes nothing."""
        if self.status is not Status.NEW:
            return
        for limit, count, things in (
            (MOST_FILES, len(command.lfns), "files"), (MOST_OPERATIONS, len(command.operations), "operations"),
        ):  # fmt: skip
            if not 0 < count <= limit:
                raise Refused(Code.TOO_MANY, count=count, things=things, limit=limit)
        for each in command.operations:
            if each.verb not in VERBS or bool(each.se) == (each.verb == "remove"):
                problem = f"operation {each.verb[:32]}: expected one of {', '.join(VERBS)}, all but remove with an se"
                raise Refused(Code.MALFORMED, problem=problem)
        yield Request.Made(
            command.request, command.owner, command.group, command.operations, command.lfns,
            min(max(command.seconds, 60), int(LONGEST.total_seconds())), command.reason[:255], command.job,
            command.attempt,
        )  # fmt: skip

    def begin_round(self, command: BeginRound, origin: Origin) -> Decision:
        """As long as there is something to do."""
        if self.status is Status.WAITING:
            yield Request.RoundBegun(command.request)

    def note(self, command: NoteRequest, origin: Origin) -> Decision:
        """A file that failed for good fails the request once all others of the operation are over."""
        if self.status is not Status.WAITING or command.operation != self.current:
            return
        left = self.left - set(command.done) - command.failed.keys()
        tries = 0 if command.done else self.tries + 1
        yield Request.Progressed(command.request, self.current, command.done, command.failed, command.waiting, tries)
        if left:
            return
        failed = {**self.failed, **command.failed}
        if failed:
            lfn, why = next(iter(failed.items()))
            yield self._ended(Status.FAILED, f"{len(failed)} files failed, the first {lfn}: {why}"[:512])
        elif self.current + 1 == len(self.operations):
            yield self._ended(Status.DONE)
        else:
            yield Request.Advanced(command.request, self.current + 1)

    def expire(self, command: ExpireRequest, origin: Origin) -> Decision:
        """What is not done by now fails, with the reason it waited for last."""
        if self.status is Status.WAITING:
            why = next(iter(self.waiting.values()), "nobody carried it out")
            yield self._ended(Status.FAILED, f"its time is over; at last: {why}"[:512])

    def cancel(self, command: CancelRequest, origin: Origin) -> Decision:
        """Whose it is, and who manages data; what is over stays so."""
        if self.status is Status.NEW:
            raise Refused(Code.NOT_FOUND, thing="request", name=str(command.request))
        if not command.manages and command.owner != self.owner:
            raise Refused(Code.FORBIDDEN, right="a request of your own, or DataManager")
        if self.status is Status.WAITING:
            yield self._ended(Status.CANCELED, "it was canceled")

    @property
    def left(self) -> set[str]:
        """The files that the present operation has still to be done with."""
        return set(self.lfns) - self.done - self.failed.keys()

    def evolve(self, event: Recorded[Event]) -> Self:
        """The request after the event."""
        match event.event:
            case Request.Made() as facts:
                return replace(self, request=facts.request, status=Status.WAITING, owner=facts.owner, job=facts.job,
                               operations=facts.operations, lfns=facts.lfns, attempt=facts.attempt)  # fmt: skip
            case Request.Progressed() as facts:
                return replace(self, done=self.done.union(facts.done), failed={**self.failed, **facts.failed},
                               waiting=facts.waiting, tries=facts.tries)  # fmt: skip
            case Request.Advanced() as facts:
                return replace(self, current=facts.operation, done=frozenset(), waiting={}, tries=0)
            case Request.Ended() as facts:
                return replace(self, status=Status(facts.status))
        return self

    def _ended(self, status: Status, detail: str = "") -> Event:
        assert self.request
        return Request.Ended(self.request, status.value, detail, self.job, self.attempt)
