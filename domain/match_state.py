"""Everything a choice depends on: queues, shares, what runs, tokens of delays, pilots kept free, the policy."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from domain.match_policy import MatchingDelay, MatchPolicy, RunningLimit, place
from domain.matching import Obstacle, Offer, Queue
from domain.queue_index import Entry, Index
from domain.share_tree import Tree
from domain.shares import Person, Shares

Barrier = Callable[[Offer, str, float], Obstacle | None]  # what keeps a place from jobs of a VO, whatever they ask for
Rule = RunningLimit | MatchingDelay
MOST_EMPTY = 4096  # queues in which nothing waits that are carried along


class Decision(NamedTuple):
    """What was decided and why. `held_for` is a queue for which the pilot is kept free; `again` when to ask again."""

    queue: Queue | None
    considered: int = 0
    blocked: dict[str, int] = {}
    processors: int = 0
    seed: int = 0
    held_for: str = ""
    again: float = 0.0
    policy: int = 0

    def fields(self) -> dict[str, object]:
        """As it is recorded with the match."""
        said = {name: value for name, value in self._asdict().items() if name not in ("queue", "again") and value}
        return {"considered": self.considered, "blocked": self.blocked} | said


class Taken(NamedTuple):
    """A place that a job has: what it counts in."""

    queue: Queue
    where: dict[str, str]
    processors: int
    pilot: str = ""
    host: str = ""
    since: float = 0.0

    @property
    def person(self) -> Person:
        """Whose job."""
        return Person(self.queue.vo, self.queue.group, self.queue.owner)


class State:
    """Everything a choice depends on: queues, shares, what runs, tokens of delays, reservations, policy."""

    def __init__(self, policy: MatchPolicy | None = None) -> None:
        self.policy = policy or MatchPolicy()
        self.barrier: Barrier = lambda offer, vo, now: None
        self.told: Callable[[Offer, str], dict[str, str]] = lambda offer, vo: {}  # of what the barrier said
        self.doubtful: Callable[[], Collection[str]] = tuple  # pilots and nodes of which anything is known
        self.crowd: Counter[str] = Counter()  # jobs by site, computing element, node and pilot
        self.suspended: Callable[[Person], bool] = lambda person: False
        self.shares = Shares(self.policy.half_life, self.policy.horizon)
        self.tree = Tree(self.shares)
        self.index = Index()
        self.ranks: dict[int, int] = {}  # priorities, the highest first, with the queues whose best job has it
        self.running: Counter[tuple[str, ...]] = Counter()
        self.tokens: dict[tuple[str, ...], tuple[float, float]] = {}
        self.held: dict[int, Taken] = {}
        self.reserved: dict[str, dict[str, float]] = {}
        self._entries: dict[str, Entry] = {}
        self._empty: deque[Entry] = deque()
        self._rules: dict[str, list[Rule]] = {}
        self.govern(self.policy)

    # What the world tells.

    def put(self, queue: Queue, waiting: int, since: float) -> None:
        """A queue as it is: so many jobs, the best one waiting since then."""
        entry = self._entries.get(queue.id)
        if entry is None:
            home = self.tree.home(Person(queue.vo, queue.group, queue.owner))
            entry = self._entries[queue.id] = self.index.add(queue, home)
        elif entry.waiting > 0 and entry.queue.priority != queue.priority:
            self._rank(entry)
            entry.queue = queue
            self._rank(entry)
        entry.queue, entry.since = queue, since
        self._count(entry, waiting)

    def more(self, queue: Queue, at: float) -> None:
        """One more job waits in it."""
        old = self.entry(queue.id)
        if old is None or old.waiting <= 0:
            self.put(queue, 1, at)
            return
        better = old.queue if old.queue.priority >= queue.priority else queue
        self.put(better, old.waiting + 1, min(old.since, at))

    def entry(self, id_: str) -> Entry | None:
        """A queue that is known."""
        return self._entries.get(id_)

    def empty(self, id_: str) -> None:
        """Nothing waits in it."""
        if entry := self.entry(id_):
            self._count(entry, 0)
            self.reserved.pop(id_, None)

    def _count(self, entry: Entry, waiting: int) -> None:
        """So many jobs wait in it now; of those that are empty the oldest are forgotten."""
        before, entry.waiting = entry.waiting, waiting
        if (before > 0) == (waiting > 0):
            return
        self.tree.flip(entry.home, 1 << entry.number)
        self._rank(entry)
        if waiting <= 0:
            self._empty.append(entry)
            if len(self._empty) > MOST_EMPTY:
                self._forget(self._empty.popleft())

    def _forget(self, entry: Entry) -> None:
        if entry.waiting <= 0 and self._entries.get(entry.queue.id) is entry:
            del self._entries[entry.queue.id]
            self.index.drop(entry)

    def _rank(self, entry: Entry) -> None:
        """It comes among those of its priority, or leaves them."""
        priority = entry.queue.priority
        if priority not in self.ranks:
            self.ranks = dict(sorted({**self.ranks, priority: 0}.items(), reverse=True))
        self.ranks[priority] ^= 1 << entry.number

    def take(self, decision: Decision, offer: Offer, now: float) -> Taken:
        """Count a match; `undo` it when the job was gone."""
        if decision.queue is None:
            raise ValueError("nothing was chosen")
        taken = Taken(decision.queue, place(offer), decision.processors, offer.pilot, offer.host, now)
        self._delay(taken, 1, now)
        self._wait(taken.queue.id, -1)
        self.occupy(taken, now)
        self.reserved.get(taken.queue.id, {}).pop(offer.pilot, None)
        return taken

    def undo(self, taken: Taken, now: float) -> None:
        """The match did not come about."""
        self._delay(taken, -1, now)
        self._wait(taken.queue.id, 1)
        self.occupy(taken, now, -1)

    def occupy(self, taken: Taken, now: float, one: int = 1) -> None:
        """A job begins to use its cores and to count in its limits, or ends."""
        self.tree.run(taken.person, one * taken.processors, now)
        site, ce = taken.where["site"], taken.where["ce"]
        self.crowd.update(dict.fromkeys((site, ce, f"{site}/{taken.host}", taken.pilot), one))
        for rule in self.rules(taken.where, taken.queue):
            if isinstance(rule, RunningLimit):
                self.running[rule.key(taken.where, taken.queue)] += one

    def spend(self, rule: MatchingDelay, taken: Taken, now: float, one: int = 1) -> None:
        """A match takes a token of a delay, or gives it back."""
        key = rule.key(taken.where, taken.queue)
        self.tokens[key] = (self._tokens(rule, key, now) - one, now)

    def hold(self, job: int, taken: Taken) -> None:
        """The job has its place."""
        self.held[job] = taken

    def release(self, job: int, now: float) -> Taken | None:
        """The job has left its place."""
        taken = self.held.pop(job, None)
        if taken:
            self.occupy(taken, now, -1)
        return taken

    def reserve(self, decision: Decision, offer: Offer, now: float) -> None:
        """The pilot stays free for a queue."""
        self.reserved.setdefault(decision.held_for, {})[offer.pilot] = now

    def govern(self, policy: MatchPolicy) -> None:
        """Another policy is in force: what runs is counted by its limits."""
        self.policy = policy
        self.tree.weights.govern(policy.shares)
        self._rules = {"": []}
        rules: list[Rule] = [*policy.limits, *policy.delays]
        for rule in rules:
            self._rules.setdefault(rule.site, []).append(rule)
        self.running.clear()
        for taken in self.held.values():
            for rule in self.rules(taken.where, taken.queue):
                self.running[rule.key(taken.where, taken.queue)] += 1

    # What follows from it.

    def rules_at(self, where: dict[str, str]) -> list[Rule]:
        """The limits and delays that can apply at this place."""
        site = where["site"]
        return self._rules[""] + self._rules.get(site, []) if site else self._rules[""]

    def rules(self, where: dict[str, str], queue: Queue) -> Iterator[Rule]:
        """The limits and delays that a match of this queue at this place is subject to."""
        return (rule for rule in self.rules_at(where) if rule.covers(where, queue))

    def stopped(self, rule: Rule, where: dict[str, str], queue: Queue, now: float) -> float:
        """0 when the rule lets a match pass; else when it may (infinity: when something that runs has ended)."""
        key = rule.key(where, queue)
        if isinstance(rule, RunningLimit):
            return 0.0 if self.running[key] < rule.most else float("inf")
        tokens = self._tokens(rule, key, now)
        return 0.0 if tokens >= 1 - 1e-9 else now + (1 - tokens) * rule.seconds

    def _wait(self, id_: str, more: int) -> None:
        if entry := self.entry(id_):
            self._count(entry, max(entry.waiting + more, 0))

    def _delay(self, taken: Taken, one: int, now: float) -> None:
        for rule in self.rules(taken.where, taken.queue):
            if isinstance(rule, MatchingDelay):
                self.spend(rule, taken, now, one)

    def _tokens(self, rule: MatchingDelay, key: tuple[str, ...], now: float) -> float:
        tokens, at = self.tokens.get(key, (float(rule.burst), now))
        return min(float(rule.burst), tokens + max(now - at, 0.0) / rule.seconds)


def state_of(queues: Iterable[Queue], policy: MatchPolicy | None = None) -> State:
    """A state with one job in each of these queues, for questions about a moment."""
    state = State(policy)
    for queue in queues:
        state.put(queue, 1, 0.0)
    return state
