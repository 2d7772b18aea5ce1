"""A sandbox in the store, from its announcement to its removal: kept as long as a job uses it, or for two weeks."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.values import NAMES

RENEWED_AFTER = timedelta(days=1)  # who uploads the same again every minute makes no history of it


class Status(StrEnum):
    """Where a sandbox stands."""

    NEW = ""
    STORED = "Stored"
    DOOMED = "Doomed"
    REMOVED = "Removed"


class SandboxCommand(Command, frozen=True):
    """A command to one sandbox, by its path (a pfn without its storage element)."""

    KEYED = False
    path: str

    @property
    def stream(self) -> UUID:
        return sandbox_stream(self.path)


class NoteSandbox(SandboxCommand, frozen=True):
    """Somebody announced an upload, of so many bytes; it may be there already."""

    TOPIC = "sandbox.note"
    size: int


class AgeSandbox(SandboxCommand, frozen=True):
    """It has been there for a while: is it used?"""

    TOPIC = "sandbox.age"


class DoomSandbox(SandboxCommand, frozen=True):
    """No job uses it: intend to take it away."""

    TOPIC = "sandbox.doom"


class SpareSandbox(SandboxCommand, frozen=True):
    """A job uses it again: it stays."""

    TOPIC = "sandbox.spare"


class RemoveSandbox(SandboxCommand, frozen=True):
    """The receipt: the object is gone."""

    TOPIC = "sandbox.remove"


class StoredSandbox(Aggregate, frozen=True):
    """What a sandbox in the store is at the moment."""

    TOPIC = "sandbox"
    LOG = "sandboxes"

    status: Status = Status.NEW
    noted_at: datetime | None = None

    class Noted(Event, frozen=True):
        """Its upload was announced."""

        TOPIC = "sandbox.noted"
        path: str
        size: int

    class Aged(Event, frozen=True):
        """It has been there for a while; who knows what uses it decides."""

        TOPIC = "sandbox.aged"
        path: str

    class Doomed(Event, frozen=True):
        """It will be taken away: the intent."""

        TOPIC = "sandbox.doomed"
        path: str

    class Spared(Event, frozen=True):
        """It was used again before it was taken away."""

        TOPIC = "sandbox.spared"
        path: str

    class Removed(Event, frozen=True):
        """It is gone: the receipt."""

        TOPIC = "sandbox.removed"
        path: str

    def note(self, command: NoteSandbox, origin: Origin) -> Decision:
        """Whatever was meant with it: who announces it wants it."""
        kept = self.status is Status.STORED and self.noted_at is not None
        if not kept or origin.at - (self.noted_at or origin.at) > RENEWED_AFTER:
            yield StoredSandbox.Noted(command.path, command.size)

    def age(self, command: AgeSandbox, origin: Origin) -> Decision:
        """Only what is kept grows old."""
        if self.status is Status.STORED:
            yield StoredSandbox.Aged(command.path)

    def doom(self, command: DoomSandbox, origin: Origin) -> Decision:
        """What is gone is not taken away again; what is doomed and still there is named once more by its timer."""
        if self.status is Status.DOOMED and origin.actor != "timer":
            return
        if self.status is not Status.REMOVED:
            yield StoredSandbox.Doomed(command.path)

    def spare(self, command: SpareSandbox, origin: Origin) -> Decision:
        """Only what is doomed."""
        if self.status is Status.DOOMED:
            yield StoredSandbox.Spared(command.path)

    def remove(self, command: RemoveSandbox, origin: Origin) -> Decision:
        """Only what is doomed."""
        if self.status is Status.DOOMED:
            yield StoredSandbox.Removed(command.path)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The sandbox after the event."""
        noted_at = event.at if isinstance(event.event, StoredSandbox.Noted) else self.noted_at
        return replace(self, status=AFTER.get(type(event.event), self.status), noted_at=noted_at)


AFTER: dict[type[Event], Status] = {
    StoredSandbox.Noted: Status.STORED,
    StoredSandbox.Doomed: Status.DOOMED,
    StoredSandbox.Spared: Status.STORED,
    StoredSandbox.Removed: Status.REMOVED,
}


def sandbox_stream(path: str) -> UUID:
    """The stream of a sandbox."""
    return uuid5(NAMES, f"sandbox/{path}")
