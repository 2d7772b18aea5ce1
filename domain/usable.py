"""What may be used, from the statuses that are known: pure, asked by matching, by data and by `why`."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.resource import EVERYWHERE, LEVEL, STORAGE, Access, ResourceKind, ResourceStatus

GOOD = frozenset({ResourceStatus.ACTIVE, ResourceStatus.DEGRADED})
OF_STORAGE = {
    ResourceStatus.PROBING: frozenset({Access.CHECK}),
    ResourceStatus.DRAINING: frozenset(STORAGE) - {Access.WRITE},
}


class Standing(NamedTuple):
    """A status that counts, as every process knows it. `event` is the one that said so."""

    scope: str
    kind: ResourceKind
    name: str
    access: Access
    status: ResourceStatus
    reason: str = ""
    author: str = ""
    since: datetime | None = None
    until: datetime | None = None
    event: UUID | None = None


class Usable(NamedTuple):
    """Whether something may be used, and the worst that is said of it, if anything is.

    What is Probing may be used, but only a little: whoever asks has to bound it.
    """

    ok: bool
    standing: Standing | None = None

    @property
    def probing(self) -> bool:
        """Whether it is to be used for a few attempts only."""
        return self.standing is not None and self.standing.status is ResourceStatus.PROBING


Statuses = Mapping[tuple[str, ResourceKind, str, Access], Standing]
Place = tuple[ResourceKind, str]
FREE = Usable(True)


def usable(statuses: Statuses, vo: str, places: Iterable[Place], access: Access = Access.ALL) -> Usable:
    """Whether a VO may use all of these places together, and the worst status among them.

    `statuses` holds those that are not Active; what is not in it is. For storage elements name the access.
    """
    worst: Standing | None = None
    for kind, name in places if statuses else ():
        for scope in (EVERYWHERE, vo):
            found = statuses.get((scope, kind, name, access))
            if found and (worst is None or LEVEL[found.status] < LEVEL[worst.status]):
                worst = found
    return FREE if worst is None else Usable(_allows(worst, access), worst)


def places(site: str = "", ce: str = "", queue: str = "", node: str = "", pilot: str = "") -> list[Place]:
    """Where a pilot stands, from the largest to the smallest; what is not known is left out.

    A queue is known within its computing element, a node within its site.
    """
    found = [(ResourceKind.SITE, site), (ResourceKind.CE, ce), (ResourceKind.QUEUE, f"{ce}/{queue}" if queue else ""),
             (ResourceKind.NODE, node_name(site, node)), (ResourceKind.PILOT, pilot)]  # fmt: skip
    return [(kind, name) for kind, name in found if name]


def node_name(site: str, host: str) -> str:
    """A machine's name as a resource; hosts of different sites may be called alike."""
    return f"{site}/{host}" if host else ""


def _allows(standing: Standing, access: Access) -> bool:
    status = standing.status
    if standing.kind is ResourceKind.SE:
        return status in GOOD or access in OF_STORAGE.get(status, frozenset())
    return status in GOOD or status is ResourceStatus.PROBING
