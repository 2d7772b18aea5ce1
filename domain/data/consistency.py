"""A check of a storage element: what it has against what the catalogue says, each divergence with its date."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self
from uuid import UUID, uuid5

from msgspec import Struct

from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.values import NAMES

LONGEST = timedelta(hours=12)  # a check that has not ended by then has died


class Kind(StrEnum):
    """What can diverge."""

    DARK = "dark"  # storage has it, the catalogue does not know of it
    LOST = "lost"  # the catalogue relies on it, storage does not have it
    SIZE = "size"  # storage has another number of bytes
    UNCONFIRMED = "unconfirmed"  # it was announced, and never confirmed


class Finding(Struct, frozen=True, omit_defaults=True):
    """One divergence; it came about between `since` and `until`."""

    kind: str
    lfn: str
    since: datetime | None = None
    until: datetime | None = None
    size: int = 0


class CheckCommand(Command, frozen=True):
    """A command to one check."""

    KEYED = False
    vo: str
    check: UUID

    @property
    def stream(self) -> UUID:
        return uuid5(NAMES, f"check/{self.vo}/{self.check}")


class CheckStorage(CheckCommand, frozen=True):
    """Check a storage element below a directory."""

    TOPIC = "storage.check"
    se: str
    path: str


class BeginCheck(CheckCommand, frozen=True):
    """It begins."""

    TOPIC = "check.begin"
    se: str
    path: str


class NoteFindings(CheckCommand, frozen=True):
    """A part of what was found."""

    TOPIC = "check.note"
    findings: tuple[Finding, ...]


class EndCheck(CheckCommand, frozen=True):
    """It is complete, or cannot go on."""

    TOPIC = "check.end"
    listed: int = 0
    known: int = 0
    problem: str = ""


class Check(Aggregate, frozen=True):
    """How far a check is."""

    TOPIC = "check"
    LOG = "files"

    se: str = ""
    ended: bool = False

    class Begun(Event, frozen=True):
        """The storage element is being listed."""

        TOPIC = "check.begun"
        check: UUID
        se: str
        path: str

    class Found(Event, frozen=True):
        """These diverge."""

        TOPIC = "check.found"
        check: UUID
        se: str
        findings: tuple[Finding, ...]

    class Ended(Event, frozen=True):
        """Everything was compared; without a problem, what was not found diverging does not."""

        TOPIC = "check.ended"
        check: UUID
        se: str
        listed: int
        known: int
        problem: str = ""

    def begin(self, command: BeginCheck, origin: Origin) -> Decision:
        """Once."""
        if not self.se:
            yield Check.Begun(command.check, command.se, command.path)

    def note(self, command: NoteFindings, origin: Origin) -> Decision:
        """As long as it goes on."""
        if self.se and not self.ended and command.findings:
            yield Check.Found(command.check, self.se, command.findings)

    def end(self, command: EndCheck, origin: Origin) -> Decision:
        """Once."""
        if self.se and not self.ended:
            yield Check.Ended(command.check, self.se, command.listed, command.known, command.problem)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The check after the event."""
        match event.event:
            case Check.Begun() as facts:
                return type(self)(facts.se)
            case Check.Ended():
                return type(self)(self.se, True)
        return self
