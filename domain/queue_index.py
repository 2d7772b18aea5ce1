"""All task queues as sets of bits: for each value of each field the queues that ask for it.

So an offer is compared with all of them at once.

A queue has a small number, which is used again when it has long been empty. The queues that agree with one part of an
offer (whose, where, which labels, how large) are kept, and corrected for queues that come later when they are wanted.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Hashable, Iterator
from itertools import count
from typing import Any
from zlib import crc32

from domain.bits import ones, union, without
from domain.matching import Offer, Queue, agrees

Shape = tuple[Hashable, ...]
Kind = tuple[int, int]  # a version of the steps, and the number of a shape
VERSIONS = count(1)
MOST_PARTS = 4096  # a few kilobytes each
FAR = 200  # queues that came since: comparing each of them is no longer faster than all
MOST_LOGGED = 100_000
SECTORS = 256
MANY = 256  # queues among which one can be drawn by looking at each


class Entry:
    """A queue with what changes: how many jobs wait (at most; a hint), and since when the best one does."""

    __slots__ = ("home", "number", "queue", "since", "waiting")

    def __init__(self, queue: Queue, number: int, home: Any) -> None:
        self.queue = queue
        self.number = number
        self.home = home  # its owner's place in the tree of shares
        self.waiting = 0
        self.since = 0.0


class Steps:
    """Sizes that queues ask for. Between two of them all offers are the same."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._known: set[int] = set()

    def add(self, size: int) -> bool:
        """Somebody asks for this; whether nobody did before."""
        if size in self._known:
            return False
        self._known.add(size)
        insort(self._steps, size)
        return True

    def below(self, size: int) -> int:
        """The largest size asked for that this much is enough for, -1 when there is none; 0 (not known) stays 0."""
        found = bisect_right(self._steps, size)
        return (self._steps[found - 1] if found else 0) or -1 if size else 0


def facets(queue: Queue) -> Iterator[tuple[str, Hashable]]:
    """Where a queue is filed: each field with each value it asks for, None where any will do."""
    wanted = queue.requirements
    yield from (("vo", queue.vo), ("owner", queue.owner), ("group", queue.group), ("job_type", wanted.job_type))
    for field, names in (("site", wanted.sites), ("ce", wanted.ces), ("platform", wanted.platforms)):
        yield from ((field, name) for name in {*(names or (None,))})
    yield from (("banned", name) for name in {*wanted.banned_sites})
    yield from (("tag", name) for name in {*wanted.tags})
    yield from (("processors", wanted.min_processors), ("whole", wanted.whole_node), ("gpus", wanted.gpus))
    yield from (("memory", wanted.min_ram_mb), ("cpu", wanted.cpu_time))


