"""What pilots offered last, counted by what tells offers apart; and how fast queues were served lately."""

from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple

from domain.matching import Offer, parts_of

LATELY = 3600.0  # seconds over which matches are counted
MOST = 200  # matches of one queue that are remembered
Slot = tuple[str, str]  # VO and pilot


class Alike(NamedTuple):
    """Offers that say the same of everything that matters; how many pilots made one, and when the last."""

    offer: Offer
    slots: int
    last: float
    parts: tuple[int, ...]  # numbers that stand for `parts_of` the offer


class Market:
    """The last offer of every pilot that works."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[object, ...], tuple[Offer, tuple[int, ...]]] = {}
        self._parts: dict[tuple[object, ...], int] = {}
        self._of: dict[Slot, tuple[object, ...]] = {}
        self._slots: Counter[tuple[object, ...]] = Counter()
        self._last: dict[tuple[object, ...], float] = {}
        self._matches: dict[str, deque[float]] = {}

    def offered(self, offer: Offer, at: float) -> None:
        """A pilot says what it has."""
        slot, kind = (offer.vo, offer.pilot), _kind(offer)
        if (old := self._of.get(slot)) != kind:
            if old is not None:
                self._less(old)
            self._of[slot] = kind
            self._slots[kind] += 1
            if kind not in self._kinds:
                numbers = tuple(self._parts.setdefault(part, len(self._parts)) for part in parts_of(offer))
                self._kinds[kind] = (offer, numbers)
        self._last[kind] = max(at, self._last.get(kind, 0.0))

    def gone(self, vo: str, pilot: str) -> None:
        """A pilot works no more."""
        if (kind := self._of.pop((vo, pilot), None)) is not None:
            self._less(kind)

    def _less(self, kind: tuple[object, ...]) -> None:
        self._slots[kind] -= 1
        if not self._slots[kind]:
            del self._slots[kind], self._kinds[kind]
            self._last.pop(kind, None)

    def kinds(self, vo: str) -> Iterator[Alike]:
        """What there is for a VO."""
        for kind, (offer, parts) in self._kinds.items():
            if offer.vo in ("", vo):
                yield Alike(offer, self._slots[kind], self._last[kind], parts)

    def matched(self, queue: str, at: float) -> None:
        """A job of this queue was given away."""
        self._matches.setdefault(queue, deque(maxlen=MOST)).append(at)

    def rate(self, queue: str, now: float) -> tuple[float, int]:
        """Matches a second of late, and of how many that is known."""
        times = self._matches.get(queue)
        while times and now - times[0] > LATELY:
            times.popleft()
        if not times:
            self._matches.pop(queue, None)
            return 0.0, 0
        return len(times) / max(now - times[0], 1.0), len(times)


def _kind(offer: Offer) -> tuple[object, ...]:
    """CPU time and memory in steps of an eighth: nobody cares about seconds, and every one would be a kind."""
    return (
        offer.vo, offer.site, offer.ce, offer.host and "", offer.platform, offer.runs, offer.tags, offer.required_tags,
        offer.job_types, offer.owner, offer.groups, offer.refuses, offer.processors, offer.node_processors,
        offer.gpus, _step(offer.memory_mb), _step(offer.cpu_seconds),
    )  # fmt: skip


def _step(size: int) -> int:
    bits = max(size.bit_length() - 4, 0)
    return size >> bits << bits
