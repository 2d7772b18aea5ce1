"""The choice of a queue, compared with an oracle that is too slow to be wrong."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.matching import Obstacle, Offer, Queue, choose, obstacles
from domain.requirements import SEGMENTS, Requirements, segment

NAMES = st.sampled_from(["a", "b", "c"])
SOME = st.lists(NAMES, max_size=2, unique=True).map(lambda names: tuple(sorted(names)))
SIZE = st.integers(0, 3)
WANTED = st.builds(
    Requirements, cpu_time=SIZE, sites=SOME, banned_sites=SOME, platforms=SOME, tags=SOME, ces=SOME,
    min_processors=SIZE, gpus=SIZE, min_ram_mb=SIZE,
)  # fmt: skip
OFFERS = st.builds(
    Offer, offer=st.just(UUID(int=1)), pilot=st.just("p1"), vo=st.sampled_from(["", "x", "y"]), site=NAMES, ce=NAMES,
    platform=NAMES, processors=SIZE, memory_mb=SIZE, cpu_seconds=SIZE, gpus=SIZE, tags=SOME,
)  # fmt: skip
QUEUES = st.lists(
    st.builds(
        Queue, id=st.text("0123", min_size=3, max_size=3), vo=st.sampled_from(["x", "y"]), owner=st.just("o"),
        group=st.just("g"), requirements=WANTED, priority=SIZE,
    ),
    max_size=8, unique_by=lambda queue: queue.id,
)  # fmt: skip


def fits(queue: Queue, offer: Offer) -> bool:
    """The oracle: every rule as one sentence, nothing shared with the code."""
    wanted = queue.requirements
    return all([
        offer.vo in ("", queue.vo),
        offer.site in (wanted.sites or (offer.site,)),
        offer.site not in wanted.banned_sites,
        offer.ce in (wanted.ces or (offer.ce,)),
        offer.platform in (wanted.platforms or (offer.platform,)),
        set(wanted.tags) <= set(offer.tags),
        offer.processors >= wanted.min_processors,
        offer.gpus >= wanted.gpus,
        offer.memory_mb == 0 or offer.memory_mb >= wanted.min_ram_mb,
        offer.cpu_seconds == 0 or offer.cpu_seconds >= wanted.cpu_time,
    ])  # fmt: skip


@given(QUEUES, OFFERS, st.integers(0, 2**32 - 1))
def test_the_choice_is_one_of_the_best_that_fit_and_everything_else_is_counted(
    queues: list[Queue], offer: Offer, seed: int
) -> None:
    fitting = [queue for queue in queues if fits(queue, offer)]
    best = [queue for queue in fitting if queue.priority == max(other.priority for other in fitting)]
    decision = choose(queues, offer, seed)
    assert decision.queue in (best or [None])
    assert decision.considered == len(queues)
    assert sum(decision.blocked.values()) == len(queues) - len(fitting)
    assert set(decision.blocked) <= {obstacle.value for obstacle in Obstacle}


@given(QUEUES, OFFERS, st.integers(0, 2**32 - 1), st.randoms())
def test_the_same_queues_offer_and_seed_give_the_same_decision_in_any_order(
    queues: list[Queue], offer: Offer, seed: int, shuffling: object
) -> None:
    first = choose(queues, offer, seed)
    shuffling.shuffle(queues)  # type: ignore[attr-defined]
    assert choose(queues, offer, seed) == first


@given(WANTED, OFFERS)
def test_what_does_not_fit_says_what_was_wanted_and_what_was_there(wanted: Requirements, offer: Offer) -> None:
    queue = Queue("q", "x", "o", "g", wanted)
    found = list(obstacles(wanted, "x", offer))
    assert bool(found) is not fits(queue, offer)
    assert len({blocked.obstacle for blocked in found}) == len(found)
    assert all(blocked.wanted for blocked in found)


def test_every_candidate_of_the_best_priority_gets_its_turn() -> None:
    queues = [Queue(str(n), "x", "o", "g", Requirements(), 5) for n in range(3)]
    offer = Offer(UUID(int=1), "p1", "x")
    chosen = [choose(queues, offer, seed).queue for seed in range(300)]
    assert {queue.id for queue in chosen if queue} == {"0", "1", "2"}


def test_every_obstacle_can_stand_in_the_way_alone() -> None:
    offer = Offer(UUID(int=1), "p1", "x", "here", "ce", "el9", 2, 2000, 0, 100, 0, ("gpu",))
    alone = {
        Obstacle.VO: ("y", Requirements(cpu_time=1)),
        Obstacle.SITE: ("x", Requirements(cpu_time=1, sites=("there",))),
        Obstacle.SITE_BANNED: ("x", Requirements(cpu_time=1, banned_sites=("here",))),
        Obstacle.CE: ("x", Requirements(cpu_time=1, ces=("other",))),
        Obstacle.PLATFORM: ("x", Requirements(cpu_time=1, platforms=("el10",))),
        Obstacle.TAG: ("x", Requirements(cpu_time=1, tags=("avx", "gpu"))),
        Obstacle.PROCESSORS: ("x", Requirements(cpu_time=1, min_processors=4)),
        Obstacle.MEMORY: ("x", Requirements(cpu_time=1, min_ram_mb=4000)),
        Obstacle.CPU_TIME: ("x", Requirements(cpu_time=360)),
        Obstacle.GPU: ("x", Requirements(cpu_time=1, gpus=1)),
    }
    assert alone.keys() == set(Obstacle)
    found = {
        name: [blocked.obstacle for blocked in obstacles(wanted, vo, offer)] for name, (vo, wanted) in alone.items()
    }
    assert found == {name: [name] for name in alone}


def test_jobs_that_ask_for_the_same_share_a_queue_and_others_do_not() -> None:
    one, same, other = Requirements(sites=("a",)), Requirements(sites=("a",)), Requirements(sites=("b",))
    assert one.queue("x", "g", "o") == same.queue("x", "g", "o")
    different = [
        other.queue("x", "g", "o"),
        one.queue("y", "g", "o"),
        one.queue("x", "h", "o"),
        one.queue("x", "g", "p"),
    ]
    assert len({one.queue("x", "g", "o"), *different}) == 5


@given(st.integers(0, 10**8))
def test_a_cpu_time_is_rounded_up_to_a_segment_or_to_full_days(seconds: int) -> None:
    rounded = segment(seconds)
    assert rounded >= seconds
    assert rounded in SEGMENTS or (rounded % 86400 == 0 and rounded - seconds < 86400)
