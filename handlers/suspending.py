"""A suspension takes effect: it ends when its time has come."""

from collections.abc import Iterator

from domain.messages import Later, Recorded
from domain.suspension import Resume, Suspension
from handlers.policy import Policy

policy = Policy("suspending", log="identity")


@policy
def end_in_time(event: Recorded[Suspension.Suspended]) -> Iterator[Later]:
    facts = event.event
    end = Resume(event.vo, facts.kind, facts.name, "its time is over", facts.round) if facts.until else None
    yield Later(event.stream, "until", end, facts.until)


@policy
def nothing_to_end(event: Recorded[Suspension.Resumed]) -> Iterator[Later]:
    yield Later(event.stream, "until")
