"""A status that was set for a while ends in time."""

from collections.abc import Iterator

from domain.messages import Later, Recorded
from domain.resource import ExpireResourceStatus, Resource
from handlers.policy import Policy

policy = Policy("resource-terms", log="resources")


@policy
def end_in_time(event: Recorded[Resource.StatusSet]) -> Iterator[Later]:
    facts = event.event
    end = ExpireResourceStatus(facts.scope, facts.kind, facts.name, facts.access, facts.round)
    yield Later(event.stream, f"until-{facts.access}", end if facts.until else None, facts.until)
