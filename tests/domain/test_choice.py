"""The choice of a task queue, against a brute-force oracle; shares, limits, delays and wide jobs in simulated time."""

from collections import Counter
from heapq import heappop, heappush
from itertools import count, groupby
from random import Random
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matching_cases import OFFERS, QUEUES, allowed
from msgspec.structs import replace

from domain import match_state, queue_index
from domain.choice import choose
from domain.match_policy import MatchingDelay, MatchPolicy, RunningLimit
from domain.match_state import Decision, State, Taken
from domain.matching import Obstacle, Offer, Queue
from domain.matching_rules import policy_of
from domain.requirements import Requirements
from domain.schema import read
from domain.shares import Person, Shares

NOW = 1000.0
CASES = 10_000
LIMITS = st.lists(
    st.builds(
        RunningLimit, name=st.sampled_from(["l1", "l2"]), most=st.integers(0, 2), site=st.sampled_from(["", "a"]),
        owner=st.sampled_from(["", "b"]), job_type=st.sampled_from(["", "User"]),
        each=st.sampled_from([(), ("owner",), ("site", "group")]),
    ), max_size=2, unique_by=lambda limit: limit.name,
)  # fmt: skip
RUNNING = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("abc"), st.integers(1, 8)), max_size=4)
SHARES = st.dictionaries(st.sampled_from(["x", "y", "x/a", "x/b", "y/c", "x/a/b"]), st.sampled_from([0.5, 1, 3]))


def person(queue: Queue) -> Person:
    return Person(queue.vo, queue.group, queue.owner)


def best(queues: list[Queue], offer: Offer, policy: MatchPolicy, use: dict[tuple[str, ...], float]) -> list[Queue]:
    """The oracle: everything that fits and is not stopped, sorted by whose turn it is; the equals at its head."""

    def turn(queue: Queue) -> tuple[object, ...]:
        keys = [(queue.vo,), (queue.vo, queue.group), (queue.vo, queue.group, queue.owner)]
        scores = [(use.get(key, 0.0) / policy.shares.get("/".join(key), 1.0), key[-1]) for key in keys]
        return (*scores, -queue.priority)

    def stopped(queue: Queue, limit: RunningLimit) -> bool:
        fixed = (limit.site, limit.owner, limit.job_type)
        values = (offer.site, queue.owner, queue.requirements.job_type)
        return limit.most == 0 and all(want in ("", have) for want, have in zip(fixed, values, strict=True))

    fitting = [queue for queue in queues if allowed(queue, offer)]
    fitting = [queue for queue in fitting if not any(stopped(queue, limit) for limit in policy.limits)]
    heads = groupby(sorted(fitting, key=turn), key=turn)
    return list(next(heads, (None, iter(())))[1])


