"""What pilots offered last, in kinds that are sets of bits; and how fast queues were served lately."""

from collections import deque
from collections.abc import Hashable, Iterator

from domain.bits import first, ones
from domain.matching import Offer

LATELY = 3600.0  # seconds over which matches are counted
MOST = 200  # matches of one queue that are remembered
Slot = tuple[str, str]  # VO and pilot
Kind = tuple[Hashable, ...]  # what persons, places, labels and sizes depend on
PERSONS, PLACES, LABELS, SIZES = range(4)


class Part:
    """Kinds that are alike in one part: an offer that stands for them, and their numbers."""

    __slots__ = ("bits", "offer")

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.bits = 0


class Market:
    """The last offer of every pilot that works."""

    def __init__(self) -> None:
        self.offers: dict[int, Offer] = {}  # one of each kind
        self.last: dict[int, float] = {}
        self._numbers: dict[Kind, int] = {}
        self._free: list[int] = []
        self._slots: dict[int, int] = {}
        self._planes: list[int] = []  # kinds whose number of slots has this bit
        self._parts: tuple[dict[Hashable, Part], ...] = ({}, {}, {}, {})
        self._of: dict[Slot, Kind] = {}
        self._matches: dict[str, deque[float]] = {}

    def offered(self, offer: Offer, at: float) -> None:
        """A pilot says what it has."""
        slot, kind = (offer.vo, offer.pilot), _kind(offer)
        if (old := self._of.get(slot)) != kind:
            if old is not None:
                self._count(old, -1)
            self._of[slot] = kind
            if kind not in self._numbers:
                self._add(kind, offer)
            self._count(kind, 1)
        number = self._numbers[kind]
        self.last[number] = max(at, self.last.get(number, 0.0))

    def gone(self, vo: str, pilot: str) -> None:
        """A pilot works no more."""
        if (kind := self._of.pop((vo, pilot), None)) is not None:
            self._count(kind, -1)

    def _add(self, kind: Kind, offer: Offer) -> None:
        number = self._numbers[kind] = self._free.pop() if self._free else len(self._numbers)
        self.offers[number], self._slots[number] = offer, 0
        for parts, key in zip(self._parts, kind, strict=True):
            parts.setdefault(key, Part(offer)).bits |= 1 << number

    def _count(self, kind: Kind, one: int) -> None:
        number = self._numbers[kind]
        old = self._slots[number]
        new = self._slots[number] = old + one
        for level in range((old ^ new).bit_length()):
            if (old ^ new) >> level & 1:
                self._planes += [0] * (level + 1 - len(self._planes))
                self._planes[level] ^= 1 << number
        if not new:
            self._drop(kind, number)

    def _drop(self, kind: Kind, number: int) -> None:
        del self._numbers[kind], self.offers[number], self._slots[number]
        self.last.pop(number, None)
        self._free.append(number)
        for parts, key in zip(self._parts, kind, strict=True):
            parts[key].bits ^= 1 << number
            if not parts[key].bits:
                del parts[key]

    def seen(self, vo: str) -> int:
        """The kinds that there are for a VO."""
        return sum(part.bits for part in self._parts[PERSONS].values() if part.offer.vo in ("", vo))

    def parts(self, which: int, of: int = -1) -> Iterator[tuple[Offer, int]]:
        """Kinds that are alike in one part, as an offer that stands for them and those of the given kinds."""
        for part in self._parts[which].values():
            if bits := part.bits & of:
                yield part.offer, bits

    def slots(self, bits: int) -> int:
        """How many pilots made offers of these kinds."""
        return sum((bits & plane).bit_count() << level for level, plane in enumerate(self._planes))

    def latest(self, bits: int) -> float:
        """When an offer of one of these kinds was made last."""
        return max((self.last.get(number, 0.0) for number in ones(bits)), default=0.0)

    def commonest(self, bits: int) -> Offer:
        """That of the kind that most pilots offer, of kinds that are not empty."""
        for plane in reversed(self._planes):
            bits = bits & plane or bits
        return self.offers[first(bits)]

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


def _kind(offer: Offer) -> Kind:
    """CPU time and memory in steps of an eighth: nobody cares about seconds, and every one would be a kind."""
    return (
        (offer.vo, offer.owner, offer.groups, offer.refuses),
        (offer.site, offer.ce, offer.platform, offer.runs),
        (offer.tags, offer.required_tags, offer.job_types, offer.refuses),
        (offer.processors, offer.node_processors, offer.whole, offer.gpus, _step(offer.memory_mb),
         _step(offer.cpu_seconds)),
    )  # fmt: skip


def _step(size: int) -> int:
    bits = max(size.bit_length() - 4, 0)
    return size >> bits << bits
