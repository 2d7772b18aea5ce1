"""Packs files into the tar of a sandbox, and unpacks one without trusting it."""

import hashlib
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from domain.errors import Code, Refused
from domain.sandbox import LIMIT
from pilot.archive import Room, TooLarge, Unreadable, opened

MOST_UNPACKED = 10 * 1024**3  # bytes: a small archive must not fill the disk


class Packed(NamedTuple):
    """A packed sandbox in a temporary file, which belongs to whoever had it packed."""

    path: Path
    sha256: str
    size: int


class Unpacked(NamedTuple):
    """What an archive gave; `skipped` names what is neither a file nor a directory (links, devices)."""

    files: list[Path]
    skipped: list[str]


def pack(paths: Iterable[Path]) -> Packed:
    """Pack files and directories, each under its own name, into a tar.bz2; equal content gives equal bytes.

    Raises Refused(DESCRIPTION) for what cannot be packed, Refused(SANDBOX_TOO_LARGE).
    """
    descriptor, name = tempfile.mkstemp(prefix="spinor-", suffix=".tar.bz2")
    try:
        with os.fdopen(descriptor, "w+b") as raw:
            _write(raw, _members(paths))
            raw.seek(0)
            digest = hashlib.file_digest(raw, "sha256")
            return Packed(Path(name), digest.hexdigest(), raw.tell())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def unpack(file: IO[bytes], to: Path) -> Unpacked:
    """Unpack files and directories below `to`, nothing else and nowhere else.

    Raises Refused(MALFORMED) for an archive that cannot be read or reaches outside, Refused(TOO_LARGE).
    """
    to.mkdir(parents=True, exist_ok=True)
    unpacked, room = Unpacked([], []), Room(MOST_UNPACKED)
    try:
        with opened(file) as archive:
            for member in archive.members(_sound, MOST_UNPACKED):
                _extract(archive.tar, member, to.resolve(), unpacked, room)
    except TooLarge as error:
        raise Refused(Code.TOO_LARGE, size=MOST_UNPACKED + 1, limit=MOST_UNPACKED) from error
    except (tarfile.TarError, EOFError, ValueError, OSError, LZMAError, zlib.error, Unreadable) as error:
        if isinstance(error, OSError) and error.errno:  # the disk's fault, not the archive's
            raise
        raise Refused(Code.MALFORMED, problem=f"the sandbox cannot be unpacked ({error})") from error
    return unpacked


def _members(paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """(name in the archive, file or directory), in the order of the names."""
    named: dict[str, Path] = {}
    for path in paths:
        name = path.resolve().name if path.name in ("", "..") else path.name
        if name in named:
            raise Refused(Code.DESCRIPTION, field=str(path), problem=f"{named[name]} has the same name")
        named[name] = path
    for name, path in sorted(named.items()):
        yield from _below(name, path)


def _below(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    yield name, path
    if path.is_dir():
        for child in sorted(path.iterdir()):
            if child.is_symlink() and child.is_dir():  # it may lead in circles
                raise Refused(Code.DESCRIPTION, field=str(child), problem="it is a link to a directory")
            yield from _below(f"{name}/{child.name}", child)


def _write(raw: IO[bytes], members: Iterator[tuple[str, Path]]) -> None:
    with tarfile.open(fileobj=raw, mode="w:bz2", format=tarfile.PAX_FORMAT) as archive:
        for name, path in members:
            _add(archive, name, path)
            if raw.tell() > LIMIT:
                break
    if raw.tell() > LIMIT:
        raise Refused(Code.SANDBOX_TOO_LARGE, size=raw.tell(), limit=LIMIT)


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    """Owner and time stay at home: they would give equal content another checksum."""
    member = tarfile.TarInfo(name)
    if path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(member)
    elif path.is_file():
        with path.open("rb") as content:
            state = os.fstat(content.fileno())
            member.size, member.mode = state.st_size, 0o755 if state.st_mode & 0o100 else 0o644
            archive.addfile(member, content)
    else:
        problem = "it is neither a file nor a directory" if path.exists() else "there is no such file"
        raise Refused(Code.DESCRIPTION, field=str(path), problem=problem)


def _sound(member: tarfile.TarInfo) -> None:
    if member.size < 0:
        raise Unreadable(f"a size of {member.size} bytes")


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, to: Path, unpacked: Unpacked, room: Room) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (to / name).resolve().is_relative_to(to):
        raise Refused(Code.MALFORMED, problem=f"the sandbox reaches outside its directory with {member.name}")
    target = to / name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
    elif content := archive.extractfile(member) if member.isreg() else None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, target.open("wb") as file:
            room.copy(content, file)
        target.chmod(0o755 if member.mode & 0o100 else 0o644)
        unpacked.files.append(target)
    else:
        unpacked.skipped.append(member.name)
