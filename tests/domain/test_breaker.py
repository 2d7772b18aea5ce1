"""Places at which everything fails are found at a price of a few jobs; users whose every job is broken ban nobody."""

from heapq import heapify, heappop, heappush
from random import Random
from uuid import UUID

from domain.breaker import AT_ONCE, BURST, OTHERS, PAUSE, Breaker, Trip
from domain.matching import Offer
from domain.shares import Person

ANN, BOB = Person("x", "g", "ann"), Person("x", "g", "bob")


def offer(pilot: str, host: str) -> Offer:
    return Offer(UUID(int=1), pilot, "x", "site", host=host)


def campaign(jobs: int, bad: set[str], pilots_per_node: int = 1, broken: bool = False) -> tuple[int, list[Trip]]:
    """Fifty nodes, jobs of some minutes; at bad nodes they fail within a second. Jobs lost, and bans."""
    breaker, random, trips, lost = Breaker(), Random(1), [], 0
    asking = [(random.random(), f"p{n}-{m}", f"n{n}", 0.0) for n in range(50) for m in range(pilots_per_node)]
    heapify(asking)
    while jobs and asking:
        now, pilot, host, began = heappop(asking)
        fails = broken or host in bad
        if began and fails:
            trips += breaker.failed(ANN, pilot, "site", host, began, now)
            lost += 1
        elif began:
            breaker.lived(pilot, "site", host)
        if breaker.allows(offer(pilot, host), now):
            jobs -= 1
            breaker.began(ANN, pilot, "site", host, now)
            heappush(asking, (now + (1 if fails else random.uniform(300, 900)), pilot, host, now))
        else:
            heappush(asking, (now + 50, pilot, host, 0.0))
    return lost, trips


def test_one_bad_pilot_in_fifty_costs_at_most_five_of_five_thousand_jobs_and_is_named() -> None:
    lost, trips = campaign(5000, {"n7"})
    assert lost <= 5 + len(trips) - 1  # each ban over, one job finds out that nothing is better
    assert {(trip.kind, trip.name) for trip in trips} == {("pilot", "p7-0")}
    assert trips[0].failures == 3


def test_a_node_with_several_pilots_is_banned_as_a_node() -> None:
    lost, trips = campaign(5000, {"n7"}, pilots_per_node=3)
    assert ("node", "site/n7") in {(trip.kind, trip.name) for trip in trips}
    assert lost <= 5 + len(trips)


def test_a_user_whose_every_job_is_broken_bans_nobody() -> None:
    lost, trips = campaign(2000, set(), broken=True)
    assert (lost > 1900, trips) == (True, [])


def test_a_suspect_that_lets_a_job_live_is_free_again_and_one_that_fails_after_a_ban_is_banned_for_longer() -> None:
    breaker = Breaker()
    for n in range(5):
        breaker.began(ANN, f"p{n}", "site", "", 0.0)
    began = 0.0
    trips = []
    for _ in range(3):
        breaker.began(ANN, "bad", "site", "", began)
        trips += breaker.failed(ANN, "bad", "site", "", began, began + 1)
        began += 2
    assert [trip.until - 5 for trip in trips] == [PAUSE]
    bad = Offer(UUID(int=1), "bad", "x", "site")
    assert not breaker.allows(bad, 10.0)
    later = 10 + PAUSE
    assert breaker.allows(bad, later)
    breaker.began(ANN, "bad", "site", "", later)
    assert not breaker.allows(bad, later)  # one at a time
    (again,) = breaker.failed(ANN, "bad", "site", "", later, later + 1)
    assert again.until - later - 1 == 2 * PAUSE
    much_later = again.until + 1
    breaker.began(ANN, "bad", "site", "", much_later)
    assert breaker.allows(bad, much_later + AT_ONCE + 1)  # it lives


def test_a_new_node_with_many_slots_gets_few_jobs_until_one_has_lived_where_others_are_known_to_be_good() -> None:
    breaker = Breaker()

    def burst(host: str, now: float) -> int:
        given = 0
        while given < 64 and breaker.allows(offer(f"p{given}", host), now):
            breaker.began(ANN, f"p{given}", "site", host, now)
            given += 1
        return given

    assert burst("laptop", 0.0) == 64  # nothing to compare with
    for n in range(OTHERS):
        breaker.began(ANN, f"p{n}", "site", f"n{n}", 0.0)
        breaker.lived(f"p{n}", "site", f"n{n}")
    assert burst("good", 1.0) == BURST
    assert burst("good", 2.0) == 0
    assert burst("good", 2.0 + AT_ONCE) == 64  # they live
    assert burst("bad", 1.0) == BURST
    for n in range(BURST):
        breaker.failed(ANN, f"p{n}", "site", "bad", 1.0, 2.0)
    assert burst("bad", 3.0) == 0
    breaker.forgive("site/bad")
    assert burst("bad", 4.0) == BURST


def test_failures_after_a_while_are_no_sign_of_a_bad_place() -> None:
    breaker = Breaker()
    for n in range(9):
        breaker.began(BOB, "p1" if n % 2 else "p2", "site", "", 0.0)
    assert breaker.failed(BOB, "p1", "site", "", 0.0, AT_ONCE + 1) == []
    assert breaker.allows(Offer(UUID(int=1), "p1", "x", "site"), AT_ONCE + 1)
