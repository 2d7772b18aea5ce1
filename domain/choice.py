"""Which task queue an offer gets a job from: a pure function of state, offer, time and seed.

Whose turn it is goes down the tree of shares: the VO that has had least of its share, in it the group, in that the
owner; within an owner's queues the highest priority, then a draw that the seed decides. `choose` changes nothing; what
came of it is told to the state with `take`, `hold` and `release`.
"""

from collections import Counter
from collections.abc import Iterator
from heapq import heapify, heappop
from typing import Any

import msgspec

from domain.match_policy import RunningLimit, place
from domain.match_state import Decision, State
from domain.matching import Obstacle, Offer, Queue, granted, persons
from domain.queue_index import Book, Entry, keys_of
from domain.shares import Person

FORGOTTEN = 300.0  # seconds after which a pilot that no longer asks holds nothing back


def choose(state: State, offer: Offer, now: float, seed: int) -> Decision:
    """The queue that serves this offer, or none. The same state, offer, time and seed give the same decision."""
    return _Choice(state, offer, now, seed).made()


def in_turn(state: State, offer: Offer, now: float) -> Iterator[Book]:
    """The queues of owners that the offer may serve, whose turn it is first."""
    return _Choice(state, offer, now, 0).in_turn()


class _Choice:
    """One choice on its way."""

    def __init__(self, state: State, offer: Offer, now: float, seed: int) -> None:
        self.state, self.offer, self.now, self.seed = state, offer, now, seed
        self.shape = state.shape(offer)
        self.keys = keys_of(offer)
        self.where = place(offer)
        self.rules = state.rules_at(self.where)
        self.blocked: Counter[str] = Counter()
        self.considered = 0
        self.again = float("inf")
        self.wide = offer if offer.processors >= offer.node_processors else _all_free(offer)

    def made(self) -> Decision:
        if promised := self._promised():
            return self._decided(promised)
        for book in self.in_turn():
            if self.wide is not self.offer and (due := self._due(book)):
                return self._decided(None, due.queue.id)
            if found := self._best(book):
                return self._decided(found)
        return self._decided(None)

    def _decided(self, entry: Entry | None, held_for: str = "") -> Decision:
        queue = entry.queue if entry else None
        processors = granted(queue.requirements, self.offer.processors) if queue else 0
        if held_for:
            self.blocked[Obstacle.RESERVED.value] += 1
        again = 0.0 if self.again == float("inf") else self.again
        blocked = dict(self.blocked)
        revision = self.state.policy.revision
        return Decision(queue, self.considered, blocked, processors, self.seed, held_for, again, revision)

    def in_turn(self) -> Iterator[Book]:
        """The owners' queues, who has had least of their share first."""
        for vo, groups in self._ordered(self.state.tree, ()):
            if (self.offer.vo and self.offer.vo != vo) or self._barred(vo):
                continue
            for group, owners in self._ordered(groups, (vo,)):
                for owner, book in self._ordered(owners, (vo, group)):
                    if book.filled and not book.far(self.keys) and self._may(Person(vo, group, owner)):
                        yield book

    def _may(self, person: Person) -> bool:
        return next(persons(*person, self.offer), None) is None and not self.state.suspended(person)

    def _ordered(self, children: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if len(children) == 1:
            yield from children.items()
            return
        shares, share = self.state.shares, self.state.weight
        fade = shares.fade(self.now)
        heap = [(shares.need((*path, name), share((*path, name)), fade), name) for name in children]
        heapify(heap)
        while heap:
            _, name = heappop(heap)
            yield name, children[name]

    def _barred(self, vo: str) -> bool:
        obstacle = self.state.barrier(self.offer, vo, self.now)
        if obstacle:
            self.blocked[obstacle.value] += 1
        return obstacle is not None

    def _best(self, book: Book) -> Entry | None:
        """The owner's queue with the highest priority that nothing stops; a draw among equals."""
        live = [entry for entry in book.fitting(self.shape, self.offer, self.keys) if entry.waiting > 0]
        self.considered += len(live)
        while live:
            best = max(entry.queue.priority for entry in live)
            equal = [entry for entry in live if entry.queue.priority == best]
            if passing := [entry for entry in equal if self._passes(entry.queue)] if self.rules else equal:
                return passing[self.seed % len(passing)]
            live = [entry for entry in live if entry.queue.priority < best]
        return None

    def _passes(self, queue: Queue) -> bool:
        for rule in self.rules:
            if rule.covers(self.where, queue) and (until := self.state.stopped(rule, self.where, queue, self.now)):
                limit = isinstance(rule, RunningLimit)
                self.blocked[(Obstacle.RUNNING_LIMIT if limit else Obstacle.MATCHING_DELAY).value] += 1
                self.again = min(self.again, until)
                return False
        return True

    def _promised(self) -> Entry | None:
        """The queue for which this pilot was kept free, when it can have it now."""
        for id_, pilots in self.state.reserved.items():
            if self.offer.pilot in pilots and (entry := self.state.entry(id_)) and entry.waiting > 0:
                book, queue = self.state.homes[id_], entry.queue
                fits = entry in book.fitting(self.shape, self.offer, self.keys) and self._may(person_of(queue))
                if fits and not self.state.barrier(self.offer, queue.vo, self.now) and self._passes(queue):
                    return entry
        return None

    def _due(self, book: Book) -> Entry | None:
        """A queue of this owner that has waited long for more processors than are free, though the pilot has them."""
        policy, free = self.state.policy, self.offer.processors
        shape = self.state.shape(self.wide)
        for entry in book.fitting(shape, self.wide, self.keys):
            wide = entry.queue.requirements.min_processors > free or entry.queue.requirements.whole_node
            if wide and entry.waiting > 0 and self.now - entry.since > policy.reserve_after and self._free(entry):
                return entry
        return None

    def _free(self, entry: Entry) -> bool:
        """Whether one pilot more may be kept free for this queue, and nothing else stops it."""
        pilots = self.state.reserved.get(entry.queue.id, {})
        alive = [pilot for pilot, at in pilots.items() if self.now - at < FORGOTTEN and pilot != self.offer.pilot]
        room = min(self.state.policy.reservations, entry.waiting)
        return len(alive) < room and self._passes(entry.queue)


def person_of(queue: Queue) -> Person:
    """Whose jobs wait in it."""
    return Person(queue.vo, queue.group, queue.owner)


def _all_free(offer: Offer) -> Offer:
    return msgspec.structs.replace(offer, processors=offer.node_processors)
