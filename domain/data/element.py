"""A storage element as rules see it: where its bytes lie, for whom, and what may be done there at the moment."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from domain.errors import Code, Refused


class Access(StrEnum):
    """What somebody may want of a storage element."""

    READ = "read"
    WRITE = "write"
    REMOVE = "remove"
    CHECK = "check"


class Element(Struct, frozen=True):
    """A storage element. `keys` names the environment variables that hold its credentials, which stay there."""

    name: str
    kind: str  # posix or s3
    place: str  # the directory, or http(s)://host:port/bucket
    vos: tuple[str, ...] = ()  # empty: all
    priority: int = 0  # the smallest is preferred
    sites: tuple[str, ...] = ()  # near which it lies
    refuses: Mapping[str, str] = {}  # what is not possible now, and why: access -> status
    key: str = ""
    secret: str = ""
    region: str = "us-east-1"

    def serves(self, vo: str) -> bool:
        """Whether this VO may use it at all."""
        return not self.vos or vo in self.vos


Elements = Mapping[str, Element]


def usable(elements: Elements, vo: str, name: str, access: Access) -> Element:
    """The storage element, when this VO can do that there now.

    Raises:
        Refused: SE_UNKNOWN, SE_REFUSES.
    """
    element = elements.get(name)
    if element is None or not element.serves(vo):
        raise Refused(Code.SE_UNKNOWN, se=name[:100])
    if status := element.refuses.get(access.value):
        raise Refused(Code.SE_REFUSES, se=name, status=status, access=access.value)
    return element


def preferred(elements: Elements, vo: str, access: Access, among: frozenset[str] | None = None) -> list[Element]:
    """The storage elements where this VO can do that now, the preferred first."""
    found = [e for e in elements.values() if e.serves(vo) and access.value not in e.refuses]
    return sorted((e for e in found if among is None or e.name in among), key=lambda e: (e.priority, e.name))
