"""A removal of many files: planned, previewed, carried out; undone as long as storage has what it removed."""

from datetime import timedelta
from enum import StrEnum
from typing import Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.data.access import Asker
from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.values import NAMES

MOST = 100_000  # files of one removal
MOST_TOLD = 1000  # lost files that an event names
GRACE = timedelta(days=7)  # how long bytes are kept, and everything can be undone


class Status(StrEnum):
    """The states of a removal."""

    NEW = ""
    PLANNED = "Planned"
    REMOVING = "Removing"
    REMOVED = "Removed"
    UNDOING = "Undoing"
    UNDONE = "Undone"
    PURGED = "Purged"  # the bytes are gone, or on their way
    FORGOTTEN = "Forgotten"  # planned, and never carried out


class RemovalCommand(Command, frozen=True):
    """A command to one removal of a VO."""

    KEYED = False
    vo: str
    removal: UUID

    @property
    def stream(self) -> UUID:
        return uuid5(NAMES, f"removal/{self.vo}/{self.removal}")


class PlanRemoval(RemovalCommand, frozen=True):
    """These files are to be removed; `lfns` is the digest of the list of their names."""

    TOPIC = "removal.plan"
    owner: str
    group: str
    manages: bool
    lfns: str
    files: int
    size: int
    reason: str = ""


class CarryOutRemoval(RemovalCommand, frozen=True):
    """Take the files out of the catalogue, a thousand at a time; given again it goes on."""

    TOPIC = "removal.carry-out"
    owner: str = ""  # of who asks; empty: the system goes on with what was begun
    manages: bool = False


class UndoRemoval(RemovalCommand, frozen=True):
    """Put the files back, a thousand at a time; given again it goes on."""

    TOPIC = "removal.undo"
    owner: str = ""
    manages: bool = False


class PurgeRemoval(RemovalCommand, frozen=True):
    """The time for undoing is over: the bytes follow."""

    TOPIC = "removal.purge"


class BeginRemoval(RemovalCommand, frozen=True):
    """From now on files go, or come back."""

    TOPIC = "removal.begin"
    owner: str = ""
    manages: bool = False
    undo: bool = False


class EndRemoval(RemovalCommand, frozen=True):
    """What was begun is complete."""

    TOPIC = "removal.end"
    files: int
    refused: int = 0
    lost: tuple[str, ...] = ()
    lost_files: int = 0
    purged: bool = False


class ForgetRemoval(RemovalCommand, frozen=True):
    """A plan that nobody carried out."""

    TOPIC = "removal.forget"


class Removal(Aggregate, frozen=True):
    """What a removal is at the moment."""

    TOPIC = "removal"
    LOG = "files"

    status: Status = Status.NEW
    owner: str = ""
    group: str = ""
    manages: bool = False
    lfns: str = ""
    files: int = 0

    class Planned(Event, frozen=True):
        """The files are known, and nothing has happened to them."""

        TOPIC = "removal.planned"
        removal: UUID
        owner: str
        group: str
        lfns: str
        files: int
        size: int
        reason: str = ""
        manages: bool = False

    class Begun(Event, frozen=True):
        """Files go, or come back."""

        TOPIC = "removal.begun"
        removal: UUID
        undo: bool = False

    class CarriedOut(Event, frozen=True):
        """The files are out of the catalogue; their bytes are kept until the removal is final."""

        TOPIC = "removal.carried-out"
        removal: UUID
        files: int
        refused: int = 0

    class Undone(Event, frozen=True):
        """The files are back, but for those that no storage has any more."""

        TOPIC = "removal.undone"
        removal: UUID
        files: int
        lost_files: int = 0
        lost: tuple[str, ...] = ()

    class Purged(Event, frozen=True):
        """The removal is final: bytes are removed from storage."""

        TOPIC = "removal.purged"
        removal: UUID
        replicas: int

    class Forgotten(Event, frozen=True):
        """Nobody carried the plan out."""

        TOPIC = "removal.forgotten"
        removal: UUID

    def plan(self, command: PlanRemoval, origin: Origin) -> Decision:
        """Once, and bounded."""
        if command.files > MOST:
            raise Refused(Code.TOO_MANY, count=command.files, things="files", limit=MOST)
        if self.status is Status.NEW:
            yield Removal.Planned(command.removal, command.owner, command.group, command.lfns, command.files,
                                  command.size, command.reason, command.manages)  # fmt: skip

    def begin(self, command: BeginRemoval, origin: Origin) -> Decision:
        """Whoever planned it, or manages data; the system itself only goes on."""
        self._allowed(command)
        allowed = (Status.REMOVING, Status.REMOVED, Status.PURGED) if command.undo else (Status.PLANNED,)
        under_way = Status.UNDOING if command.undo else Status.REMOVING
        if self.status in allowed and command.owner:
            yield Removal.Begun(command.removal, command.undo)
        elif self.status is not under_way:
            verb = "undo" if command.undo else "carry out"
            raise Refused(Code.REMOVAL_STATE, removal=str(command.removal), status=self.status.value, verb=verb)

    def end(self, command: EndRemoval, origin: Origin) -> Decision:
        """What was under way is complete."""
        if command.purged:
            if self.status is Status.REMOVED:
                yield Removal.Purged(command.removal, command.files)
        elif self.status is Status.REMOVING:
            yield Removal.CarriedOut(command.removal, command.files, command.refused)
        elif self.status is Status.UNDOING:
            yield Removal.Undone(command.removal, command.files, command.lost_files, command.lost[:MOST_TOLD])

    def forget(self, command: ForgetRemoval, origin: Origin) -> Decision:
        """A plan is no promise."""
        if self.status is Status.PLANNED:
            yield Removal.Forgotten(command.removal)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The removal after the event."""
        match event.event:
            case Removal.Planned() as facts:
                return type(self)(Status.PLANNED, facts.owner, facts.group, facts.manages, facts.lfns, facts.files)
            case Removal.Begun() as facts:
                return replace(self, status=Status.UNDOING if facts.undo else Status.REMOVING)
        ends = {Removal.CarriedOut: Status.REMOVED, Removal.Undone: Status.UNDONE, Removal.Purged: Status.PURGED,
                Removal.Forgotten: Status.FORGOTTEN}  # fmt: skip
        return replace(self, status=ends.get(type(event.event), self.status))

    @property
    def asker(self) -> Asker:
        """Who planned it, as far as rights on data go."""
        return Asker(self.owner, self.group, frozenset({"DataManager"} if self.manages else ()))

    def _allowed(self, command: BeginRemoval) -> None:
        if self.status is Status.NEW:
            raise Refused(Code.REMOVAL_UNKNOWN, removal=str(command.removal))
        if command.owner and not command.manages and command.owner != self.owner:
            raise Refused(Code.REMOVAL_UNKNOWN, removal=str(command.removal))
