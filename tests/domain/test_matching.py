"""What keeps a queue and an offer apart: every rule, against an oracle that shares nothing with the code."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from matching_cases import NAMES, OFFERS, WANTED, allowed
from msgspec.structs import replace

from domain.market import Market
from domain.match_state import State
from domain.matching import Obstacle, Offer, Queue, Refusing, fits, granted, obstacles
from domain.requirements import SEGMENTS, Requirements, segment
from domain.why import explain


@given(st.builds(Queue, st.just("q"), st.sampled_from(["x", "y"]), NAMES, NAMES, WANTED), OFFERS)
def test_what_does_not_fit_says_what_was_wanted_and_what_was_there(queue: Queue, offer: Offer) -> None:
    found = list(obstacles(queue.requirements, queue.vo, offer, queue.owner, queue.group))
    assert bool(found) is not allowed(queue, offer)
    assert len({blocked.obstacle for blocked in found}) == len(found)
    assert all(blocked.wanted for blocked in found)
    persons = {Obstacle.VO, Obstacle.OWNER, Obstacle.GROUP}
    assert fits(queue.requirements, offer) is not bool({blocked.obstacle for blocked in found} - persons)


@given(st.builds(Queue, st.just("q"), st.sampled_from(["x", "y"]), NAMES, NAMES, WANTED), st.lists(OFFERS, max_size=9))
def test_why_counts_what_keeps_each_of_many_offers_away(queue: Queue, offers: list[Offer]) -> None:
    """Ours, and those that are gone again; how many fail on each obstacle, how many on it alone, how many fit."""
    market = Market()
    for number, offer in enumerate(offers):
        market.offered(replace(offer, pilot=f"p{number}"), 1.0)
    for number in range(0, len(offers), 3):
        market.gone(offers[number].vo, f"p{number}")
    ours = [offer for number, offer in enumerate(offers) if number % 3 and offer.vo in ("", queue.vo)]
    found = [list(obstacles(queue.requirements, queue.vo, offer, queue.owner, queue.group)) for offer in ours]
    count = Counter(blocked.obstacle.value for each in found for blocked in each)
    alone = Counter(each[0].obstacle.value for each in found if len(each) == 1)
    said = explain(State(), market, queue, 2.0)
    assert (said.slots, said.fitting, said.open) == (len(ours), found.count([]), found.count([]))
    assert {each.code: (each.pilots, each.alone) for each in said.reasons} == {
        code: (n, alone[code]) for code, n in count.items()
    }


def test_every_obstacle_of_requirements_can_stand_in_the_way_alone() -> None:
    offer = Offer(UUID(int=1), "p1", "x", "here", "ce", "el9", 2, 2000, 0, 100, 0, ("gpu",), node_processors=4)
    alone = {
        Obstacle.VO: ("y", Requirements(cpu_time=1)),
        Obstacle.SITE: ("x", Requirements(cpu_time=1, sites=("there",))),
        Obstacle.SITE_BANNED: ("x", Requirements(cpu_time=1, banned_sites=("here",))),
        Obstacle.CE: ("x", Requirements(cpu_time=1, ces=("other",))),
        Obstacle.PLATFORM: ("x", Requirements(cpu_time=1, platforms=("el10",))),
        Obstacle.TAG: ("x", Requirements(cpu_time=1, tags=("avx", "gpu"))),
        Obstacle.PROCESSORS: ("x", Requirements(cpu_time=1, min_processors=4)),
        Obstacle.WHOLE_NODE: ("x", Requirements(cpu_time=1, whole_node=True)),
        Obstacle.MEMORY: ("x", Requirements(cpu_time=1, min_ram_mb=4000)),
        Obstacle.CPU_TIME: ("x", Requirements(cpu_time=360)),
        Obstacle.GPU: ("x", Requirements(cpu_time=1, gpus=1)),
    }
    found = {
        name: [blocked.obstacle for blocked in obstacles(wanted, vo, offer)] for name, (vo, wanted) in alone.items()
    }
    assert found == {name: [name] for name in alone}


PLAIN = Requirements(cpu_time=1)


def test_a_private_or_choosy_resource_says_so() -> None:
    def apart(wanted: Requirements = PLAIN, **more: object) -> list[Obstacle]:
        offer = Offer(UUID(int=1), "p1", "x", **more)  # type: ignore[arg-type]
        return [blocked.obstacle for blocked in obstacles(wanted, "x", offer, "ann", "g")]

    assert apart(owner="bob") == [Obstacle.OWNER]
    assert apart(groups=("h",)) == [Obstacle.GROUP]
    assert apart(job_types=("Test",)) == [Obstacle.JOB_TYPE]
    assert apart(tags=("gpu",), required_tags=("gpu",)) == [Obstacle.REQUIRED_TAG]
    assert apart(refuses=Refusing(owners=("ann",))) == [Obstacle.OWNER]
    assert apart(refuses=Refusing(groups=("g",))) == [Obstacle.GROUP]
    assert apart(refuses=Refusing(job_types=("User",))) == [Obstacle.REFUSED]
    assert apart(owner="ann", groups=("g",), refuses=Refusing(tags=("gpu",))) == []
    assert apart(Requirements(cpu_time=1, platforms=("el8",)), platform="el9", runs=("el8", "el9")) == []


def test_a_job_gets_as_many_processors_as_it_can_use_and_a_whole_node_all_of_them() -> None:
    assert granted(Requirements(), 8) == 1
    assert granted(Requirements(min_processors=2, max_processors=4), 8) == 4
    assert granted(Requirements(min_processors=2, max_processors=4), 3) == 3
    assert granted(Requirements(min_processors=4, max_processors=4), 8) == 4
    assert granted(Requirements(min_processors=2, max_processors=0), 8) == 8
    assert granted(Requirements(whole_node=True), 8) == 8


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
