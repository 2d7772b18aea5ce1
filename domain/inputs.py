"""Where the input files of a job are: near which sites it can run, or why it cannot have them now.

A site is a candidate when each input has a good replica at a storage element near it. A storage element that is near
no site can be read from everywhere, for pilots fetch what they need over signed addresses.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from domain.data.file import Held, Status
from domain.messages import Aggregate, Command, Decision, Event, Origin
from domain.requirements import Requirements
from domain.values import NAMES

UNKNOWN, UNAVAILABLE, BANNED = "input-unknown", "input-unavailable", "storage-banned"
LACKING = frozenset({UNKNOWN, UNAVAILABLE, BANNED})  # the codes under which jobs are held for their inputs
PART = 250  # jobs that are looked at in one transaction
SHOWN = 3
Row = Mapping[str, Any]


class Near(NamedTuple):
    """A storage element as inputs see it: the sites nearby, and why nobody may read there, if so."""

    sites: frozenset[str]
    refuses: str = ""


class Found(NamedTuple):
    """The sites near all inputs (none: everywhere), or why there are none: `code` and what is behind it."""

    sites: tuple[str, ...] = ()
    code: str = ""
    detail: str = ""


def found(names: Sequence[str], rows: Iterable[Row], storages: Mapping[str, Near]) -> Found:
    """Near which sites all of these files are. A row is a file with one of its replicas."""
    there: dict[str, set[str]] = {}
    for row in rows:
        if row["status"] == Status.ACTIVE:
            there.setdefault(row["lfn"], set()).update([row["se"]] if row["state"] == Held.ACTIVE else [])
    if missing := [name for name in names if name not in there]:
        return Found((), UNKNOWN, f"there is no file {_listed(missing)}")
    if lost := [name for name in names if not there[name]]:
        return Found((), UNAVAILABLE, f"no storage element has a good replica of {_listed(lost)}")
    readable = {name: [se for se in sorted(there[name]) if se in storages and not storages[se].refuses]
                for name in names}  # fmt: skip
    for name in names:
        if not readable[name]:
            return Found((), BANNED, f"{name} cannot be read: {_refusals(there[name], storages)}")
    return _common({name: _sites([storages[se] for se in ses]) for name, ses in readable.items()})


def narrowed(wanted: Requirements, near: Found) -> Found:
    """The same within the sites that the job itself asks for."""
    if near.code or not near.sites:
        return near
    left = (set(near.sites) & set(wanted.sites) if wanted.sites else set(near.sites)) - set(wanted.banned_sites)
    if left:
        return Found(tuple(sorted(left)))
    asked = f"asks for {', '.join(wanted.sites[:SHOWN])}" if wanted.sites else "bans them"
    return Found((), UNAVAILABLE, f"its inputs are near {_listed(near.sites)}, and the job {asked}")


def _common(near: Mapping[str, frozenset[str] | None]) -> Found:
    """The sites near all of the files; None stands for everywhere."""
    bound = {name: sites for name, sites in near.items() if sites is not None}
    if not bound:
        return Found()
    common = frozenset.intersection(*bound.values())
    if common:
        return Found(tuple(sorted(common)))
    apart = [f"{name} near {_listed(sorted(sites))}" for name, sites in list(bound.items())[:SHOWN]]
    return Found((), UNAVAILABLE, f"no site is near all inputs: {'; '.join(apart)}")


def _sites(storages: Iterable[Near]) -> frozenset[str] | None:
    union: frozenset[str] = frozenset()
    for each in storages:
        if not each.sites:
            return None
        union |= each.sites
    return union


def _refusals(ses: Iterable[str], storages: Mapping[str, Near]) -> str:
    return "; ".join(f"{se} is {storages[se].refuses}" if se in storages else f"{se} is not configured"
                     for se in sorted(ses)[:SHOWN])  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def by_storage(rows: Iterable[Row]) -> dict[str, dict[str, Near]]:
    """What rows say of storage elements, by VO."""
    known: dict[str, dict[str, Near]] = defaultdict(dict)
    for row in rows:
        known[row["vo"]][row["se"]] = Near(frozenset(row["sites"]), row["refuses"])
    return known


class SweepInputs(Command, frozen=True):
    """Look again at the jobs of a VO that wait with inputs, those after job `after`.

    `kind` says what has changed, and `name` which: the `file` of an id, the storage element `se`, or `all`.
    """

    TOPIC = "input-sweep.go-on"
    KEYED = False
    vo: str
    kind: str
    name: str = ""
    after: int = 0

    @property
    def stream(self) -> UUID:
        return uuid5(NAMES, f"inputs/{self.vo}/{self.kind}/{self.name}")


class InputSweep(Aggregate, frozen=True):
    """Jobs that wait are looked at again, a part at a time: each part is an event, and asks for the next one."""

    TOPIC = "input-sweep"
    LOG = "files"

    class Swept(Event, frozen=True):
        """Something changed that jobs after `after` may wait for."""

        TOPIC = "input-sweep.swept"
        vo: str
        kind: str
        name: str = ""
        after: int = 0

    def sweep(self, command: SweepInputs, origin: Origin) -> Decision:
        """Always: looking once too often changes nothing."""
        yield InputSweep.Swept(command.vo, command.kind, command.name, command.after)

    def evolve(self, event: Any) -> "InputSweep":
        """It has no state."""
        return self
