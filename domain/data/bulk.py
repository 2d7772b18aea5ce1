"""Commands about many files at once. No single aggregate decides them: each file still does, and has its own result."""

from typing import Any
from uuid import UUID

from msgspec import Struct

from domain.data.file import Content
from domain.data.names import directory_stream
from domain.messages import Command

MOST = 10_000  # items of one bulk


class BulkCommand(Command, frozen=True):
    """Something that somebody of a VO wants for many files. `owner` and `group` are those of who asks."""

    vo: str
    owner: str
    group: str

    @property
    def stream(self) -> UUID:
        return directory_stream(f"/{self.vo}")


class NewFile(Struct, frozen=True, omit_defaults=True, gc=False):
    """A file that comes, and where it lies or is going to lie."""

    lfn: str
    content: Content
    ses: tuple[str, ...] = ()
    ancestors: tuple[str, ...] = ()


class RegisterFiles(BulkCommand, frozen=True):
    """These files lie there already."""

    TOPIC = "files.register"
    files: tuple[NewFile, ...]


class AnnounceFiles(BulkCommand, frozen=True):
    """These files are going to be written, each to its first storage element."""

    TOPIC = "files.announce"
    files: tuple[NewFile, ...]


class Receipt(Struct, frozen=True, omit_defaults=True):
    """What a storage element said about a file; `found` None: it has none."""

    lfn: str
    se: str
    found: Content | None = None


class ConfirmFiles(BulkCommand, frozen=True):
    """What storage said about announced files. Only parts of the system say this, never a user."""

    TOPIC = "files.confirm"
    receipts: tuple[Receipt, ...]
    job: int = 0  # whose outputs they are: only while that attempt is in its pilot's hands
    attempt: int = 0


class ChangeReplicas(BulkCommand, frozen=True):
    """Add, drop, doubt or trust replicas at one storage element."""

    TOPIC = "files.change-replicas"
    verb: str
    se: str
    lfns: tuple[str, ...]
    reason: str = ""


class MakeDirectories(BulkCommand, frozen=True):
    """Make directories, and those they are in."""

    TOPIC = "files.make-directories"
    paths: tuple[str, ...]
    mode: int = 0o775


class ProtectPaths(BulkCommand, frozen=True):
    """Change owner, group or mode of directories."""

    TOPIC = "files.protect"
    paths: tuple[str, ...]
    mode: int | None = None
    to_owner: str | None = None
    to_group: str | None = None


class DescribePaths(BulkCommand, frozen=True):
    """Set user metadata of directories and files; None takes a value away."""

    TOPIC = "files.describe"
    paths: tuple[str, ...]
    values: dict[str, Any]
