"""Which task queue an offer gets a job from: a pure function of state, offer, time and seed.

Whose turn it is goes down the tree of shares: the VO that has had least of its share, in it the group, in that the
owner; within an owner's queues the highest priority, then a draw that the seed decides. `choose` changes nothing; what
came of it is told to the state with `take`, `hold` and `release`.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec

from domain.bits import first, without
from domain.match_policy import RunningLimit, place
from domain.match_state import Decision, Rule, State
from domain.matching import Obstacle, Offer, Queue, granted
from domain.queue_index import Entry
from domain.share_tree import Node

FORGOTTEN = 300.0  # seconds after which a pilot that no longer asks holds nothing back


def choose(state: State, offer: Offer, now: float, seed: int) -> Decision:
    """The queue that serves this offer, or none. The same state, offer, time and seed give the same decision."""
    return _Choice(state, offer, now, seed).made()


def in_turn(state: State, offer: Offer, now: float) -> Iterator[tuple[Node, int]]:
    """The owners that the offer may serve with the queues of each that fit, whose turn it is first."""
    choice = _Choice(state, offer, now, 0)
    return ((owner, fit) for owner in choice.in_turn() if (fit := choice.fit & owner.bits))


class _Choice:
    """One choice on its way."""

    def __init__(self, state: State, offer: Offer, now: float, seed: int) -> None:
        self.state, self.offer, self.now, self.seed = state, offer, now, seed
        self.fit = self.reach = state.index.fitting(offer)
        self.where = place(offer)
        self.rules = state.rules_at(self.where)
        self.blocked: Counter[str] = Counter()
        self.considered = 0
        self.again = float("inf")
        self.wide = self._wide()
        self.reach |= self.wide

    def _wide(self) -> int:
        """The queues that would fit if all of the node were free, and do not fit now."""
        offer = self.offer
        if offer.processors >= offer.node_processors:
            return 0
        all_free = msgspec.structs.replace(offer, processors=offer.node_processors)
        return self.state.index.fitting(all_free) & self.state.index.wider(offer.processors)

    def made(self) -> Decision:
        if promised := self._promised():
            return self._decided(promised)
        for owner in self.in_turn():
            if self.wide and (due := self._due(owner)):
                return self._decided(None, due.queue.id)
            if found := self._best(owner):
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

    def in_turn(self) -> Iterator[Node]:
        """The owners with a queue within reach, who has had least of their share first."""
        tree, reach = self.state.tree, self.reach
        for vo in tree.in_turn(tree.root, self.now):
            if (self.offer.vo and self.offer.vo != vo.path[0]) or self._barred(vo.path[0]) or not reach & vo.bits:
                continue
            for group in tree.in_turn(vo, self.now):
                if reach & group.bits:
                    for owner in tree.in_turn(group, self.now):
                        if reach & owner.bits and not self.state.suspended(owner.person):
                            yield owner

    def _barred(self, vo: str) -> bool:
        obstacle = self.state.barrier(self.offer, vo, self.now)
        if obstacle:
            self.blocked[obstacle.value] += 1
        return obstacle is not None

    def _best(self, owner: Node) -> Entry | None:
        """The owner's queue with the highest priority that nothing stops; a draw among equals."""
        fit = self.fit & owner.bits
        self.considered += fit.bit_count()
        for equal in self.state.ranks.values() if fit else ():
            if (live := fit & equal) and (passing := self._passing(live)):
                return self.state.index.drawn(passing, self.seed)
        return None

    def _passing(self, bits: int) -> int:
        """Those of one owner's queues that no limit or delay stops."""
        for rule in self.rules:
            for alike in self._alike(rule, bits) if bits else ():
                queue = self._any_of(alike).queue
                if rule.covers(self.where, queue) and (until := self._stopped(rule, queue, alike.bit_count())):
                    self.again = min(self.again, until)
                    bits = without(bits, alike)
        return bits

    def _alike(self, rule: Rule, bits: int) -> Iterator[int]:
        """One owner's queues in sets that are alike for a rule, as far as it may cover them."""
        by = self.state.index.by
        if rule.tag:
            bits &= by["tag"].get(rule.tag, 0)
        types = (rule.job_type,) if rule.job_type else by["job_type"] if "job_type" in rule.each else None
        parts = (bits,) if types is None else (bits & by["job_type"].get(name, 0) for name in types)
        return (part for part in parts if part)

    def _any_of(self, bits: int) -> Entry:
        entry = self.state.index.entries[first(bits)]
        if entry is None:
            raise LookupError("a queue in which something waits is not in the index")
        return entry

    def _stopped(self, rule: Rule, queue: Queue, queues: int) -> float:
        until = self.state.stopped(rule, self.where, queue, self.now)
        if until:
            limit = isinstance(rule, RunningLimit)
            self.blocked[(Obstacle.RUNNING_LIMIT if limit else Obstacle.MATCHING_DELAY).value] += queues
        return until

    def _passes(self, entry: Entry) -> bool:
        return not self.rules or bool(self._passing(1 << entry.number))

    def _promised(self) -> Entry | None:
        """The queue for which this pilot was kept free, when it can have it now."""
        for id_, pilots in self.state.reserved.items():
            if self.offer.pilot in pilots and (entry := self.state.entry(id_)) and entry.waiting > 0:
                may = self.fit >> entry.number & 1 and not self.state.suspended(entry.home.person)
                if may and not self.state.barrier(self.offer, entry.queue.vo, self.now) and self._passes(entry):
                    return entry
        return None

    def _due(self, owner: Node) -> Entry | None:
        """A queue of this owner that has waited long for more processors than are free, though the pilot has them."""
        late = self.now - self.state.policy.reserve_after
        for entry in self.state.index.sorted(self.wide & owner.bits):
            if entry.since < late and self._free(entry):
                return entry
        return None

    def _free(self, entry: Entry) -> bool:
        """Whether one pilot more may be kept free for this queue, and nothing else stops it."""
        pilots = self.state.reserved.get(entry.queue.id, {})
        alive = [pilot for pilot, at in pilots.items() if self.now - at < FORGOTTEN and pilot != self.offer.pilot]
        room = min(self.state.policy.reservations, entry.waiting)
        return len(alive) < room and self._passes(entry)
