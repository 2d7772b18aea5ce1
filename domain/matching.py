"""Which task queue a pilot's offer gets a job from: a pure function, used live, by `why`, and in what-if questions."""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from random import Random
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

from domain.requirements import Requirements


class Offer(Struct, frozen=True, omit_defaults=True):
    """What a pilot has to give at the moment. `cpu_seconds` is the normalised work left, 0 where it is not known."""

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


class Queue(Struct, frozen=True):
    """A task queue: jobs of one owner and group that ask for the same."""

    id: str
    vo: str
    owner: str
    group: str
    requirements: Requirements
    priority: int = 1  # of its best job


class Obstacle(StrEnum):
    """Why a queue and an offer do not fit; closed, stored, and translated for people at the edge."""

    VO = "other-vo"
    SITE = "site"
    SITE_BANNED = "site-banned"
    CE = "ce"
    PLATFORM = "platform"
    TAG = "tag"
    PROCESSORS = "processors"
    MEMORY = "memory"
    CPU_TIME = "cpu-time"
    GPU = "gpu"


class Blocked(NamedTuple):
    """One obstacle: what was wanted, what was there."""

    obstacle: Obstacle
    wanted: str
    offered: str


class Decision(NamedTuple):
    """What was decided and why: the queue or None, how many queues were looked at, obstacles counted."""

    queue: Queue | None
    considered: int
    blocked: dict[str, int]

    def fields(self) -> dict[str, object]:
        """As it is recorded with the match."""
        return {"considered": self.considered, "blocked": self.blocked}


def obstacles(wanted: Requirements, vo: str, offer: Offer) -> Iterator[Blocked]:
    """Everything that keeps a job with these requirements from this offer (rules of DIRAC 9.1 TaskQueueDB)."""
    if offer.vo and offer.vo != vo:
        yield Blocked(Obstacle.VO, vo, offer.vo)
    if wanted.sites and offer.site not in wanted.sites:
        yield Blocked(Obstacle.SITE, ", ".join(wanted.sites), offer.site)
    if offer.site in wanted.banned_sites:
        yield Blocked(Obstacle.SITE_BANNED, f"not {offer.site}", offer.site)
    if wanted.ces and offer.ce not in wanted.ces:
        yield Blocked(Obstacle.CE, ", ".join(wanted.ces), offer.ce)
    if wanted.platforms and offer.platform not in wanted.platforms:
        yield Blocked(Obstacle.PLATFORM, ", ".join(wanted.platforms), offer.platform)
    missing = [tag for tag in wanted.tags if tag not in offer.tags]
    if missing:
        yield Blocked(Obstacle.TAG, ", ".join(missing), ", ".join(offer.tags) or "no tags")
    yield from _sizes(wanted, offer)


def _sizes(wanted: Requirements, offer: Offer) -> Iterator[Blocked]:
    if wanted.min_processors > offer.processors:
        yield Blocked(Obstacle.PROCESSORS, str(wanted.min_processors), str(offer.processors))
    if offer.memory_mb and wanted.min_ram_mb > offer.memory_mb:
        yield Blocked(Obstacle.MEMORY, f"{wanted.min_ram_mb} MB", f"{offer.memory_mb} MB")
    if offer.cpu_seconds and wanted.cpu_time > offer.cpu_seconds:
        yield Blocked(Obstacle.CPU_TIME, f"{wanted.cpu_time} s", f"{offer.cpu_seconds} s")
    if wanted.gpus > offer.gpus:
        yield Blocked(Obstacle.GPU, str(wanted.gpus), str(offer.gpus))


def choose(queues: Iterable[Queue], offer: Offer, seed: int) -> Decision:
    """The queue that serves this offer: the highest priority first, then a draw that the seed decides.

    The same queues, offer and seed always give the same decision.
    """
    blocked: Counter[str] = Counter()
    fitting: list[Queue] = []
    considered = 0
    for queue in queues:
        considered += 1
        first = next(obstacles(queue.requirements, queue.vo, offer), None)
        if first is None:
            fitting.append(queue)
        else:
            blocked[first.obstacle.value] += 1
    if not fitting:
        return Decision(None, considered, dict(blocked))
    best = max(queue.priority for queue in fitting)
    candidates = sorted((queue for queue in fitting if queue.priority == best), key=lambda queue: queue.id)
    return Decision(Random(seed).choice(candidates), considered, dict(blocked))  # noqa: S311
