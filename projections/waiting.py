"""Why a job still waits: what keeps it from the pilots that were seen, and who is served before it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, func, or_, select

from domain.matching import Obstacle, Offer, Queue, obstacles
from domain.requirements import Requirements
from projections.pilot_queue import pilot_queue


class Reason(NamedTuple):
    """One kind of obstacle: what was wanted, what most pilots had instead, and at how many of all pilots."""

    code: Obstacle
    wanted: str
    offered: str
    pilots: int
    of: int

    @property
    def what(self) -> str:
        """The same as a sentence."""
        offered = self.offered or "nothing"
        return f"{self.code} {self.wanted} is wanted, {self.pilots} of {self.of} pilots offered {offered}"


class Seen(NamedTuple):
    """How a job and the pilots of the last hour go together."""

    pilots: int
    fitting: tuple[str, ...]
    reasons: list[Reason]
    last_offer: datetime | None


def compared(wanted: Requirements, vo: str, offers: Sequence[tuple[Offer, datetime]]) -> Seen:
    """Every obstacle at every pilot, the most frequent one first."""
    wants: dict[Obstacle, str] = {}
    had: defaultdict[Obstacle, Counter[str]] = defaultdict(Counter)
    fitting = []
    for offer, _ in offers:
        found = list(obstacles(wanted, vo, offer))
        for each in found:
            wants[each.obstacle] = each.wanted
            had[each.obstacle][each.offered] += 1
        if not found:
            fitting.append(offer.pilot)
    reasons = [
        Reason(code, wants[code], offered.most_common(1)[0][0], offered.total(), len(offers))
        for code, offered in had.items()
    ]
    last = max((at for _, at in offers), default=None)
    return Seen(len(offers), tuple(fitting), sorted(reasons, key=lambda each: (-each.pilots, each.code)), last)


def rivals(queues: Iterable[Queue], own: str, priority: int, offers: Iterable[Offer]) -> list[str]:
    """The task queues that some of these offers serve before a job of this priority."""
    offers = list(offers)
    return [
        queue.id
        for queue in queues
        if queue.id != own and queue.priority > priority
        if any(next(obstacles(queue.requirements, queue.vo, offer), None) is None for offer in offers)
    ]


def ahead(job: int, queue: str, priority: int, others: Sequence[str]) -> Select[Any]:
    """How many jobs are served before this one: better ones of its queue, and those of better queues."""
    jobs = pilot_queue.c
    before = and_(jobs.queue == queue, or_(jobs.priority > priority, and_(jobs.priority == priority, jobs.job < job)))
    above = and_(jobs.queue.in_(others), jobs.priority > priority)
    return select(func.count().label("jobs")).select_from(pilot_queue).where(or_(before, above))
