"""Pilots and nodes at which everything fails at once: found by comparing with the same people's jobs elsewhere.

This is the quick side, in the memory of the matcher: it holds jobs back and bans nobody; that is for the policy
`handlers.black_holes`, which is slower by the way of an event. A place is suspected after a failure that came at once,
gets few jobs until one of them has lived, and none for a while after some failures in a row while the jobs of the same
owners live elsewhere. A new node with many slots gets few jobs until one of them has lived, where others are known to
be good. A user whose every job is broken harms no place.
"""

from collections import Counter
from typing import NamedTuple

from domain.matching import Offer
from domain.shares import Person

AT_ONCE = 120.0  # seconds after its match in which a failure counts as one of the place
IN_A_ROW = 3
ELSEWHERE = 3  # jobs of the same owner that must have been given to others
PAUSE = 300.0  # seconds of the first pause; doubled each time
LONGEST_PAUSE = 86400.0
REMEMBERED = 2000  # jobs of one owner; then counts are halved

BURST = 5  # jobs at a node of which nothing is known
OTHERS = 10  # nodes that are known to be good, before a new one has to wait: a laptop has none
MOST_GOOD = 100_000

Key = tuple[str, str]  # pilot or node, and its name


class Trip(NamedTuple):
    """A place that gets no jobs for a while, and why."""

    vo: str
    kind: str
    name: str
    failures: int
    elsewhere: int
    failed_elsewhere: int
    until: float

    @property
    def reason(self) -> str:
        """For people."""
        return (f"{self.failures} jobs in a row failed at once here, {self.failed_elsewhere} of {self.elsewhere} "
                "of the same owners did elsewhere")  # fmt: skip


class _Place:
    def __init__(self) -> None:
        self.row = 0
        self.pilots: set[str] = set()
        self.tries: list[float] = []  # when jobs were given since the first failure
        self.until = 0.0
        self.bans = 0


class _Owner:
    def __init__(self) -> None:
        self.given: Counter[Key] = Counter()
        self.failed: Counter[Key] = Counter()
        self.all_given = 0
        self.all_failed = 0

    def forget(self) -> None:
        """Old times count less."""
        for counts in (self.given, self.failed):
            for key in list(counts):
                counts[key] //= 2
            for key in [key for key, n in counts.items() if not n]:
                del counts[key]
        self.all_given, self.all_failed = self.all_given // 2, self.all_failed // 2


class Breaker:
    """What is known of places and owners; told of every match and every end."""

    def __init__(self) -> None:
        self._places: dict[Key, _Place] = {}
        self._owners: dict[Person, _Owner] = {}
        self._good: set[str] = set()  # nodes at which a job has lived
        self._new: dict[str, list[float]] = {}  # when jobs were given to the others

    def allows(self, offer: Offer, now: float) -> bool:
        """Whether one more job may go there."""
        if offer.host and len(self._good) >= OTHERS and not self._bounded(f"{offer.site}/{offer.host}", now):
            return False
        return not self._places or all(self._open(key, now) for key in _keys(offer.pilot, offer.site, offer.host))

    def _bounded(self, node: str, now: float) -> bool:
        """Whether a node is known to be good, or has few jobs."""
        given = self._new.get(node, ())
        if given and now - given[0] > AT_ONCE and ("node", node) not in self._places:
            self._live(node)
        return node in self._good or len(given) < BURST

    def _live(self, node: str) -> None:
        if len(self._good) >= MOST_GOOD:
            self._good.clear()
        self._good.add(node)
        self._new.pop(node, None)

    def forgive(self, name: str) -> None:
        """Somebody says that a pilot or node is well again."""
        self._places = {key: place for key, place in self._places.items() if key[1] != name}

    def suspects(self) -> set[str]:
        """The pilots and nodes that are suspected."""
        return {name for _, name in self._places}

    def _open(self, key: Key, now: float) -> bool:
        place = self._places.get(key)
        if place is None:
            return True
        if any(now - at > AT_ONCE for at in place.tries):  # it lives: the place is well
            del self._places[key]
            return True
        return now >= place.until and len(place.tries) < max(IN_A_ROW - place.row, 1)

    def began(self, person: Person, pilot: str, site: str, host: str, now: float) -> None:
        """A job was given."""
        owner = self._owners.setdefault(person, _Owner())
        owner.all_given += 1
        if owner.all_given > REMEMBERED:
            owner.forget()
        if host and (node := f"{site}/{host}") not in self._good and len(self._new.get(node, ())) < BURST:
            self._new.setdefault(node, []).append(now)
        for key in _keys(pilot, site, host):
            owner.given[key] += 1
            if place := self._places.get(key):
                place.tries.append(now)

    def lived(self, pilot: str, site: str, host: str) -> None:
        """A job ended well: so is the place."""
        if host:
            self._live(f"{site}/{host}")
        for key in _keys(pilot, site, host):
            self._places.pop(key, None)

    def failed(self, person: Person, pilot: str, site: str, host: str, began: float, now: float) -> list[Trip]:
        """A job failed; the places that get no jobs for a while now, if that was at once."""
        keys = _keys(pilot, site, host)
        if began in (new := self._new.get(f"{site}/{host}", [])):
            new.remove(began)
        if now - began > AT_ONCE:
            return []
        owner = self._owners.setdefault(person, _Owner())
        owner.all_failed += 1
        trips = []
        for key in keys:
            owner.failed[key] += 1
            place = self._places.setdefault(key, _Place())
            place.row += 1
            place.pilots.add(pilot)
            if began in place.tries:
                place.tries.remove(began)
            if trip := self._judged(key, place, person, owner, now):
                trips.append(trip)
        return trips

    def _judged(self, key: Key, place: _Place, person: Person, owner: _Owner, now: float) -> Trip | None:
        given = owner.all_given - owner.given[key]
        failed = owner.all_failed - owner.failed[key]
        enough = IN_A_ROW if not place.bans else 1
        alone = key[0] == "node" and len(place.pilots) < 2  # its only pilot is to blame first
        if place.row < enough or now < place.until or alone or given < ELSEWHERE or failed * 4 >= given:
            return None
        place.until = now + min(PAUSE * 2**place.bans, LONGEST_PAUSE)
        place.bans += 1
        return Trip(person.vo, *key, place.row, given, failed, place.until)


def _keys(pilot: str, site: str, host: str) -> list[Key]:
    return [("pilot", pilot), *([("node", f"{site}/{host}")] if host else [])]
