"""A sandbox is a compressed tar named by its content: its limits, its key in the object store, and its pfn."""

import re
from typing import NamedTuple

from domain.errors import Code, Refused

LIMIT = 100 * 1024 * 1024  # bytes
FORMATS = ("tar.bz2", "tar.zst")
LONGEST_PFN = 256
LONGEST_NAME = 255  # bytes of one part of a key: what file systems take
ELEMENT = "SandboxSE"

_PFN = re.compile(
    r"(?::?SB:[A-Za-z]+\|)?/S3/(?P<bucket>[a-z0-9.\-]{3,63})/(?P<vo>[^/]+)/(?P<group>[^/]+)/(?P<owner>[^/]+)"
    r"/(?P<algorithm>[a-z0-9]{3,10}):(?P<checksum>[0-9a-f]{64})\.(?P<format>[a-z0-9.]+)"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Pfn(NamedTuple):
    """The parts of a pfn: whose sandbox it is, and the checksum of its content (hex)."""

    bucket: str
    vo: str
    group: str
    owner: str
    algorithm: str
    checksum: str
    format: str

    @property
    def key(self) -> str:
        """The object's key in its bucket."""
        return f"{self.vo}/{self.group}/{self.owner}/{self.algorithm}:{self.checksum}.{self.format}"

    @property
    def path(self) -> str:
        """The pfn without the storage element: the form in which jobs list their sandboxes."""
        return f"/S3/{self.bucket}/{self.key}"

    def __str__(self) -> str:
        return f"SB:{ELEMENT}|{self.path}"


def pfn(bucket: str, vo: str, group: str, owner: str, sha256: str, format: str) -> str:
    """The full name of a sandbox; raises Refused(MALFORMED) for parts that could not be read back."""
    made = Pfn(bucket, vo, group, owner, "sha256", sha256, format)
    if parse_pfn(str(made)) != made:
        raise Refused(Code.MALFORMED, problem="these parts do not make a pfn")
    return str(made)


def parse_pfn(text: str) -> Pfn:
    """The parts of a pfn, with or without its storage element; raises Refused(MALFORMED)."""
    found = _PFN.fullmatch(text) if len(text) <= LONGEST_PFN else None
    if found is None:
        raise Refused(Code.MALFORMED, problem="this is not the pfn of a sandbox")
    parts = Pfn(**found.groupdict())
    check_key(parts.key)
    return parts


def check_key(key: str) -> None:
    """A key is the same thing in every store: parts that are plain names; raises Refused(MALFORMED)."""
    for part in key.split("/"):
        plain = part.isprintable() and "\\" not in part and not part.startswith(".")
        if not part or not plain or len(part.encode(errors="replace")) > LONGEST_NAME:
            raise Refused(Code.MALFORMED, problem="this is not the key of an object")


def check_announced(sha256: str, size: int, most: int = LIMIT) -> None:
    """What an upload may announce; raises Refused(SANDBOX_TOO_LARGE) or Refused(MALFORMED)."""
    if size > min(most, LIMIT):
        raise Refused(Code.SANDBOX_TOO_LARGE, size=size, limit=min(most, LIMIT))
    if size < 1 or not _SHA256.fullmatch(sha256):
        raise Refused(Code.MALFORMED, problem="a sandbox has at least one byte and a sha256 of 64 hexadecimal digits")
