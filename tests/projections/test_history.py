"""Every event has a sentence; what waits has its reasons."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from domain.job import Job
from domain.matching import Offer, Queue
from domain.messages import Event, Recorded
from domain.pilot import Pilot
from domain.requirements import Requirements
from domain.resource import Access, Resource, ResourceKind, ResourceStatus
from domain.values import job_stream, pilot_stream
from projections.failures import FAILURES, failure
from projections.history import SECRET, SENTENCES, around, lines, sentence
from projections.waiting import compared, rivals

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVERY = [*Job.events().values(), *Pilot.events().values(), *Resource.events().values()]
SAMPLES: dict[Any, Any] = {
    int: 3, str: "word", float: 1.5, UUID: UUID(int=7), Requirements: Requirements(), dict: {"a": 1}, bool: True,
    tuple: ("word",), ResourceKind: ResourceKind.SITE,
    ResourceStatus: ResourceStatus.BANNED, Access: Access.READ,
}  # fmt: skip


def sample(kind: type[Event]) -> Event:
    """An event of this kind with something in every field that has no default."""
    given = {}
    for each in msgspec.structs.fields(kind):
        if each.required:
            given[each.name] = SAMPLES[getattr(each.type, "__origin__", each.type)]
    return kind(**given)


def recorded(event: Event, version: int = 1, at: datetime = AT, stream: UUID | None = None, **more: Any) -> Any:
    fields = {"actor": "user:s1", "cause": None, "correlation": None} | more
    return Recorded(version, stream or job_stream(1), version, event, uuid4(), vo="lhcb", at=at, **fields)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.TOPIC)
def test_every_event_has_a_sentence_of_its_own(kind: type[Event]) -> None:
    assert kind in SENTENCES
    line = sentence(recorded(sample(kind)), {"s1": "Ann"})
    assert (line.at, line.actor, line.topic) == (AT, "Ann", kind.TOPIC)
    assert line.what
    assert line.because
    assert "{" not in line.what
    assert not SECRET & line.fields.keys()


def test_the_cause_is_named_where_it_is_known() -> None:
    lost = recorded(Pilot.Lost("p1", 1), actor="timer", stream=pilot_stream("lhcb", "p1"))
    failed = recorded(Job.Failed(1, "pilot-lost"), 2, AT + timedelta(1), actor="policy:lost-pilots", cause=lost.id)
    told = lines([failed, lost], {})
    assert [line.because for line in told] == ["a time limit", "policy lost-pilots, after pilot lost"]
    assert told[1].what == "attempt 1 failed: its pilot went silent"


def test_a_clock_that_is_behind_does_not_turn_a_history_round() -> None:
    first = recorded(Job.Checked(), 1, AT)
    second = recorded(Job.Deleted(), 2, AT - timedelta(seconds=3))
    other = recorded(Pilot.Lost("p1"), 1, AT - timedelta(seconds=1), stream=pilot_stream("lhcb", "p1"))
    assert [line.topic for line in lines([second, first, other], {})] == ["pilot.lost", "job.checked", "job.deleted"]


def test_only_the_time_of_a_job_is_told_of_its_pilot() -> None:
    history = [recorded(Pilot.Lost(str(n)), n, AT + timedelta(minutes=n)) for n in range(1, 9)]
    told = around(history, AT + timedelta(minutes=4), AT + timedelta(minutes=6))
    assert [event.version for event in told] == [3, 4, 5, 6]
    assert [event.version for event in around(history, AT, None)] == list(range(1, 9))


def test_every_failure_says_who_must_act_and_what_next() -> None:
    for code in [*FAILURES, "never-heard-of"]:
        what, _, next_ = failure(code, job=7, exit_code=3)
        assert "{" not in what + next_


def offers(*given: Offer) -> list[tuple[Offer, datetime]]:
    return [(offer, AT) for offer in given]


def test_obstacles_are_counted_over_all_pilots() -> None:
    wanted = Requirements(sites=("A",), tags=("gpu",))
    seen = compared(wanted, "lhcb", offers(
        Offer(uuid4(), "p1", "lhcb", "B"), Offer(uuid4(), "p2", "lhcb", "C"), Offer(uuid4(), "p3", "lhcb", "B"),
        Offer(uuid4(), "p4", "lhcb", "A", tags=("gpu",)), Offer(uuid4(), "p5", "lhcb", "A"),
    ))  # fmt: skip
    assert (seen.pilots, seen.fitting, seen.last_offer) == (5, ("p4",), AT)
    assert [(each.code.value, each.offered, each.pilots) for each in seen.reasons] == [
        ("tag", "no tags", 4),
        ("site", "B", 3),
    ]
    nobody = compared(wanted, "lhcb", [])
    assert (nobody.pilots, nobody.reasons, nobody.last_offer) == (0, [], None)


def test_rivals_are_better_queues_that_the_same_pilots_serve() -> None:
    everywhere, elsewhere = Requirements(), Requirements(sites=("X",))
    queues = [
        Queue("own", "lhcb", "ann", "g", everywhere, 9),
        Queue("better", "lhcb", "bob", "g", everywhere, 5),
        Queue("equal", "lhcb", "bob", "g", everywhere, 1),
        Queue("elsewhere", "lhcb", "bob", "g", elsewhere, 5),
        Queue("foreign", "belle", "bob", "g", everywhere, 5),
    ]
    assert rivals(queues, "own", 1, [Offer(uuid4(), "p1", "lhcb", "A")]) == ["better"]