@settings(max_examples=CASES // 25, deadline=None)
@given(QUEUES, st.lists(OFFERS, min_size=5, max_size=5), LIMITS, RUNNING, SHARES, st.integers(0, 2**32 - 1))
def test_the_choice_is_that_of_an_oracle_which_looks_at_everything(
    queues: list[Queue], offers: list[Offer], limits: list[RunningLimit], running: list[tuple[str, str, int]],
    shares: dict[str, float], seed: int,
) -> None:  # fmt: skip
    """Twenty-five offers a story: ten thousand cases, where what is kept from one offer to the next is used, too."""
    policy = MatchPolicy(shares=shares, limits=tuple(limits), half_life=1e9)
    state = State(policy)
    half = len(queues) // 2
    use: Counter[tuple[str, ...]] = Counter()
    for group, owner, cores in running:
        state.shares.run(Person("x", group, owner), cores, NOW)
        use.update(dict.fromkeys(Person("x", group, owner).path, cores))
    places = [("a", 0), ("b", 1), ("c", 2), ("a", 3), ("b", 3)]
    variants = [replace(each, site=site, processors=free, node_processors=free) for each in offers
                for site, free in places]  # fmt: skip
    for number, offer in enumerate(variants):
        here = queues[:half] if number < 5 else queues
        for queue in here:
            if state.entry(queue.id) is None:
                state.put(queue, 1, NOW)
        expected = best(here, offer, policy, use)
        decision = choose(state, offer, NOW, seed)
        assert decision.queue in (expected or [None])
        if expected:
            assert decision.queue == sorted(expected, key=lambda queue: queue.id)[seed % len(expected)]


@given(QUEUES, OFFERS, st.integers(0, 2**32 - 1), st.randoms())
def test_the_same_state_offer_and_seed_give_the_same_decision_in_any_order(
    queues: list[Queue], offer: Offer, seed: int, shuffling: Random
) -> None:
    def decided() -> Decision:
        state = State()
        for queue in queues:
            state.put(queue, 1, NOW)
        return choose(state, offer, NOW, seed)

    first = decided()
    shuffling.shuffle(queues)
    assert decided() == first


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["add", "take", "empty", "choose"]), QUEUES, OFFERS), max_size=12))
def test_a_state_with_a_history_decides_like_a_fresh_one(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, list[Queue], Offer]]
) -> None:
    """Also where the numbers of queues that are forgotten are used again."""
    monkeypatch.setattr(match_state, "MOST_EMPTY", 1)
    state, waiting = State(), {}
    for what, queues, offer in steps:
        for queue in queues:
            known = state.entry(queue.id)
            if known and (known.queue.vo, known.queue.group, known.queue.owner, known.queue.requirements) != (
                queue.vo, queue.group, queue.owner, queue.requirements
            ):  # fmt: skip
                continue  # a queue's id stands for what it asks for
            if what == "add":
                state.more(queue, NOW)
                waiting[queue.id] = state.entry(queue.id).queue  # type: ignore[union-attr]
            elif what == "empty":
                state.empty(queue.id)
                waiting.pop(queue.id, None)
        fresh = State()
        for queue in waiting.values():
            fresh.put(queue, 1, NOW)
        assert choose(state, offer, NOW, 7).queue == choose(fresh, offer, NOW, 7).queue


