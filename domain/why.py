"""Why a task queue gets no pilots: every obstacle with the slots it costs, what would open them, whose turn it is."""

from collections import Counter, defaultdict
from typing import Any

from msgspec import Struct

from domain.choice import in_turn
from domain.market import Alike, Market
from domain.match_policy import MatchingDelay, RunningLimit, place
from domain.match_state import State
from domain.matching import Blocked, Compared, Obstacle, Offer, Queue
from domain.queue_index import keys_of
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
    def __init__(self) -> None:
        self.wanted: dict[Any, str] = {}
        self.offered: defaultdict[Any, Counter[str]] = defaultdict(Counter)
        self.alone: Counter[Any] = Counter()
        self.origin: dict[Any, dict[str, str]] = {}

    def add(self, key: tuple[str, str], found: Blocked, slots: int, alone: bool, **origin: str) -> None:
        self.wanted[key] = found.wanted
        self.offered[key][found.offered] += slots
        self.alone[key] += slots * alone
        self.origin[key] = origin

    def reasons(self, of: int) -> tuple[Reason, ...]:
        found = [
            Reason(key[0], self.wanted[key], offered.most_common(1)[0][0], offered.total(), self.alone[key], of,
                   **self.origin[key])
            for key, offered in self.offered.items()
        ]  # fmt: skip
        return tuple(sorted(found, key=lambda each: (-each.pilots, -each.alone, each.code)))


def explain(state: State, market: Market, queue: Queue, now: float) -> Explanation:
    """Everything that is to say of a queue at this moment."""
    kinds = list(market.kinds(queue.vo))
    of = sum(kind.slots for kind in kinds)
    tally, single = _Tally(), defaultdict[Obstacle, list[Alike]](list)
    fitting: list[Alike] = []
    compared = Compared(queue.requirements, queue.vo, queue.owner, queue.group)
    for kind in kinds:
        found = compared.of(kind.offer, kind.parts)
        for each in found:
            tally.add((each.obstacle.value, ""), each, kind.slots, len(found) == 1)
        if len(found) == 1:
            single[found[0].obstacle].append(kind)
        elif not found:
            fitting.append(kind)
    open_ = [kind for kind in fitting if not _stopped(state, queue, kind, now, tally)]
    entry = state.entry(queue.id)
    rate, known = market.rate(queue.id, now)
    before, better = _before(state, queue, max(open_, key=lambda kind: kind.slots).offer, now) if open_ else (0, 0)
    path = (queue.vo, queue.group, queue.owner)
    return Explanation(
        of, sum(kind.slots for kind in fitting), sum(kind.slots for kind in open_), tally.reasons(of),
        tuple(sorted(_openings(queue, single), key=lambda each: -each.slots)), before, better,
        state.shares.used(path, now), state.policy.share(path[:2]), entry.waiting if entry else 0, rate, known,
        max((kind.last for kind in kinds), default=0.0),
    )  # fmt: skip


def _stopped(state: State, queue: Queue, kind: Alike, now: float, tally: _Tally) -> bool:
    """Whether a rule or a status stops what would fit."""
    where = place(kind.offer)
    stopped = False
    if obstacle := state.barrier(kind.offer, queue.vo, now):
        said = state.told(kind.offer, queue.vo)
        what = Blocked(obstacle, "a place that may be used", said.pop("what", kind.offer.site))
        tally.add((obstacle.value, said.get("rule", "")), what, kind.slots, True, **said)
        stopped = True
    for rule in state.rules(where, queue):
        if until := state.stopped(rule, where, queue, now):
            what = _ruled(state, rule, where, queue, until - now)
            origin = {"rule": rule.name, "by": rule.by, "since": rule.since, "event": rule.event}
            tally.add((what.obstacle.value, rule.name), what, kind.slots, not stopped, **origin)
            stopped = True
    return stopped


def _ruled(
    state: State, rule: RunningLimit | MatchingDelay, where: dict[str, str], queue: Queue, wait: float
) -> Blocked:
    if isinstance(rule, RunningLimit):
        running = state.running[rule.key(where, queue)]
        return Blocked(Obstacle.RUNNING_LIMIT, f"fewer than {rule.most} for {rule.about}", f"{running} run")
    return Blocked(
        Obstacle.MATCHING_DELAY, f"{rule.seconds:g} s between matches for {rule.about}", f"{wait:.0f} s more"
    )


def _openings(queue: Queue, single: dict[Obstacle, list[Alike]]) -> list[Opening]:
    """What to change, where one obstacle alone stands in the way."""
    found = []
    for obstacle, kinds in single.items():
        slots = sum(kind.slots for kind in kinds)
        if obstacle in SIZES:
            found += _sizes(obstacle, kinds)
        elif obstacle is Obstacle.TAG:
            missing = sorted({tag for kind in kinds for tag in queue.requirements.tags if tag not in kind.offer.tags})
            found.append(Opening(obstacle.value, f"without Tags {', '.join(missing)}", slots))
        elif obstacle in (Obstacle.SITE, Obstacle.PLATFORM, Obstacle.CE):
            field = {"site": "site", "platform": "platform", "ce": "ce"}[obstacle.value]
            counts = Counter[str]()
            for kind in kinds:
                counts[getattr(kind.offer, field)] += kind.slots
            found += [Opening(obstacle.value, f"at {ASKED[obstacle]} {name}", n)
                      for name, n in counts.most_common(MOST_VALUES)]  # fmt: skip
        elif obstacle in ASKED:
            found.append(Opening(obstacle.value, f"without {ASKED[obstacle]}", slots))
    return found


def _sizes(obstacle: Obstacle, kinds: list[Alike]) -> list[Opening]:
    """The largest sizes that slots have room for, with all that have as much."""
    counts = Counter[int]()
    for kind in kinds:
        size = int(getattr(kind.offer, SIZES[obstacle]))
        counts[_segment(size) if obstacle is Obstacle.CPU_TIME else size] += kind.slots
    steps = sorted(counts, reverse=True)
    return [Opening(obstacle.value, f"at {ASKED[obstacle]} ≤ {step}",
                    sum(n for size, n in counts.items() if size >= step))
            for step in dict.fromkeys((*steps[:1], *steps[-1:]))]  # fmt: skip


def _segment(size: int) -> int:
    """CPU times are rounded up to segments: the largest that such a slot takes."""
    return max((bound for bound in SEGMENTS if bound <= size), default=size)


def _before(state: State, queue: Queue, offer: Offer, now: float) -> tuple[int, int]:
    """How many owners' turn comes before this queue's owner, and how many better queues that owner has there."""
    owners = 0
    own = state.homes.get(queue.id)
    for book in in_turn(state, offer, now):
        live = [entry for entry in book.fitting(state.shape(offer), offer, keys_of(offer)) if entry.waiting > 0]
        if book is own:
            entry = state.entry(queue.id)
            priority = entry.queue.priority if entry else queue.priority
            return owners, sum(each.queue.priority > priority for each in live)
        owners += bool(live)
    return owners, 0
