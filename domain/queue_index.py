"""The task queues of one owner, so arranged that an offer looks at those that may fit, and at each of them once.

A queue stands under one of its sites (or none) and one of its tags (or none). What fits an offer is kept by the shape
of the offer, that is by everything in it that fitting depends on; queues that come later are added to what is kept.
"""

from bisect import bisect_right, insort

from domain.matching import Offer, Queue, fits

Shape = tuple[object, ...]
Keys = frozenset[tuple[str, str]]
MOST_SHAPES = 4096
SPARSE = 64  # so many empty queues are carried along before anybody tidies up


class Entry:
    """A queue with what changes: how many jobs wait (at most; a hint), and since when the best one does."""

    __slots__ = ("queue", "since", "waiting")

    def __init__(self, queue: Queue, waiting: int, since: float) -> None:
        self.queue = queue
        self.waiting = waiting
        self.since = since


class Steps:
    """Sizes that queues ask for. Between two of them all offers are the same."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._known: set[int] = set()

    def add(self, size: int) -> None:
        """Somebody asks for this."""
        if size not in self._known:
            self._known.add(size)
            insort(self._steps, size)

    def below(self, size: int) -> int:
        """The largest size asked for that this much is enough for; 0 (not known) stays 0."""
        found = bisect_right(self._steps, size)
        return self._steps[found - 1] if found and size else -1 if size else 0


class Book:
    """The queues of one owner in one group."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._log: list[Entry] = []
        self._buckets: dict[tuple[str, str], list[Entry]] = {}
        self._fits: dict[Shape, tuple[int, list[Entry]]] = {}
        self.filled = 0  # queues in which something waits

    def add(self, entry: Entry) -> None:
        """A queue that was not here."""
        self.entries[entry.queue.id] = entry
        self.filled += entry.waiting > 0
        self._arrange(entry)

    def _arrange(self, entry: Entry) -> None:
        self._log.append(entry)
        wanted = entry.queue.requirements
        tag = wanted.tags[-1] if wanted.tags else ""
        for site in wanted.sites or ("",):
            self._buckets.setdefault((site, tag), []).append(entry)

    def count(self, entry: Entry, waiting: int) -> None:
        """So many jobs wait in it now."""
        self.filled += (waiting > 0) - (entry.waiting > 0)
        entry.waiting = waiting
        if len(self.entries) - self.filled > SPARSE + self.filled:
            self._tidy()

    def _tidy(self) -> None:
        kept = [entry for entry in self._log if entry.waiting > 0]
        self.entries = {entry.queue.id: entry for entry in kept}
        self._log, self._buckets, self._fits = [], {}, {}
        for entry in kept:
            self._arrange(entry)

    def forget_shapes(self) -> None:
        """Too many different offers were seen."""
        self._fits = {}

    def far(self, keys: Keys) -> bool:
        """Whether nothing here is for such a site or such tags: known without a look at any queue."""
        return keys.isdisjoint(self._buckets)

    def fitting(self, shape: Shape, offer: Offer, keys: Keys) -> list[Entry]:
        """The queues that fit, by id; some of them may be empty."""
        seen, found = self._fits.get(shape, (-1, []))
        if seen == len(self._log):
            return found
        new = self._log[seen:] if seen >= 0 else [entry for key in keys for entry in self._buckets.get(key, ())]
        found += [entry for entry in new if fits(entry.queue.requirements, offer)]
        found.sort(key=lambda entry: entry.queue.id)
        self._fits[shape] = (len(self._log), found)
        return found


def keys_of(offer: Offer) -> Keys:
    """Where queues stand that may fit this offer."""
    return frozenset((site, tag) for site in {offer.site, ""} for tag in {*offer.tags, ""})


class Shapes:
    """Which offers are alike for every queue."""

    def __init__(self) -> None:
        self.cpu = Steps()
        self.memory = Steps()

    def add(self, queue: Queue) -> None:
        """What this queue asks for may tell offers apart from now on."""
        self.cpu.add(queue.requirements.cpu_time)
        self.memory.add(queue.requirements.min_ram_mb)

    def of(self, offer: Offer) -> Shape:
        """Equal for offers that fit the same queues."""
        return (
            offer.vo, offer.site, offer.ce, offer.platform, offer.runs, offer.tags, offer.required_tags,
            offer.job_types, offer.owner, offer.groups, offer.refuses, offer.processors, offer.whole, offer.gpus,
            self.memory.below(offer.memory_mb), self.cpu.below(offer.cpu_seconds),
        )  # fmt: skip
