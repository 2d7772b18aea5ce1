"""Why a task queue gets no pilots: every obstacle with the slots it costs, what would open them, whose turn it is.

Offers come in kinds, and kinds in sets of bits: a requirement is compared once with each value that offers have of it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from msgspec import Struct

from domain.bits import ones, without
from domain.choice import in_turn
from domain.market import LABELS, PLACES, Market
from domain.market import SIZES as OF_SIZE
from domain.match_policy import MatchingDelay, RunningLimit, place
from domain.match_state import State
from domain.matching import APART, Blocked, Obstacle, Offer, Queue
from domain.requirements import SEGMENTS

SIZES = {Obstacle.CPU_TIME: "cpu_seconds", Obstacle.MEMORY: "memory_mb", Obstacle.PROCESSORS: "processors",
         Obstacle.GPU: "gpus"}  # fmt: skip
ASKED = {Obstacle.CPU_TIME: "CPUTime", Obstacle.MEMORY: "MinRAM", Obstacle.PROCESSORS: "NumberOfProcessors",
         Obstacle.GPU: "GPUs", Obstacle.SITE: "Site", Obstacle.PLATFORM: "Platform", Obstacle.TAG: "Tags",
         Obstacle.CE: "GridCE", Obstacle.SITE_BANNED: "BannedSites", Obstacle.JOB_TYPE: "JobType",
         Obstacle.WHOLE_NODE: "WholeNode"}  # fmt: skip
MOST_VALUES = 3


class Reason(Struct, frozen=True):
    """One obstacle: what is wanted, what most slots have instead, how many fail on it, how many on nothing else.

    `rule`, `by`, `since` and `event` say who introduced it, where that is known.
    """

    code: str
    wanted: str
    offered: str
    pilots: int
    alone: int
    of: int
    rule: str = ""
    detail: str = ""
    by: str = ""
    since: str = ""
    event: str = ""


class Question(Struct, frozen=True):
    """Which queue is asked about; as the views know it, for it may be empty."""

    queue: Queue


class Opening(Struct, frozen=True):
    """What would open how many slots: `would match <what>`."""

    code: str
    what: str
    slots: int


class Explanation(Struct, frozen=True):
    """How a queue and the slots that were seen go together.

    `fitting` slots meet the requirements, `open` ones are not stopped by a rule either. `before` are owners whose turn
    comes first there. `rate` are matches of this queue a second, from `known` of the last hour.
    """

    slots: int = 0
    fitting: int = 0
    open: int = 0
    reasons: tuple[Reason, ...] = ()
    openings: tuple[Opening, ...] = ()
    before: int = 0
    better: int = 0
    used: float = 0.0
    share: float = 1.0
    waiting: int = 0
    rate: float = 0.0
    known: int = 0
    last_offer: float = 0.0


class _Tally:
    """Which kinds are kept away by what; the key is a code with the name of a rule, where it is one."""

    def __init__(self) -> None:
        self.kinds: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.once = self.twice = 0
        self._texts: defaultdict[tuple[str, str], dict[Blocked, int]] = defaultdict(dict)
        self._origin: dict[tuple[str, str], dict[str, str]] = {}

    def add(self, rule: str, found: Blocked, kinds: int, origin: dict[str, str] | None = None) -> None:
        """These kinds have this obstacle; an obstacle is said once of each kind."""
        key = (found.obstacle.value, rule)
        self.kinds[key] |= kinds
        self._texts[key][found] = self._texts[key].get(found, 0) | kinds
        self._origin[key] = origin or {}
        self.twice |= self.once & kinds
        self.once |= kinds

    def alone(self, key: tuple[str, str]) -> int:
        """The kinds that nothing else keeps away."""
        return without(self.kinds[key], self.twice)

    def reasons(self, market: Market, of: int) -> tuple[Reason, ...]:
        found = []
        for key, kinds in self.kinds.items():
            text = max(self._texts[key].items(), key=lambda each: market.slots(each[1]))[0]
            slots, alone = market.slots(kinds), market.slots(self.alone(key))
            found.append(Reason(key[0], text.wanted, text.offered, slots, alone, of, **self._origin[key]))
        return tuple(sorted(found, key=lambda each: (-each.pilots, -each.alone, each.code)))


def explain(state: State, market: Market, queue: Queue, now: float) -> Explanation:
    """Everything that is to say of a queue at this moment."""
    seen = market.seen(queue.vo)
    tally = _Tally()
    for number, apart in enumerate(APART):
        for offer, kinds in market.parts(number, seen):
            for found in apart(queue, offer):
                tally.add("", found, kinds)
    openings = sorted(_openings(market, queue, tally), key=lambda each: -each.slots)
    fitting = without(seen, tally.once)
    _rules(state, market, queue, fitting, now, tally)
    open_ = without(fitting, tally.once)
    entry = state.entry(queue.id)
    rate, known = market.rate(queue.id, now)
    before, better = _before(state, queue, market.commonest(open_), now) if open_ else (0, 0)
    path, slots = (queue.vo, queue.group, queue.owner), market.slots(seen)
    return Explanation(
        slots, market.slots(fitting), market.slots(open_), tally.reasons(market, slots), tuple(openings),
        before, better, state.shares.used(path, now), state.policy.share(path[:2]), entry.waiting if entry else 0,
        rate, known, market.latest(seen),
    )  # fmt: skip


def _rules(state: State, market: Market, queue: Queue, fitting: int, now: float, tally: _Tally) -> None:
    """What statuses, limits and delays stop of that which would fit."""
    for offer, kinds in market.parts(PLACES, fitting):
        for doubtful, alike in _doubtful(state, market, offer, kinds):
            if obstacle := state.barrier(doubtful, queue.vo, now):
                said = state.told(doubtful, queue.vo)
                found = Blocked(obstacle, "a place that may be used", said.pop("what", offer.site))
                tally.add(said.get("rule", ""), found, alike, said)
        where = place(offer)
        for rule in state.rules(where, queue):
            if until := state.stopped(rule, where, queue, now):
                origin = {"rule": rule.name, "by": rule.by, "since": rule.since, "event": rule.event}
                tally.add(rule.name, _ruled(state, rule, where, queue, until - now), kinds, origin)


def _doubtful(state: State, market: Market, offer: Offer, kinds: int) -> Iterator[tuple[Offer, int]]:
    """The kinds of one place: each pilot and node of which anything is known, and the rest together."""
    names = state.doubtful()
    for number in ones(kinds) if names else ():
        each = market.offers[number]
        if each.pilot in names or (each.host and f"{each.site}/{each.host}" in names):
            kinds ^= 1 << number
            yield each, 1 << number
    if kinds:
        yield Offer(offer.offer, "", offer.vo, offer.site, offer.ce), kinds


def _ruled(
    state: State, rule: RunningLimit | MatchingDelay, where: dict[str, str], queue: Queue, wait: float
) -> Blocked:
    if isinstance(rule, RunningLimit):
        running = state.running[rule.key(where, queue)]
        return Blocked(Obstacle.RUNNING_LIMIT, f"fewer than {rule.most} for {rule.about}", f"{running} run")
    return Blocked(
        Obstacle.MATCHING_DELAY, f"{rule.seconds:g} s between matches for {rule.about}", f"{wait:.0f} s more"
    )


def _openings(market: Market, queue: Queue, tally: _Tally) -> Iterator[Opening]:
    """What to change, where one obstacle alone stands in the way."""
    for code, rule in tally.kinds:
        obstacle, kinds = Obstacle(code), tally.alone((code, rule))
        if not kinds:
            continue
        if obstacle in SIZES:
            yield from _sizes(market, obstacle, kinds)
        elif obstacle is Obstacle.TAG:
            lacking = (offer.tags for offer, _ in market.parts(LABELS, kinds))
            missing = sorted({tag for tags in lacking for tag in queue.requirements.tags if tag not in tags})
            yield Opening(code, f"without Tags {', '.join(missing)}", market.slots(kinds))
        elif obstacle in (Obstacle.SITE, Obstacle.PLATFORM, Obstacle.CE):
            counts = Counter[str]()
            for offer, alike in market.parts(PLACES, kinds):
                counts[getattr(offer, code)] += market.slots(alike)
            for name, n in counts.most_common(MOST_VALUES):
                yield Opening(code, f"at {ASKED[obstacle]} {name}", n)
        elif obstacle in ASKED:
            yield Opening(code, f"without {ASKED[obstacle]}", market.slots(kinds))


def _sizes(market: Market, obstacle: Obstacle, kinds: int) -> Iterator[Opening]:
    """The largest sizes that slots have room for, with all that have as much."""
    counts = Counter[int]()
    for offer, alike in market.parts(OF_SIZE, kinds):
        size = int(getattr(offer, SIZES[obstacle]))
        counts[_segment(size) if obstacle is Obstacle.CPU_TIME else size] += market.slots(alike)
    steps = sorted(counts, reverse=True)
    for step in dict.fromkeys((*steps[:1], *steps[-1:])):
        enough = sum(n for size, n in counts.items() if size >= step)
        yield Opening(obstacle.value, f"at {ASKED[obstacle]} ≤ {step}", enough)


def _segment(size: int) -> int:
    """CPU times are rounded up to segments: the largest that such a slot takes."""
    return max((bound for bound in SEGMENTS if bound <= size), default=size)


def _before(state: State, queue: Queue, offer: Offer, now: float) -> tuple[int, int]:
    """How many owners' turn comes before this queue's owner, and how many better queues that owner has there."""
    owners = 0
    entry = state.entry(queue.id)
    priority = entry.queue.priority if entry else queue.priority
    for owner, fit in in_turn(state, offer, now):
        if owner.path == (queue.vo, queue.group, queue.owner):
            return owners, sum((fit & bits).bit_count() for rank, bits in state.ranks.items() if rank > priority)
        owners += 1
    return owners, 0
