"""Whether a site, computing element, queue, storage element, node or pilot may be used, why not, and until when.

A status is said for one VO, or by whoever runs the installation for all of them (scope `""`); the worse one counts. One
that was set for a while gives way to the last one that was set for good.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Self
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.values import resource_stream

EVERYWHERE = ""  # the scope of a status that counts for all VOs
INSTALLATION = "ServiceAdministrator"  # who may speak for all VOs
PEOPLE = ("user:", "service:", "program:")  # who acts by rights, not by a rule of ours
MOST_REASON = 512


class ResourceKind(StrEnum):
    """What has a status."""

    SITE = "site"
    CE = "ce"
    QUEUE = "queue"
    SE = "se"
    NODE = "node"
    PILOT = "pilot"


class ResourceStatus(StrEnum):
    """The statuses, best first."""

    ACTIVE = "Active"
    DEGRADED = "Degraded"  # usable, with problems
    PROBING = "Probing"  # a few jobs find out whether it is well again
    DRAINING = "Draining"  # what is there goes on, nothing new comes
    BANNED = "Banned"
    ERROR = "Error"  # its state could not be found out


class Access(StrEnum):
    """What is done to a storage element; everything else has one status for all."""

    ALL = "all"
    READ = "read"
    WRITE = "write"
    CHECK = "check"
    REMOVE = "remove"


STORAGE = (Access.READ, Access.WRITE, Access.CHECK, Access.REMOVE)
LEVEL = {status: -number for number, status in enumerate(ResourceStatus)}
DOUBTED = frozenset({ResourceStatus.PROBING, ResourceStatus.BANNED})
OPEN = frozenset({ResourceStatus.ACTIVE, ResourceStatus.DEGRADED, ResourceStatus.PROBING})
UNUSABLE = "sites-unusable"  # the code under which jobs are held that ask for sites of which none may be used
PART = 1000  # jobs that are freed in one transaction
SHORT = 60.0  # seconds from the match to a failure that comes at once, by our own clock: pilots' may be wrong
COMPARED_FOR = timedelta(hours=1)  # how long the jobs of others say something about a failure
PROBED_AFTER, BANNED_AFTER = 2, 3  # jobs that fail at once, one after the other
PROBED_FOR, BANNED_FOR, LONGEST_BAN = timedelta(hours=1), timedelta(minutes=30), timedelta(days=1)


class ResourceCommand(Command, frozen=True):
    """A command that concerns one resource, in one VO or everywhere."""

    scope: str
    kind: ResourceKind
    name: str

    @property
    def stream(self) -> UUID:
        return resource_stream(self.scope, self.kind, self.name)


class SetResourceStatus(ResourceCommand, frozen=True):
    """Say what may be done with it. No `access` means all; `author_name` is how people call whoever says it."""

    TOPIC = "resource.set"
    status: ResourceStatus
    reason: str
    until: datetime | None = None
    access: tuple[Access, ...] = ()
    author_name: str = ""


class ExpireResourceStatus(ResourceCommand, frozen=True):
    """The time of a status is over; `round` is the one it was set in, a later one stays."""

    TOPIC = "resource.expire"
    access: Access
    round: int


class NoteFailure(ResourceCommand, frozen=True):
    """A job failed there at once, and jobs like it do well elsewhere."""

    TOPIC = "resource.note-failure"
    job: int
    attempt: int
    code: str
    seconds: float


class NoteSuccess(ResourceCommand, frozen=True):
    """A job went well there after others had failed at once."""

    TOPIC = "resource.note-success"
    job: int


class SweepFreed(ResourceCommand, frozen=True):
    """Jobs that waited for a site were freed up to this one; there are more."""

    TOPIC = "resource.sweep-freed"
    after: int


class Said(Struct, frozen=True):
    """A status, why, by whom, until when; `round` counts what was said of the resource."""

    status: ResourceStatus = ResourceStatus.ACTIVE
    reason: str = ""
    author: str = ""
    author_name: str = ""
    until: datetime | None = None
    round: int = 0


class Resource(Aggregate, frozen=True):
    """What was said of one resource: what counts now, and what will count when that is over."""

    TOPIC = "resource"
    LOG = "resources"

    round: int = 0
    now: Mapping[Access, Said] = {}
    good: Mapping[Access, Said] = {}  # the last ones that were said for good
    failures: int = 0  # at once, one after the other
    bans: int = 0  # for that
    last: tuple[int, int] = (0, 0)  # job and attempt that failed last

    class StatusSet(Event, frozen=True):
        """Somebody, or a policy, set a status."""

        TOPIC = "resource.status-set"
        SEALED: ClassVar[dict[str, str]] = {"author_name": "author"}
        scope: str
        kind: ResourceKind
        name: str
        access: Access
        status: ResourceStatus
        former: ResourceStatus
        reason: str
        round: int
        author: str
        author_name: str = ""
        until: datetime | None = None

    class StatusExpired(Event, frozen=True):
        """The time of a status is over: what was said before for good counts again."""

        TOPIC = "resource.status-expired"
        SEALED: ClassVar[dict[str, str]] = {"author_name": "author"}
        scope: str
        kind: ResourceKind
        name: str
        access: Access
        status: ResourceStatus
        former: ResourceStatus
        reason: str
        round: int
        author: str
        author_name: str = ""

    class FailedFast(Event, frozen=True):
        """One more job failed there at once; `failures` of them, one after the other."""

        TOPIC = "resource.failed-fast"
        scope: str
        kind: ResourceKind
        name: str
        job: int
        attempt: int
        code: str
        seconds: float
        failures: int

    class WorkedAgain(Event, frozen=True):
        """A job went well there: what failed before counts no more."""

        TOPIC = "resource.worked-again"
        scope: str
        kind: ResourceKind
        name: str
        job: int

    class Swept(Event, frozen=True):
        """A part of the jobs that waited for it, up to `after`, was freed."""

        TOPIC = "resource.swept"
        scope: str
        kind: ResourceKind
        name: str
        after: int

    def decide(self, command: Command, origin: Origin) -> Decision:
        """As every aggregate; and nobody speaks for another VO, few for all of them."""
        scope = getattr(command, "scope", EVERYWHERE)
        if scope and scope != origin.vo:
            raise Refused(Code.FORBIDDEN, right=f"to belong to the VO {scope}")
        if not scope and origin.actor.startswith(PEOPLE) and INSTALLATION not in origin.rights:
            raise Refused(Code.FORBIDDEN, right=f"{INSTALLATION}, for it concerns all VOs")
        return super().decide(command, origin)

    def set(self, command: SetResourceStatus, origin: Origin) -> Decision:
        """With a reason, and not into the past. Saying the same again changes nothing.

        A policy does not make better what a person has made worse.
        """
        accesses = _accesses(command, origin)
        round_ = self.round
        person, author = origin.actor.startswith(PEOPLE), origin.actor.removeprefix("user:")
        for access in accesses:
            old = self.now.get(access, Said())
            said = Said(command.status, command.reason[:MOST_REASON], author, command.author_name, command.until)
            if (old.status, old.reason, old.until, old.author) == (said.status, said.reason, said.until, said.author):
                continue
            if not person and _by_person(old) and LEVEL[said.status] >= LEVEL[old.status]:
                continue
            round_ += 1
            yield Resource.StatusSet(
                command.scope, command.kind, command.name, access, said.status, old.status, said.reason, round_,
                author, command.author_name, command.until,
            )  # fmt: skip

    def expire(self, command: ExpireResourceStatus, origin: Origin) -> Decision:
        """Only what still counts expires."""
        old = self.now.get(command.access, Said())
        if old.until is None or old.round != command.round:
            return
        back = self.good.get(command.access, Said())
        yield Resource.StatusExpired(
            command.scope, command.kind, command.name, command.access, back.status, old.status, back.reason,
            self.round + 1, back.author, back.author_name,
        )  # fmt: skip

    def note_failure(self, command: NoteFailure, origin: Origin) -> Decision:
        """Twice at once: only few jobs go there. Three times: none, for a while that doubles each time."""
        if self.last == (command.job, command.attempt):
            return
        failures = self.failures + 1
        yield Resource.FailedFast(
            command.scope, command.kind, command.name, command.job, command.attempt, command.code,
            command.seconds, failures,
        )  # fmt: skip
        if failures < PROBED_AFTER:
            return
        if self.now.get(Access.ALL, Said()).status is ResourceStatus.BANNED:
            return
        banned = failures >= BANNED_AFTER
        term = min(BANNED_FOR * 2**self.bans, LONGEST_BAN) if banned else PROBED_FOR
        status = ResourceStatus.BANNED if banned else ResourceStatus.PROBING
        reason = f"{failures} jobs failed here at once ({command.code}), jobs like them do well elsewhere"
        about = (command.scope, command.kind, command.name)
        yield from self.set(
            SetResourceStatus(*about, status, reason, (origin.at + term).replace(microsecond=0)), origin
        )

    def note_success(self, command: NoteSuccess, origin: Origin) -> Decision:
        """What a policy said because of failures is taken back; what a person said stays."""
        if not self.failures:
            return
        about = (command.scope, command.kind, command.name)
        yield Resource.WorkedAgain(*about, command.job)
        old = self.now.get(Access.ALL, Said())
        if old.status in DOUBTED and not _by_person(old):
            yield from self.set(SetResourceStatus(*about, ResourceStatus.ACTIVE, "jobs do well here again"), origin)

    def sweep_freed(self, command: SweepFreed, origin: Origin) -> Decision:
        """As long as it may be used."""
        if self.now.get(Access.ALL, Said()).status in OPEN:
            yield Resource.Swept(command.scope, command.kind, command.name, command.after)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The resource after the event."""
        facts = event.event
        match facts:
            case Resource.FailedFast():
                return replace(self, failures=facts.failures, last=(facts.job, facts.attempt))
            case Resource.WorkedAgain():
                return replace(self, failures=0, bans=0)
            case Resource.StatusSet() | Resource.StatusExpired():
                return self._said(facts)
        return self

    def _said(self, facts: "Resource.StatusSet | Resource.StatusExpired") -> Self:
        until = facts.until if isinstance(facts, Resource.StatusSet) else None
        said = Said(facts.status, facts.reason, facts.author, facts.author_name, until, facts.round)
        now = {**self.now, facts.access: said}
        good = {**self.good, facts.access: said} if until is None else self.good
        after = replace(self, round=facts.round, now=now, good=good)
        if isinstance(facts, Resource.StatusSet) and facts.status is ResourceStatus.ACTIVE:
            return replace(after, failures=0, bans=0)
        if facts.status is ResourceStatus.BANNED and not _by_person(said):
            return replace(after, bans=self.bans + 1)
        return after


def _accesses(command: SetResourceStatus, origin: Origin) -> tuple[Access, ...]:
    """What the command is about; raises Refused(RESOURCE)."""

    def refused(problem: str) -> Refused:
        return Refused(Code.RESOURCE, kind=command.kind.value, name=command.name, problem=problem)

    if not command.reason.strip():
        raise refused("a reason is needed: people will ask for it")
    if command.until and command.until <= origin.at:
        raise refused("the end lies in the past")
    storage = command.kind is ResourceKind.SE
    wanted = STORAGE if Access.ALL in command.access or not command.access else command.access
    if command.access and not storage and set(command.access) != {Access.ALL}:
        raise refused("only storage elements have a status for each access")
    return tuple(dict.fromkeys(wanted)) if storage else (Access.ALL,)


def _by_person(said: Said) -> bool:
    return bool(said.author) and not said.author.startswith(("policy:", "matcher"))
