"""Which storage elements there are: those of the configuration; a laptop without any has a directory of its own."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import structs

from domain.data.element import Access, Element, Elements, usable
from domain.errors import Code, Refused
from domain.resource import Access as Doing
from domain.resource import ResourceKind
from domain.schema import Vo
from domain.sites import StorageElement
from gateway.data.places import SignedStorage, Storage, unknown
from infra.objects.s3 import Endpoint
from infra.resources import Resources
from infra.storage.posix import PosixStorage
from infra.storage.s3 import S3Storage

HERE = "LOCAL-DISK"
KINDS = {"file": "posix", "s3": "s3", "http": "s3", "https": "s3"}


def elements(vo: Vo | None, data: Path) -> Elements:
    """The storage elements of a VO."""
    configured = vo.resources.storage_elements if vo else {}
    sites = {name: site.storage_elements for name, site in vo.resources.sites.items()} if vo else {}
    found = {name: _element(name, each, sites) for name, each in configured.items()}
    known = {name: element for name, element in found.items() if element}
    return known or {HERE: Element(HERE, "posix", str(data / "storage"))}


def obeying(known: Elements, vo: str, resources: Resources) -> Elements:
    """The same, with what is said of them now: a banned storage element refuses, with the status and its reason."""
    return {name: structs.replace(each, refuses={**each.refuses, **_refused(name, vo, resources)})
            for name, each in known.items()} if resources.statuses else known  # fmt: skip


def _refused(name: str, vo: str, resources: Resources) -> dict[str, str]:
    said = {access: resources.usable(vo, [(ResourceKind.SE, name)], Doing(access.value)) for access in Access}
    return {access.value: f"{each.standing.status.value}: {each.standing.reason}" for access, each in said.items()
            if not each.ok and each.standing}  # fmt: skip


def _element(name: str, given: StorageElement, sites: dict[str, tuple[str, ...]]) -> Element | None:
    """As rules see it; None for one that is reached in ways that are not known here."""
    near = tuple(site for site, its in sites.items() if name in its)
    for way in given.access:
        kind = "s3" if given.backend == "s3" else KINDS.get(way.protocol.lower(), "")
        if not kind or (kind == "s3" and given.backend != "s3"):
            continue
        place = urlsplit(way.url).path if kind == "posix" and "://" in way.url else way.url
        refuses = {Access.READ.value: "closed for reading"} if not way.reading else {}
        refuses |= {Access.WRITE.value: "closed for writing"} if not way.writing else {}
        return Element(name, kind, place, given.vos, 0, near, refuses, given.key_env, given.secret_env)
    return None


class OpenedStorages:
    """`gateway.data.storage.Storages`: storage elements are opened once, and anew when their definition changes."""

    def __init__(self, known: Callable[[str], Elements], key: bytes, url: str) -> None:
        self.known = known
        self._key, self._url = key, url
        self._open: dict[tuple[str, str], tuple[Element, PosixStorage | S3Storage]] = {}

    def open(self, vo: str, name: str, access: Access) -> Storage:
        """See `gateway.data.storage.Storages`."""
        return self._storage(vo, usable(self.known(vo), vo, name, access))

    def directory(self, vo: str, name: str) -> SignedStorage:
        """See `gateway.data.storage.Storages`."""
        element = self.known(vo).get(name)
        storage = self._storage(vo, element) if element and element.serves(vo) else None
        if not isinstance(storage, PosixStorage):
            raise unknown(name)
        return storage

    def _storage(self, vo: str, element: Element) -> PosixStorage | S3Storage:
        place = (element.place, element.key, element.secret)
        if (vo, element.name) in self._open:
            was, storage = self._open[vo, element.name]
            if (was.place, was.key, was.secret) == place:
                return storage
        storage = self._made(vo, element)
        self._open[vo, element.name] = element, storage
        return storage

    def _made(self, vo: str, element: Element) -> PosixStorage | S3Storage:
        if element.kind == "posix":
            try:
                return PosixStorage(vo, element.name, Path(element.place), self._key, self._url)
            except OSError as fault:
                raise Refused(Code.STORAGE_REFUSED, se=element.name, reason=fault.strerror or "no directory") from fault
        base, _, bucket = element.place.rstrip("/").rpartition("/")
        keys = [os.environ.get(name, "") for name in (element.key, element.secret)]
        return S3Storage(vo, element.name, Endpoint(base, keys[0], keys[1], region=element.region), bucket)
