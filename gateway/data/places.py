"""What routes ask of storage elements."""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from domain.data.element import Access, Elements
from domain.data.file import Content
from domain.errors import Code, Refused
from gateway.objects import Form

PREFIX = "/api/v1/storage"
LIFETIME = 900  # seconds that a form or URL is good for


class Listed(NamedTuple):
    """A file that a storage element has."""

    lfn: str
    size: int
    modified: datetime


class Storage(Protocol):
    """One storage element. Clients move the bytes with what these calls hand out; credentials stay here.

    Every call raises Refused(STORAGE_AWAY) or Refused(STORAGE_REFUSED) where it can.
    """

    async def upload_form(self, lfn: str, content: Content, expires: int = LIFETIME) -> Form:
        """A form that takes exactly these bytes under this name, for `expires` seconds."""

    async def download_url(self, lfn: str, expires: int = LIFETIME) -> str:
        """A URL that gives this file, and no other, for `expires` seconds."""

    async def examine(self, lfn: str) -> Content | None:
        """Read what is there: its size and checksums; None when there is nothing."""

    async def fetch(self, lfn: str, path: Path) -> None:
        """Copy a file to a place of ours; raises Refused(NOT_STORED) when there is nothing."""

    async def store(self, lfn: str, path: Path) -> None:
        """Copy a file of ours there."""

    async def remove(self, lfns: Iterable[str]) -> None:
        """Remove files; those that are not there are no fault."""

    def listed(self, path: str) -> AsyncIterator[list[Listed]]:
        """All files below a directory, in parts."""


class SignedStorage(Protocol):
    """The other side of the forms and URLs of a directory of ours."""

    async def receive(self, fields: Mapping[str, str], chunks: AsyncIterator[bytes]) -> None:
        """Check the form, then keep what comes if it is what the form announced."""

    async def find(self, lfn: str, expires: str, signature: str) -> Path:
        """The file that a signed URL names."""


class Storages(Protocol):
    """The storage elements of an installation."""

    def known(self, vo: str) -> Elements:
        """Those of a VO, as they are now."""

    def open(self, vo: str, name: str, access: Access) -> Storage:
        """One of them; raises Refused(SE_UNKNOWN), Refused(SE_REFUSES)."""

    def directory(self, vo: str, name: str) -> SignedStorage:
        """One that is a directory of ours; raises Refused(SE_UNKNOWN)."""


def unknown(se: str) -> Refused:
    """There is no such storage element."""
    return Refused(Code.SE_UNKNOWN, se=se[:100])
