"""How doubtful places get jobs: a few at a time where it is to be found out, slowly where the last ones failed at once.

This is the memory of the one that matches. It may be lost with it: what was found out stands in the statuses.
"""

from datetime import timedelta
from typing import NamedTuple

from domain.resource import ResourceKind
from domain.usable import Standing

SHORT = 60.0  # seconds from the match to the failure, by our own clock: what a pilot says of it may be wrong
COMPARED_FOR = timedelta(hours=1)  # how long the jobs of others say something about a failure
PAUSE, LONGEST = 1.0, 4.0  # seconds a pilot gets nothing after a failure at once; doubled with each one
FORGOTTEN = 600.0  # seconds after which such a failure counts no more
PROBES = {ResourceKind.NODE: 60.0, ResourceKind.PILOT: 60.0}  # seconds from one job to the next where it is Probing
ELSEWHERE = 6.0  # the same for sites, computing elements and queues


class Pause(NamedTuple):
    """Failures at once, one after the other, and until when the pilot gets nothing."""

    failures: int
    until: float


class Doubts:
    """What is remembered of pilots that failed, and when places on probation got their last job."""

    def __init__(self) -> None:
        self._pauses: dict[tuple[str, str], Pause] = {}
        self._probes: dict[tuple[str, str, str], float] = {}

    def failed(self, vo: str, pilot: str, seconds: float, now: float) -> float:
        """A job failed `seconds` after its match: the time until which the pilot gets nothing, 0 for no pause."""
        if seconds >= SHORT:
            return 0.0
        old = self._pauses.get((vo, pilot), Pause(0, 0.0))
        count = old.failures + 1 if now - old.until < FORGOTTEN else 1
        until: float = now + min(PAUSE * 2 ** (count - 1), LONGEST)
        self._pauses[vo, pilot] = Pause(count, until)
        if len(self._pauses) > 10_000:
            self._pauses = {key: each for key, each in self._pauses.items() if now - each.until < FORGOTTEN}
        return until

    def worked(self, vo: str, pilot: str) -> None:
        """A job went well there."""
        self._pauses.pop((vo, pilot), None)

    def paused(self, vo: str, pilot: str, now: float) -> bool:
        """Whether the pilot gets nothing yet."""
        found = self._pauses.get((vo, pilot)) if self._pauses else None
        return found is not None and now < found.until

    def next_probe(self, standing: Standing, now: float) -> float:
        """When a place that is Probing may get its next job; not later than `now` means at once."""
        last = self._probes.get((standing.scope, standing.kind, standing.name))
        return now if last is None else last + PROBES.get(standing.kind, ELSEWHERE)

    def probed(self, standing: Standing, now: float) -> None:
        """It got one."""
        self._probes[standing.scope, standing.kind, standing.name] = now
