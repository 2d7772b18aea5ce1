"""Logical file names: which are accepted, and how a name becomes the id of a stream.

A file is one stream, as a job is. Its id begins with five bytes of its directory's id: files are registered, listed
and removed by directories, so the rows of one directory lie together in every index. Random ids touch as many pages
of an index as there are files in a bulk.
"""

import re
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

from domain.errors import Code, Refused

LONGEST = 1024  # characters of a whole name
DEEPEST = 64  # elements of it
_NAME = re.compile(r"(?:/(?!-)(?!\.{1,2}(?:/|$))[A-Za-z0-9_.+=,:@~-]{1,255})+")
_V8 = (8 << 76) | (0b10 << 62)
_KEPT = ~((0xF << 76) | (0b11 << 62))


def check_name(vo: str, name: str) -> str:
    """The name, when it is one that this VO may use.

    Raises:
        Refused: FILE_NAME.
    """
    if not name.startswith("/"):
        raise Refused(Code.FILE_NAME, name=name[:200], problem="it must begin with /")
    if "//" in name:
        raise Refused(Code.FILE_NAME, name=name[:200], problem="it must not contain //")
    if len(name) > LONGEST or name.count("/") > DEEPEST:
        problem = f"at most {LONGEST} characters and {DEEPEST} elements are accepted"
        raise Refused(Code.FILE_NAME, name=name[:200], problem=problem)
    if not _NAME.fullmatch(name):
        problem = "elements are made of letters, digits and _.+=,:@~-, are no . or .. and do not begin with -"
        raise Refused(Code.FILE_NAME, name=name[:200], problem=problem)
    if name != f"/{vo}" and not name.startswith(f"/{vo}/"):
        raise Refused(Code.FILE_NAME, name=name[:200], problem=f"names of this VO begin with /{vo}/")
    return name


def check_file(vo: str, lfn: str) -> str:
    """The name, when it can be that of a file: the VO's own directory is none.

    Raises:
        Refused: FILE_NAME.
    """
    if lfn == f"/{vo}":
        raise Refused(Code.FILE_NAME, name=lfn, problem="it is the directory of the VO")
    return check_name(vo, lfn)


def parent(name: str) -> str:
    """The directory that a name is in; empty for that of a VO."""
    return name.rpartition("/")[0]


def lineage(path: str) -> list[str]:
    """The directory and those it is in, from the VO's own down."""
    parts = path.split("/")[1:]
    return ["/" + "/".join(parts[: n + 1]) for n in range(len(parts))] if path else []


@lru_cache(maxsize=65_536)
def directory_stream(path: str) -> UUID:
    """The stream of a directory."""
    return UUID(int=_v8(sha256(f"directory:{path}".encode()).digest()[:16]))


@lru_cache(maxsize=65_536)
def file_stream(lfn: str) -> UUID:
    """The stream of a file; its VO is the first element of its name."""
    hashed = sha256(f"file:{lfn}".encode()).digest()[:11]
    return UUID(int=_v8(directory_stream(parent(lfn)).bytes[:5] + hashed))


def _v8(raw: bytes) -> int:
    return int.from_bytes(raw) & _KEPT | _V8
