"""How slowly doubtful places get jobs."""

from domain.doubts import ELSEWHERE, LONGEST, PAUSE, PROBES, SHORT, Doubts
from domain.resource import Access, ResourceKind, ResourceStatus
from domain.usable import Standing


def test_a_pilot_pauses_longer_with_each_failure_at_once() -> None:
    doubts, now = Doubts(), 100.0
    for pause in (PAUSE, 2 * PAUSE, 4 * PAUSE, LONGEST):
        until = doubts.failed("lhcb", "p1", 0.1, now)
        assert until - now == min(pause, LONGEST)
        assert doubts.paused("lhcb", "p1", until - 0.01)
        assert not doubts.paused("lhcb", "p1", until)
        assert not doubts.paused("lhcb", "p2", now)
        now = until


def test_one_job_that_goes_well_ends_the_doubts() -> None:
    doubts = Doubts()
    doubts.failed("lhcb", "p1", 0.1, 0.0)
    doubts.worked("lhcb", "p1")
    assert not doubts.paused("lhcb", "p1", 0.0)
    assert doubts.failed("lhcb", "p1", 0.1, 0.0) == PAUSE


def test_a_job_that_ran_before_it_failed_says_nothing_of_the_place() -> None:
    doubts = Doubts()
    assert doubts.failed("lhcb", "p1", SHORT, 0.0) == 0.0
    assert not doubts.paused("lhcb", "p1", 0.0)


def test_a_place_on_probation_gets_one_job_and_then_waits() -> None:
    doubts = Doubts()
    for kind in ResourceKind:
        place = Standing("lhcb", kind, "x", Access.ALL, ResourceStatus.PROBING)
        assert doubts.next_probe(place, 5.0) == 5.0
        doubts.probed(place, 5.0)
        assert doubts.next_probe(place, 6.0) == 5.0 + PROBES.get(kind, ELSEWHERE)
