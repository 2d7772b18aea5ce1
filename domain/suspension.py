"""Keeping a user, a group or a whole VO from going on: since when, why, until when, and how far that has taken effect.

Jobs that wait are held, and freed again, a part at a time: each part is one event, so that whoever is killed in the
middle goes on where the log ends, and a hundred thousand jobs cost as much memory as a part.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, NamedTuple, Self
from uuid import UUID

from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.values import suspension_stream

MOST_ROUNDS = 1000  # of one user, group or VO: whoever loads a suspension reads all of them
MOST_REASON = 255
PART = 1000  # jobs that are seen to in one transaction


class Kind(StrEnum):
    """What can be suspended."""

    USER = "user"
    GROUP = "group"
    VO = "vo"


class Running(StrEnum):
    """What becomes of jobs that run already."""

    RUN = "run"
    KILL = "kill"


class SuspensionCommand(Command, frozen=True):
    """A command that concerns one user (by pseudonym), group, or VO."""

    vo: str
    kind: Kind
    name: str

    @property
    def stream(self) -> UUID:
        return suspension_stream(self.vo, self.kind, self.name)


class Suspend(SuspensionCommand, frozen=True):
    """Keep them from going on; `label` is how people call them."""

    TOPIC = "suspension.suspend"
    reason: str
    label: str = ""
    until: datetime | None = None
    running: Running = Running.RUN


class Resume(SuspensionCommand, frozen=True):
    """Let them go on. `round` 0 means whichever is in force; a timer's number never ends a later one."""

    TOPIC = "suspension.resume"
    reason: str = ""
    round: int = 0


class Sweep(SuspensionCommand, frozen=True):
    """Note that their jobs up to `after` have been seen to; `done`: there are no more."""

    TOPIC = "suspension.sweep"
    KEYED = False
    round: int
    after: int
    jobs: int = 0
    done: bool = False


class SweepAgain(SuspensionCommand, frozen=True):
    """Look once more for jobs that were on their way when it began."""

    TOPIC = "suspension.sweep-again"
    KEYED = False
    round: int


class Suspension(Aggregate, frozen=True):
    """Whether somebody is suspended, and how far their jobs have been seen to."""

    TOPIC = "suspension"
    LOG = "identity"

    round: int = 0
    active: bool = False
    reason: str = ""
    until: datetime | None = None
    running: Running = Running.RUN
    after: int = 0
    done: bool = False
    again: bool = False

    class Suspended(Event, frozen=True):
        """They are kept from going on."""

        TOPIC = "suspension.suspended"
        SEALED: ClassVar[dict[str, str]] = {"label": "name"}
        kind: Kind
        name: str
        round: int
        reason: str
        label: str
        until: datetime | None = None
        running: Running = Running.RUN

    class Resumed(Event, frozen=True):
        """They may go on."""

        TOPIC = "suspension.resumed"
        kind: Kind
        name: str
        round: int
        reason: str = ""

    class Swept(Event, frozen=True):
        """A part of their jobs was held, or freed (`freeing`)."""

        TOPIC = "suspension.swept"
        kind: Kind
        name: str
        round: int
        after: int
        jobs: int = 0
        freeing: bool = False
        running: Running = Running.RUN
        done: bool = False
        again: bool = False

    def suspend(self, command: Suspend, origin: Origin) -> Decision:
        """With a reason, and not into the past. Saying the same again changes nothing."""
        if not command.reason.strip():
            raise Refused(Code.SUSPENSION, problem="a reason is needed: people will ask for it")
        if command.until and command.until <= origin.at:
            raise Refused(Code.SUSPENSION, problem="the end lies in the past")
        reason = command.reason[:MOST_REASON]
        asked = (reason, command.until, command.running)
        if self.active and asked == (self.reason, self.until, self.running):
            return
        if self.round >= MOST_ROUNDS:
            raise Refused(Code.SUSPENSION, problem="it was suspended and resumed too often")
        yield Suspension.Suspended(
            command.kind, command.name, self.round + 1, reason, command.label, command.until, command.running
        )

    def resume(self, command: Resume, origin: Origin) -> Decision:
        """What is not suspended stays as it is; a timer only ends its own round."""
        if self.active and command.round in (0, self.round):
            yield Suspension.Resumed(command.kind, command.name, self.round + 1, command.reason[:MOST_REASON])

    def sweep(self, command: Sweep, origin: Origin) -> Decision:
        """Only forwards, and only for the round in force."""
        if command.round == self.round and not self.done and (command.done or command.after > self.after):
            yield self._swept(command, max(command.after, self.after), command.jobs, command.done)

    def sweep_again(self, command: SweepAgain, origin: Origin) -> Decision:
        """Once, from the beginning."""
        if command.round == self.round and self.active and self.done and not self.again:
            yield replace(self._swept(command, 0, 0, False), again=True)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The suspension after the event."""
        match event.event:
            case Suspension.Suspended() as facts:
                return type(self)(facts.round, True, facts.reason, facts.until, facts.running)
            case Suspension.Resumed() as facts:
                return type(self)(facts.round, running=self.running)
            case Suspension.Swept() as facts:
                return replace(self, after=facts.after, done=facts.done, again=facts.again)
        return self

    def _swept(self, command: Sweep | SweepAgain, after: int, jobs: int, done: bool) -> "Suspension.Swept":
        return Suspension.Swept(
            command.kind, command.name, self.round, after, jobs, not self.active, self.running, done, self.again
        )


class Standing(NamedTuple):
    """A suspension in force, as every process knows it."""

    kind: Kind
    name: str
    reason: str
    label: str = ""
    until: datetime | None = None

    def refusal(self, support: str) -> Refused:
        """What whoever is suspended is told: why, until when, and who can help."""
        until = f" until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else ""
        return Refused(Code.SUSPENDED, kind=self.kind.value, name=self.label or self.name, reason=self.reason,
                       until=until, support=support)  # fmt: skip


Standings = Mapping[tuple[str, Kind, str], Standing]


def in_force(
    standings: Standings, vo: str, subject: str, group: str, now: datetime, kinds: Iterable[Kind] = tuple(Kind)
) -> Standing | None:
    """The widest suspension that keeps a user of this group and VO from going on, if any does."""
    names = {Kind.VO: vo, Kind.GROUP: group, Kind.USER: subject}
    for kind in (Kind.VO, Kind.GROUP, Kind.USER):
        found = standings.get((vo, kind, names[kind])) if kind in kinds else None
        if found and (found.until is None or found.until > now):
            return found
    return None


def hold_code(kind: Kind) -> str:
    """Under which code jobs are held for a suspension of this kind: each has its own, they can come together."""
    return f"{kind.value}-suspended"
