"""Sandboxes: archives unpacked without trusting them, and packed so that the same files give the same bytes."""

import bz2
import glob
import lzma
import os
import stat
import tarfile
import zlib
from typing import Any, Iterable, List, Optional, Tuple

from pilot.archive import Room, Unreadable, opened, plain

COLLISIONS = (FileExistsError, NotADirectoryError, IsADirectoryError)  # a file where another member has a directory


class Unsafe(Exception):
    """The archive wants to write outside its directory, or holds what no sandbox needs; nothing more is unpacked."""


def unpack(archive: str, root: str, limit: int) -> int:
    """Unpack a tar (bz2, gz, xz, plain; zst where a zstd program is) below root; returns the bytes written.

    Every member is checked before the first byte is written. Links are made last, so nothing is written through them.
    limit: bytes. Raises Unsafe, Unreadable, TooLarge, OSError.
    """
    try:
        room = Room(limit)
        with open(plain(archive, room), "rb") as file, opened(file) as whole:
            members = whole.members(_check, limit - room.used)
            before = room.used
            for member in sorted(members, key=lambda member: member.issym()):
                _extract(whole.tar, member, os.path.realpath(root), room)
            _check_links(members, root)
            return room.used - before
    except (tarfile.TarError, EOFError, ValueError, KeyError, lzma.LZMAError, zlib.error, *COLLISIONS) as error:
        raise Unreadable("{}: {}".format(type(error).__name__, error))


def pack(root: str, patterns: Iterable[str], always: Iterable[str], target: str) -> List[str]:
    """Pack the files that match the patterns, and those of `always` that exist, as tar.bz2; returns unmatched patterns.

    The same content gives the same bytes: sorted, without times and owners. Raises OSError.
    """
    chosen, missing = {os.path.normpath(name) for name in always if _kept(root, name)}, []
    for pattern in patterns:
        found = _matches(root, pattern)
        chosen.update(found)
        if not found:
            missing.append(pattern)
    with bz2.BZ2File(target, "wb", compresslevel=9) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name in sorted(_with_content(root, chosen)):
                _add(tar, root, name)
    return missing


def inside(root: str, name: str) -> Optional[str]:
    """The path of a relative name below root, or None if it leads out of it (also through links)."""
    path = os.path.join(root, name)
    top = os.path.realpath(root)
    if os.path.isabs(name) or ".." in name.split("/") or not (os.path.realpath(path) + "/").startswith(top + "/"):
        return None
    return path


def _check(member: tarfile.TarInfo) -> None:
    parts = member.name.split("/")
    if member.size < 0:
        raise Unsafe("size {} of {!r}".format(member.size, member.name))
    if member.name.startswith("/") or ".." in parts or "\0" in member.name:
        raise Unsafe("path {!r}".format(member.name))
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise Unsafe("special file {!r}".format(member.name))
    if member.issym():
        end = os.path.normpath(os.path.join(os.path.dirname(member.name), member.linkname))
        if member.linkname.startswith("/") or end.split("/")[0] == "..":
            raise Unsafe("link {!r} to {!r}".format(member.name, member.linkname))
    if member.islnk() and (member.linkname.startswith("/") or ".." in member.linkname.split("/")):
        raise Unsafe("link {!r} to {!r}".format(member.name, member.linkname))


def _check_links(members: Iterable[tarfile.TarInfo], root: str) -> None:
    """Together, links can lead where none of them leads alone."""
    for member in members:
        if member.issym() and inside(root, member.name) is None:
            os.unlink(os.path.join(root, member.name))
            raise Unsafe("link {!r} to {!r}".format(member.name, member.linkname))


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, root: str, room: Room) -> None:
    path = os.path.join(root, os.path.normpath(member.name))
    parent = path if member.isdir() else os.path.dirname(path)
    if not (os.path.realpath(parent) + "/").startswith(root + "/"):
        raise Unsafe("path {!r} through a link".format(member.name))
    os.makedirs(parent, exist_ok=True)
    if member.isdir():
        return
    if os.path.lexists(path):
        os.unlink(path)
    if member.issym():
        os.symlink(member.linkname, path)
        return
    source = tar.extractfile(member)  # of a hard link: the file it names, which must be in the same archive
    if source is None:
        raise Unsafe("link {!r} to {!r}".format(member.name, member.linkname))
    with source, open(path, "wb") as file:
        room.copy(source, file)
    os.chmod(path, stat.S_IMODE(member.mode) & 0o755 | 0o600)


def _matches(root: str, pattern: str) -> List[str]:
    if os.path.isabs(pattern) or ".." in pattern.split("/"):
        return []
    found = glob.glob(os.path.join(glob.escape(root), pattern), recursive=True)
    names = [os.path.relpath(path, root) for path in found]
    return [name for name in names if name != "." and _kept(root, name)]


def _kept(root: str, name: str) -> bool:
    """Directories, and files also through links that stay inside; no pipes or devices, which could hold us for ever."""
    path = os.path.join(root, name)
    directory = os.path.isdir(path) and not os.path.islink(path)
    return inside(root, name) is not None and (directory or os.path.isfile(path))


def _with_content(root: str, names: Iterable[str]) -> List[str]:
    found = set(names)
    for name in names:
        path = os.path.join(root, name)
        if os.path.isdir(path) and not os.path.islink(path):
            for directory, folders, files in os.walk(path):
                found.update(os.path.relpath(os.path.join(directory, entry), root) for entry in folders + files)
    return [name for name in found if _kept(root, name)]


def _add(tar: tarfile.TarFile, root: str, name: str) -> None:
    path = os.path.join(root, name)
    info, content = _described(path, name)
    if content:
        with open(path, "rb") as file:
            tar.addfile(info, _Exactly(file, info.size))  # type: ignore[arg-type]
    else:
        tar.addfile(info)


def _described(path: str, name: str) -> Tuple[tarfile.TarInfo, bool]:
    info = tarfile.TarInfo(name)
    status = os.stat(path)
    info.mode = 0o755 if status.st_mode & 0o111 else 0o644
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        return info, False
    info.size = status.st_size
    return info, True


class _Exactly:
    """A file of exactly so many bytes: a file that shrinks while it is packed is filled up with zeros."""

    def __init__(self, file: Any, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        """The next bytes."""
        wanted = min(size, self._left)
        data: bytes = self._file.read(wanted)
        self._left -= wanted
        return data + b"\0" * (wanted - len(data))
