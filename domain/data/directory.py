"""A directory: whose it is, who may use it, and the metadata that everything below it inherits."""

from typing import Any, Self
from uuid import UUID

from msgspec.structs import replace

from domain.data import metadata
from domain.data.access import USUAL_MODE
from domain.data.names import check_name, directory_stream
from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded


class DirectoryCommand(Command, frozen=True):
    """A command to one directory."""

    KEYED = False
    vo: str
    path: str

    @property
    def stream(self) -> UUID:
        return directory_stream(self.path)


class MakeDirectory(DirectoryCommand, frozen=True):
    """Make a directory; one that is there stays as it is."""

    TOPIC = "directory.make"
    owner: str
    group: str
    mode: int = USUAL_MODE


class ProtectDirectory(DirectoryCommand, frozen=True):
    """Change who may do what: fields that are None stay."""

    TOPIC = "directory.protect"
    mode: int | None = None
    owner: str | None = None
    group: str | None = None


class DescribeDirectory(DirectoryCommand, frozen=True):
    """Set user metadata; None takes a value away."""

    TOPIC = "directory.describe"
    values: dict[str, Any]


class Directory(Aggregate, frozen=True):
    """What a directory is at the moment."""

    TOPIC = "directory"
    LOG = "files"

    path: str = ""
    owner: str = ""
    group: str = ""
    mode: int = USUAL_MODE
    metadata: dict[str, Any] = {}

    class Made(Event, frozen=True):
        """The directory is there."""

        TOPIC = "directory.made"
        path: str
        owner: str
        group: str
        mode: int = USUAL_MODE

    class Protected(Event, frozen=True):
        """Who may do what has changed."""

        TOPIC = "directory.protected"
        path: str
        owner: str
        group: str
        mode: int

    class Described(Event, frozen=True):
        """User metadata were set; None took a value away."""

        TOPIC = "directory.described"
        path: str
        values: dict[str, Any] = {}

    def make(self, command: MakeDirectory, origin: Origin) -> Decision:
        """Once."""
        check_name(command.vo, command.path)
        if not self.path:
            yield Directory.Made(command.path, command.owner, command.group, command.mode & 0o777)

    def protect(self, command: ProtectDirectory, origin: Origin) -> Decision:
        """Owner, group and mode, as far as they change."""
        self._known(command.path)
        owner = self.owner if command.owner is None else command.owner
        group = self.group if command.group is None else command.group
        mode = self.mode if command.mode is None else command.mode & 0o777
        if (owner, group, mode) != (self.owner, self.group, self.mode):
            yield Directory.Protected(self.path, owner, group, mode)

    def describe(self, command: DescribeDirectory, origin: Origin) -> Decision:
        """User metadata, as far as they change anything."""
        self._known(command.path)
        if news := metadata.news(self.metadata, command.values):
            yield Directory.Described(self.path, news)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The directory after the event."""
        match event.event:
            case Directory.Made() as facts:
                return replace(self, path=facts.path, owner=facts.owner, group=facts.group, mode=facts.mode)
            case Directory.Protected() as facts:
                return replace(self, owner=facts.owner, group=facts.group, mode=facts.mode)
            case Directory.Described() as facts:
                return replace(self, metadata=metadata.described(self.metadata, facts.values))
        return self

    def _known(self, path: str) -> None:
        if not self.path:
            raise Refused(Code.DIRECTORY_UNKNOWN, path=path)