class Index:
    """The queues by number, and the sets of them."""

    def __init__(self) -> None:
        self.entries: list[Entry | None] = []
        self.all = 0
        self.by: defaultdict[str, defaultdict[Hashable, int]] = defaultdict(lambda: defaultdict(int))
        self._free: list[int] = []
        self._cpu, self._memory = Steps(), Steps()
        self._log: list[int] = []
        self._parts: dict[Hashable, tuple[int, int]] = {}
        self._version = next(VERSIONS)
        self._kinds: dict[Shape, int] = {}

    def add(self, queue: Queue, home: Any) -> Entry:
        """A queue that was not here."""
        if not self._free:
            self._free.append(len(self.entries))
            self.entries.append(None)
        entry = Entry(queue, self._free.pop(), home)
        self.entries[entry.number] = entry
        self._flip(entry)
        if self._cpu.add(queue.requirements.cpu_time) | self._memory.add(queue.requirements.min_ram_mb):
            self._version = next(VERSIONS)
        if len(self._log) >= MOST_LOGGED:
            self._log, self._parts = [], {}
        self._log.append(entry.number)
        return entry

    def drop(self, entry: Entry) -> None:
        """A queue that is to be forgotten."""
        self._flip(entry)
        self.entries[entry.number] = None
        self._free.append(entry.number)

    def _flip(self, entry: Entry) -> None:
        bit = 1 << entry.number
        self.all ^= bit
        for field, value in (*facets(entry.queue), ("sector", sector(entry.queue))):
            self.by[field][value] ^= bit
            if not self.by[field][value]:
                del self.by[field][value]

    def shape(self, offer: Offer) -> Shape:
        """Equal for offers that fit the same queues: what persons, places, labels and sizes depend on."""
        return (
            (0, offer.vo, offer.owner, offer.groups, offer.refuses),
            (1, offer.site, offer.ce, offer.platform, offer.runs),
            (2, offer.tags, offer.required_tags, offer.job_types, offer.refuses),
            (3, offer.processors, offer.whole, offer.gpus, self._memory.below(offer.memory_mb),
             self._cpu.below(offer.cpu_seconds)),
        )  # fmt: skip

    def kind(self, offer: Offer, known: Kind) -> Kind:
        """A number for its shape. `known` is what was said of this offer before: right as long as nothing changed."""
        if known[0] == self._version:
            return known
        if len(self._kinds) >= MOST_LOGGED:
            self._kinds, self._version = {}, next(VERSIONS)
        return self._version, self._kinds.setdefault(self.shape(offer), len(self._kinds))

    def fitting(self, offer: Offer) -> int:
        """The queues that nothing keeps from this offer; among them may be some that are no more."""
        bits = -1
        for number, part in enumerate(self.shape(offer)):
            bits &= self._agreeing(number, part, offer)
        return bits

    def _agreeing(self, number: int, part: Hashable, offer: Offer) -> int:
        seen, bits = self._parts.get(part, (-FAR, 0))
        if (end := len(self._log)) == seen:
            return bits
        if end - seen >= FAR:
            bits = SETS[number](self, offer)
        else:
            for each in self._log[seen:]:
                entry, bit = self.entries[each], 1 << each
                bits = bits | bit if entry and agrees(number, entry.queue, offer) else without(bits, bit)
        if len(self._parts) >= MOST_PARTS:
            self._parts.clear()
        self._parts[part] = (end, bits)
        return bits

    def _any(self, field: str, *values: Hashable) -> int:
        by = self.by[field]
        return union(by[value] for value in values if value in by)

    def _upto(self, field: str, most: int) -> int:
        return union(bits for size, bits in self.by[field].items() if size <= most)  # type: ignore[operator]

    def _persons(self, offer: Offer) -> int:
        bits = self._any("vo", offer.vo) if offer.vo else self.all
        if offer.owner:
            bits &= self._any("owner", offer.owner, "")
        if offer.groups:
            bits &= self._any("group", *offer.groups, "")
        bits = without(bits, self._any("owner", *offer.refuses.owners))
        return without(bits, self._any("group", *offer.refuses.groups))

    def _places(self, offer: Offer) -> int:
        bits = without(self._any("site", offer.site, None), self._any("banned", offer.site))
        return bits & self._any("ce", offer.ce, None) & self._any("platform", offer.platform, *offer.runs, None)

    def _labels(self, offer: Offer) -> int:
        offered, refuses = {*offer.tags}, offer.refuses
        bits = without(self.all, union(bits for tag, bits in self.by["tag"].items() if tag not in offered))
        for tag in offer.required_tags:
            bits &= self._any("tag", tag)
        if offer.job_types:
            bits &= self._any("job_type", *offer.job_types)
        refused = self._any("job_type", *refuses.job_types) | self._any("platform", *refuses.platforms)
        return without(bits, refused | self._any("tag", *refuses.tags))

    def _sizes(self, offer: Offer) -> int:
        bits = self._upto("processors", offer.processors) & self._upto("gpus", offer.gpus)
        if not offer.whole:
            bits = without(bits, self._any("whole", True))
        if offer.memory_mb:
            bits &= self._upto("memory", offer.memory_mb)
        return bits & self._upto("cpu", offer.cpu_seconds) if offer.cpu_seconds else bits

    def wider(self, processors: int) -> int:
        """The queues that ask for more processors, or for a whole node."""
        return without(self.all, self._upto("processors", processors)) | self._any("whole", True)

    def sorted(self, bits: int) -> list[Entry]:
        """The queues of a set by id."""
        found = [entry for number in ones(bits) if (entry := self.entries[number])]
        found.sort(key=lambda entry: entry.queue.id)
        return found

    def drawn(self, bits: int, seed: int) -> Entry:
        """One of a set that is not empty; which one depends on nothing but ids and seed.

        Of very many only one sector is drawn from: what their ids are hashed to, beginning with that of the seed.
        """
        if bits.bit_count() > MANY:
            turns = (bits & self._any("sector", (seed + n) % SECTORS) for n in range(SECTORS))
            bits = next(found for found in turns if found)
            seed //= SECTORS
        found = self.sorted(bits)
        return found[seed % len(found)]


def sector(queue: Queue) -> int:
    """A small number that follows from the id."""
    return crc32(queue.id.encode()) % SECTORS


SETS = (Index._persons, Index._places, Index._labels, Index._sizes)
