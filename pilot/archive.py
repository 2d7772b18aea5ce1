"""Opens the archive of a stranger in any known compression, for no more memory, disk and time than it can be worth."""

import bz2
import gzip
import lzma
import shutil
import subprocess
import tarfile
from contextlib import contextmanager
from typing import IO, Any, Callable, Iterator, List, Optional, Tuple

MIB = 1024 * 1024
MEMBERS = 50000  # of one archive
HEADERS = 64 * MIB  # bytes of everything in it that is no content
PIECE = 4 * MIB  # bytes read at once: a header that announces more is an attack on our memory
COPY = MIB
ZSTD = b"\x28\xb5\x2f\xfd"
MAGIC: Tuple[Tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"BZh", bz2.BZ2File),
    (b"\x1f\x8b", lambda raw: gzip.GzipFile(fileobj=raw)),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)


class Unreadable(Exception):
    """The archive is damaged, or in a format that is not known here."""


class TooLarge(Exception):
    """The content does not fit into the space that is left."""


class Room:
    """How many bytes may still be written."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    def take(self, size: int) -> None:
        """So many more; raises TooLarge."""
        self.used += size
        if self.used > self.limit:
            raise TooLarge("more than {} bytes, {} are left".format(self.limit, self.limit))

    def copy(self, source: Any, target: "IO[bytes]") -> None:
        """Copy to the end; raises TooLarge before too much is written."""
        while True:
            data = source.read(COPY)
            if not data:
                return
            self.take(len(data))
            target.write(data)


class Frugal:
    """A file for tarfile, which believes whatever size a header announces; `headers` bounds what is read, if set."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.headers: Optional[int] = HEADERS
        self.tell, self.close = file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        """So many bytes. Raises Unreadable."""
        if not 0 <= size <= PIECE:
            raise Unreadable("a header of {} bytes".format(size))
        if self.headers is not None:
            self.headers -= size
            if self.headers < 0:
                raise Unreadable("more than {} bytes of headers".format(HEADERS))
        return bytes(_told(lambda: self._file.read(size)))

    def seek(self, position: int, whence: int = 0) -> int:
        """As of any file. Raises Unreadable."""
        return int(_told(lambda: self._file.seek(position, whence)))


class Archive:
    """An open archive: its file and its tar."""

    def __init__(self, file: Any) -> None:
        self._file = Frugal(file)
        self.tar = tarfile.open(fileobj=self._file, mode="r:")  # type: ignore[call-overload]

    def members(self, check: Callable[[tarfile.TarInfo], None], limit: int) -> List[tarfile.TarInfo]:
        """All members, each checked as soon as it is seen, so that a bomb is not taken apart to the end."""
        found: List[tarfile.TarInfo] = []
        room = Room(limit)
        for member in self.tar:
            check(member)
            room.take(member.size if member.isreg() else 0)
            found.append(member)
            if len(found) > MEMBERS:
                raise Unreadable("more than {} files".format(MEMBERS))
        self._file.headers = None
        return found


@contextmanager
def opened(raw: "IO[bytes]") -> Iterator[Archive]:
    """The archive in a file, in whichever compression but zstd. Raises Unreadable, OSError, and what tarfile raises."""
    begin = raw.read(6)
    raw.seek(0)
    kind = next((kind for magic, kind in MAGIC if begin.startswith(magic)), None)
    if kind is None:
        yield Archive(raw)
    else:
        with kind(raw) as file:
            yield Archive(file)


def plain(archive: str, room: Room) -> str:
    """The archive, or what a zstd program makes of it: the standard library learned that format only lately."""
    with open(archive, "rb") as file:
        if file.read(4) != ZSTD:
            return archive
    program = shutil.which("zstd") or shutil.which("unzstd")
    if not program:
        raise Unreadable("zstd: there is no zstd program here")
    target = archive + ".plain"
    process = subprocess.Popen([program, "-dc", archive], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        with open(target, "wb") as file:
            room.copy(process.stdout, file)
        ended = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
    if ended:
        raise Unreadable("zstd: ended with {}".format(ended))
    return target


def _told(action: Callable[[], Any]) -> Any:
    """Damaged data and a broken disk both come as OSError; only the disk's has a number."""
    try:
        return action()
    except OSError as error:
        if error.errno:
            raise
        raise Unreadable(str(error))
