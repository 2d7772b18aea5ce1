"""What a pilot offers, what a task queue asks for, and everything that can keep the two apart."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

from domain.requirements import Requirements

WHOLE_NODE = "WholeNode"  # the tag by which a resource says that it gives away nodes as a whole


class Refusing(Struct, frozen=True, omit_defaults=True):
    """What a resource does not take: a queue that names one of these stays out (DIRAC's Banned<field>)."""

    owners: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    job_types: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


NOTHING = Refusing()


class Offer(Struct, frozen=True, omit_defaults=True):
    """What a pilot has to give at the moment. `cpu_seconds` is the normalised work left, 0 where it is not known.

    `processors` are free now, `node_processors` is what the pilot has in all. `runs` are platforms that its own one
    can run. `required_tags` and `job_types` restrict it to jobs that carry them; `owner` and `groups` make it private.
    """

    offer: UUID
    pilot: str
    vo: str
    site: str = ""
    ce: str = ""
    platform: str = ""
    processors: int = 1
    memory_mb: int = 0
    disk_mb: int = 0
    cpu_seconds: int = 0
    gpus: int = 0
    tags: tuple[str, ...] = ()
    host: str = ""
    node_processors: int = 0
    runs: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    job_types: tuple[str, ...] = ()
    owner: str = ""
    groups: tuple[str, ...] = ()
    refuses: Refusing = NOTHING

    @property
    def whole(self) -> bool:
        """Whether all of the node is free, and may be given to one job."""
        return WHOLE_NODE in self.tags and self.processors >= self.node_processors


class Queue(Struct, frozen=True):
    """A task queue: jobs of one owner and group that ask for the same."""

    id: str
    vo: str
    owner: str
    group: str
    requirements: Requirements
    priority: int = 1  # of its best job


class Obstacle(StrEnum):
    """Why a queue and an offer do not come together; closed, stored, and translated for people at the edge."""

    VO = "other-vo"
    OWNER = "other-owner"
    GROUP = "other-group"
    SITE = "site"
    SITE_BANNED = "site-banned"
    CE = "ce"
    PLATFORM = "platform"
    TAG = "tag"
    REQUIRED_TAG = "required-tag"
    JOB_TYPE = "job-type"
    REFUSED = "refused-by-resource"
    PROCESSORS = "processors"
    WHOLE_NODE = "whole-node"
    MEMORY = "memory"
    CPU_TIME = "cpu-time"
    GPU = "gpu"
    RESOURCE = "resource-status"
    RUNNING_LIMIT = "running-limit"
    MATCHING_DELAY = "matching-delay"
    FAILING = "failing"
    RESERVED = "reserved"


class Blocked(NamedTuple):
    """One obstacle: what was wanted, what was there."""

    obstacle: Obstacle
    wanted: str
    offered: str


def obstacles(wanted: Requirements, vo: str, offer: Offer, owner: str = "", group: str = "") -> Iterator[Blocked]:
    """Everything that keeps a job with these requirements from this offer (rules of DIRAC 9.1 TaskQueueDB)."""
    yield from persons(vo, group, owner, offer)
    yield from _places(wanted, offer)
    yield from _labels(wanted, offer)
    yield from _sizes(wanted, offer)


def persons(vo: str, group: str, owner: str, offer: Offer) -> Iterator[Blocked]:
    """Whose jobs an offer does not take."""
    if offer.vo and offer.vo != vo:
        yield Blocked(Obstacle.VO, vo, offer.vo)
    if offer.owner and owner and offer.owner != owner:
        yield Blocked(Obstacle.OWNER, owner, "a pilot of somebody else")
    elif owner in offer.refuses.owners:
        yield Blocked(Obstacle.OWNER, owner, "everybody but this owner")
    if offer.groups and group and group not in offer.groups:
        yield Blocked(Obstacle.GROUP, group, ", ".join(offer.groups))
    elif group in offer.refuses.groups:
        yield Blocked(Obstacle.GROUP, group, f"everybody but {group}")


def _places(wanted: Requirements, offer: Offer) -> Iterator[Blocked]:
    if wanted.sites and offer.site not in wanted.sites:
        yield Blocked(Obstacle.SITE, ", ".join(wanted.sites), offer.site)
    if offer.site in wanted.banned_sites:
        yield Blocked(Obstacle.SITE_BANNED, f"not {offer.site}", offer.site)
    if wanted.ces and offer.ce not in wanted.ces:
        yield Blocked(Obstacle.CE, ", ".join(wanted.ces), offer.ce)
    runs = wanted.platforms
    if runs and offer.platform not in runs and not any(each in runs for each in offer.runs):
        yield Blocked(Obstacle.PLATFORM, ", ".join(runs), offer.platform)


def _labels(wanted: Requirements, offer: Offer) -> Iterator[Blocked]:
    if missing := [tag for tag in wanted.tags if tag not in offer.tags]:
        yield Blocked(Obstacle.TAG, ", ".join(missing), ", ".join(offer.tags) or "no tags")
    if required := [tag for tag in offer.required_tags if tag not in wanted.tags]:
        yield Blocked(Obstacle.REQUIRED_TAG, ", ".join(wanted.tags) or "no tags", f"only with {', '.join(required)}")
    if offer.job_types and wanted.job_type not in offer.job_types:
        yield Blocked(Obstacle.JOB_TYPE, wanted.job_type, ", ".join(offer.job_types))
    if offer.refuses is not NOTHING and (refused := _refused(wanted, offer.refuses)):
        yield Blocked(Obstacle.REFUSED, ", ".join(refused), f"nothing with {', '.join(refused)}")


def _refused(wanted: Requirements, refusing: Refusing) -> list[str]:
    named = (wanted.job_type in refusing.job_types) * [wanted.job_type]
    named += [tag for tag in wanted.tags if tag in refusing.tags]
    return named + [name for name in wanted.platforms if name in refusing.platforms]


def _sizes(wanted: Requirements, offer: Offer) -> Iterator[Blocked]:
    if wanted.min_processors > offer.processors:
        yield Blocked(Obstacle.PROCESSORS, str(wanted.min_processors), str(offer.processors))
    if wanted.whole_node and not offer.whole:
        yield Blocked(Obstacle.WHOLE_NODE, "a whole node", "a part of one")
    if offer.memory_mb and wanted.min_ram_mb > offer.memory_mb:
        yield Blocked(Obstacle.MEMORY, f"{wanted.min_ram_mb} MB", f"{offer.memory_mb} MB")
    if offer.cpu_seconds and wanted.cpu_time > offer.cpu_seconds:
        yield Blocked(Obstacle.CPU_TIME, f"{wanted.cpu_time} s", f"{offer.cpu_seconds} s")
    if wanted.gpus > offer.gpus:
        yield Blocked(Obstacle.GPU, str(wanted.gpus), str(offer.gpus))


def _clear(found: Iterator[Blocked]) -> bool:
    return next(found, None) is None


# What keeps a queue from one part of an offer: whose it is, where, which labels, how large.
APART: tuple[Callable[[Queue, Offer], Iterator[Blocked]], ...] = (
    lambda queue, offer: persons(queue.vo, queue.group, queue.owner, offer),
    lambda queue, offer: _places(queue.requirements, offer),
    lambda queue, offer: _labels(queue.requirements, offer),
    lambda queue, offer: _sizes(queue.requirements, offer),
)


def agrees(part: int, queue: Queue, offer: Offer) -> bool:
    """Whether nothing in this part of an offer stands in the way."""
    return _clear(APART[part](queue, offer))


def fits(wanted: Requirements, offer: Offer) -> bool:
    """Whether nothing about place, labels and sizes stands in the way."""
    parts = (_places(wanted, offer), _labels(wanted, offer), _sizes(wanted, offer))
    return all(map(_clear, parts))


def granted(wanted: Requirements, processors: int) -> int:
    """How many of the free processors such a job gets: all of a whole node, else up to its maximum (0: no maximum)."""
    if wanted.whole_node or not wanted.max_processors:
        return max(processors, 1)
    return max(min(wanted.max_processors, processors), 1)
