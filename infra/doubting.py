"""What keeps a pilot's place from jobs while matching: its status, a probation, failures at once, unheard endings."""

import time
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from domain.doubts import Doubts
from domain.job import Job
from domain.matching import Obstacle, Offer
from domain.usable import Usable, places
from domain.values import job_number
from infra.bus.messages import WireEvent
from infra.resources import Resources

HEARD_WITHIN = 3.0  # seconds: an ending that is not heard by then was lost on its way, or there was none
ENDED = frozenset(event.TOPIC for event in (Job.Released, Job.Done, Job.Failed, Job.Killed, Job.Deleted))


class Given:
    """A job that a pilot was given."""

    def __init__(self, offer: Offer, processors: int, at: float) -> None:
        self.vo, self.pilot = offer.vo, offer.pilot
        self.processors, self.at = max(processors, 1), at


class Doubting:
    """The barrier of a matcher: asked for each offer, told of each match and each ending."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._doubts = Doubts()
        self._given: dict[int, Given] = {}
        self._of_pilot: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._later = 0.0  # when something that was kept out may come in

    def barrier(self, offer: Offer, vo: str) -> Obstacle | None:
        """What keeps this pilot from jobs of a VO, whatever they ask for."""
        now = time.time()
        if self._doubts.paused(offer.vo, offer.pilot, now) or self._unheard(offer, now):
            return Obstacle.FAILING
        found = self._usable(offer, vo)
        if not found.ok:
            return Obstacle.RESOURCE
        if found.probing and found.standing and (next_ := self._doubts.next_probe(found.standing, now)) > now:
            self._look_at(next_)
            return Obstacle.RESOURCE
        return None

    def given(self, job: int, offer: Offer, processors: int) -> None:
        """A job was given to this offer."""
        now = time.time()
        self._given[job] = Given(offer, processors, now)
        self._of_pilot[offer.vo, offer.pilot].add(job)
        found = self._usable(offer, offer.vo)
        if found.probing and found.standing:
            self._doubts.probed(found.standing, now)

    def heard(self, events: Sequence[WireEvent]) -> bool:
        """Take in endings; whether that may let somebody in."""
        news = False
        for event in events:
            if event.topic in ENDED and (given := self._given.pop(job_number(event.stream), None)):
                self._drop(job_number(event.stream), (given.vo, given.pilot))
                self._ended(event, given)
                news = True
        return news

    def due(self) -> float:
        """When something that was kept out since the last question may come in; 0 when nothing waits for that."""
        due, self._later = self._later, 0.0
        return due

    def forget(self) -> None:
        """Endings may have been missed: what was given counts no more."""
        self._given.clear()
        self._of_pilot.clear()

    def _drop(self, job: int, pilot: tuple[str, str]) -> None:
        self._of_pilot[pilot].discard(job)
        if not self._of_pilot[pilot]:
            del self._of_pilot[pilot]

    def _ended(self, event: WireEvent, given: Given) -> None:
        if event.topic == Job.Done.TOPIC:
            self._doubts.worked(given.vo, given.pilot)
        elif event.topic == Job.Failed.TOPIC and msgspec.json.decode(bytes(event.data), type=Job.Failed).seq:
            now = time.time()
            if until := self._doubts.failed(given.vo, given.pilot, now - given.at, now):
                self._look_at(until)

    def _unheard(self, offer: Offer, now: float) -> bool:
        """Whether the pilot offers more than it can have: what became of its last job is still on its way to us."""
        if not offer.node_processors or not (jobs := self._of_pilot.get((offer.vo, offer.pilot))):
            return False
        recent = [each for job in jobs if now - (each := self._given[job]).at < HEARD_WITHIN]
        over = offer.processors + sum(each.processors for each in recent) > offer.node_processors
        if recent and over:
            self._look_at(now + HEARD_WITHIN)
        return bool(recent) and over

    def _look_at(self, moment: float) -> None:
        self._later = min(self._later or moment, moment)

    def _usable(self, offer: Offer, vo: str) -> Usable:
        if not self._resources.statuses:
            return Usable(True)
        return self._resources.usable(vo, places(offer.site, offer.ce, node=offer.host, pilot=offer.pilot))