@given(st.sets(st.integers(0, 10**6), min_size=3, max_size=9), st.integers(0, 2**32 - 1))
def test_of_very_many_queues_one_is_drawn_from_the_next_sector_that_has_any(numbers: set[int], seed: int) -> None:
    index = queue_index.Index()
    queues = [Queue(str(number), "x", "o", "g", Requirements()) for number in numbers]
    entries = [index.add(queue, None) for queue in queues]

    def distance(queue: Queue) -> int:
        return (queue_index.sector(queue) - seed) % queue_index.SECTORS

    nearest = min(map(distance, queues))
    expected = sorted(queue.id for queue in queues if distance(queue) == nearest)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(queue_index, "MANY", 2)
        drawn = index.drawn(index.all, seed)
    assert drawn.queue.id == expected[seed // queue_index.SECTORS % len(expected)]
    assert drawn in entries


def test_little_memory_is_not_memory_that_is_not_known() -> None:
    state = State()
    for size in (0, 2000):
        state.put(Queue(str(size), "x", "o", "g", Requirements(min_ram_mb=size)), 1, NOW)
    offers = [Offer(UUID(int=1), "p1", "x", memory_mb=size) for size in (0, 1000)]
    assert [choose(state, offer, NOW, 1).considered for offer in offers] == [2, 1]


def test_every_queue_of_the_best_priority_gets_its_turn() -> None:
    state = State()
    for n in range(3):
        state.put(Queue(str(n), "x", "o", "g", Requirements(), 5), 1, NOW)
    chosen = [choose(state, Offer(UUID(int=1), "p1", "x"), NOW, seed).queue for seed in range(300)]
    assert {queue.id for queue in chosen if queue} == {"0", "1", "2"}


class Farm:
    """Simulated time: slots that ask again whenever their job ends."""

    def __init__(self, policy: MatchPolicy, pilots: int, processors: int = 1) -> None:
        self.state = State(policy)
        self.free = {f"p{n}": processors for n in range(pilots)}
        self.processors = processors
        self.ends: list[tuple[float, int, str, int, Queue]] = []
        self.used: Counter[Person] = Counter()
        self.given: Counter[str] = Counter()
        self.numbers = count(1)
        self.random = Random(1)
        self.now = 0.0

    def want(self, vo: str, group: str, owner: str, jobs: int, **wanted: object) -> Queue:
        requirements = Requirements(**wanted)  # type: ignore[arg-type]
        queue = Queue(requirements.queue(vo, group, owner), vo, owner, group, requirements)
        self.state.put(queue, jobs, self.now)
        return queue

    def run(self, until: float, lasting: float) -> None:
        """Jobs last about so long."""
        for pilot in self.free:
            self._ask(pilot, lasting)
        while self.ends and self.ends[0][0] <= until:
            self.now, job, pilot, cores, _ = heappop(self.ends)
            taken = self.state.release(job, self.now)
            assert taken
            self.free[pilot] += cores
            self._ask(pilot, lasting)
        self.now = until

    def _ask(self, pilot: str, lasting: float) -> None:
        while self.free[pilot]:
            offer = Offer(uuid4(), pilot, "", processors=self.free[pilot], node_processors=self.processors)
            decision = choose(self.state, offer, self.now, self.random.getrandbits(32))
            if decision.held_for:
                self.state.reserve(decision, offer, self.now)
            if decision.queue is None:
                return
            job, taken = next(self.numbers), self.state.take(decision, offer, self.now)
            self.state.hold(job, taken)
            self.free[pilot] -= taken.processors
            self.given[decision.queue.id] += 1
            length = lasting * self.random.uniform(0.5, 1.5)
            self.used[taken.person] += taken.processors * length
            heappush(self.ends, (self.now + length, job, pilot, taken.processors, decision.queue))


@pytest.mark.parametrize("lasting", [60.0, 900.0])
def test_an_hour_of_contention_gives_everybody_their_share_within_five_percent(lasting: float) -> None:
    shares = {"x": 3.0, "y": 1.0, "x/prod": 2.0, "x/user": 1.0, "x/user/bob": 3.0}
    farm = Farm(MatchPolicy(shares=shares), 200)
    expected = {("x", "prod", "ann"): 1 / 2, ("x", "user", "bob"): 3 / 16, ("x", "user", "eve"): 1 / 16,
                ("y", "user", "joe"): 1 / 4}  # fmt: skip
    for vo, group, owner in expected:
        for site in range(5):  # more queues are no advantage
            farm.want(vo, group, owner, 10**6, banned_sites=(f"s{site}",) if owner == "ann" else ())
    farm.run(3600, lasting)
    total = sum(farm.used.values())
    got = {tuple(who): use / total for who, use in farm.used.items()}
    assert got == pytest.approx(expected, rel=0.05)


def test_the_job_shares_of_groups_in_the_configuration_decide_who_gets_what() -> None:
    groups = {
        name: {"properties": ["NormalUser"], "job_share": share} for name, share in (("prod", 3000), ("user", 1000))
    }
    configuration = read({"registry": {"lhcb": {"default_group": "user", "groups": groups}}})
    farm = Farm(policy_of(configuration), 100)
    queues = [farm.want("lhcb", group, "ann", 10**6) for group in groups]
    farm.run(3600, 300.0)
    given = [farm.given[queue.id] for queue in queues]
    assert given[0] / given[1] == pytest.approx(3, rel=0.05)


def test_who_used_more_yesterday_waits_today_and_is_forgiven_later() -> None:
    shares = Shares(half_life=100.0, horizon=0.0)
    ann, bob = Person("x", "g", "ann"), Person("x", "g", "bob")
    shares.charge(ann, 1000, 0.0)
    assert shares.used(ann.path[2], 100.0) == pytest.approx(500)
    shares.run(bob, 2, 100.0)
    assert shares.used(bob.path[2], 100.0) == pytest.approx(0, abs=1e-9)
    assert shares.used(bob.path[2], 10**4) == pytest.approx(2 / shares.rate)
    assert shares.used(ann.path[2], 10**6) == pytest.approx(0, abs=1e-9)
    shares.run(bob, -2, 10**6)
    assert shares.used(bob.path[2], 10**6 + 100) == pytest.approx(1 / shares.rate)


def test_jobs_of_eight_cores_do_not_starve_among_jobs_of_one() -> None:
    farm = Farm(MatchPolicy(), 20, processors=8)
    small = farm.want("x", "g", "ann", 10**6)
    farm.run(3600, 1800)
    wide = farm.want("x", "g", "bob", 40, min_processors=8, max_processors=8)
    farm.run(12 * 3600, 1800)
    assert farm.given[wide.id] == 40 - max(farm.state.entry(wide.id).waiting, 0)  # type: ignore[union-attr]
    assert farm.given[wide.id] >= 20
    assert farm.given[small.id] > 0


def test_without_reservation_they_would_starve() -> None:
    farm = Farm(MatchPolicy(reservations=0), 20, processors=8)
    farm.want("x", "g", "ann", 10**6)
    farm.run(3600, 1800)
    wide = farm.want("x", "g", "bob", 40, min_processors=8, max_processors=8)
    farm.run(12 * 3600, 1800)
    assert farm.given[wide.id] < 5


def test_jobs_of_somebody_who_has_none_waiting_end_between_two_choices() -> None:
    state, offer = State(), Offer(uuid4(), "p1", "x")
    for owner in ("ann", "bob"):
        state.put(Queue(owner, "x", owner, "g", Requirements()), 9, NOW)
    gone = Queue("q", "x", "eve", "g", Requirements())
    state.hold(1, Taken(gone, {"site": "", "ce": "", "platform": ""}, 1))
    first = choose(state, offer, NOW, 0)
    state.take(first, offer, NOW)
    state.release(1, NOW)
    second = choose(state, offer, NOW, 0)
    assert {first.queue and first.queue.owner, second.queue and second.queue.owner} == {"ann", "bob"}


def test_a_limit_on_a_combination_stops_only_what_it_covers_and_opens_when_a_job_ends() -> None:
    limit = RunningLimit(name="few", most=2, site="a", job_type="User", each=("owner",))
    state = State(MatchPolicy(limits=(limit,)))
    state.put(Queue("q", "x", "ann", "g", Requirements()), 9, NOW)
    state.put(Queue("r", "x", "bob", "g", Requirements()), 1, NOW)
    here, there = (Offer(uuid4(), "p1", "x", site) for site in "ab")
    got = []
    for job in (1, 2, 3):
        decision = choose(state, here, NOW, 0)
        got.append(decision.queue.owner if decision.queue else "")
        state.hold(job, state.take(decision, here, NOW))
    assert sorted(got) == ["ann", "ann", "bob"]
    stopped = choose(state, here, NOW, 0)
    assert (stopped.queue, stopped.blocked, stopped.again) == (None, {Obstacle.RUNNING_LIMIT: 1}, 0.0)
    assert choose(state, there, NOW, 0).queue is not None
    state.release(got.index("ann") + 1, NOW)
    assert choose(state, here, NOW, 0).queue is not None
    state.govern(MatchPolicy(limits=(replace(limit, most=1),)))
    assert choose(state, here, NOW, 0).queue is None


def test_a_delay_lets_a_burst_pass_then_one_at_a_time_and_says_when() -> None:
    state = State(MatchPolicy(delays=(MatchingDelay(name="slow", seconds=10, burst=2, site="a"),)))
    state.put(Queue("q", "x", "ann", "g", Requirements()), 9, NOW)
    offer = Offer(uuid4(), "p1", "x", "a")

    def matched(now: float) -> bool:
        decision = choose(state, offer, now, 0)
        if decision.queue:
            state.take(decision, offer, now)
        return decision.queue is not None

    assert [matched(NOW), matched(NOW), matched(NOW)] == [True, True, False]
    assert choose(state, offer, NOW + 4, 0).again == pytest.approx(NOW + 10)
    assert [matched(NOW + 9), matched(NOW + 10), matched(NOW + 11)] == [False, True, False]
    taken = state.take(choose(state, offer, NOW + 20, 0), offer, NOW + 20)
    state.undo(taken, NOW + 20)
    assert matched(NOW + 20)


def test_a_match_that_did_not_come_about_leaves_no_trace() -> None:
    state = State(MatchPolicy(limits=(RunningLimit(name="one", most=1),)))
    state.put(Queue("q", "x", "ann", "g", Requirements()), 1, NOW)
    offer = Offer(uuid4(), "p1", "x")
    decision = choose(state, offer, NOW, 0)
    taken = state.take(decision, offer, NOW)
    assert choose(state, offer, NOW, 0).queue is None
    state.undo(taken, NOW)
    assert choose(state, offer, NOW, 0) == decision
    assert state.shares.used(("x",), NOW + 100) == pytest.approx(0, abs=1e-6)
