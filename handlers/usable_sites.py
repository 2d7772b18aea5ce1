"""A job that asks for certain sites is held while none of them may be used, and freed as soon as one may be again."""

from collections.abc import Iterator

from domain.job import FreeJob, HoldJob
from domain.messages import Command, Recorded
from domain.resource import PART, UNUSABLE, Resource, SweepFreed
from domain.values import job_number
from handlers.checks import Submitted, check
from handlers.policy import Policy, Rows

policy = Policy("usable-sites", log="resources")


@check(lambda event: bool(event.event.requirements.sites))
def usable_sites(event: Submitted, unusable_sites: Rows) -> Iterator[Command]:
    wanted, told = event.event.requirements.sites, {row["name"]: row for row in unusable_sites}
    if told.keys() >= set(wanted):
        said = (f"{name} is {told[name]['status']}: {told[name]['reason']}" for name in wanted)
        yield HoldJob(job_number(event.stream), UNUSABLE, "; ".join(said))


@policy
def free_what_waited_for_it(
    event: Recorded[Resource.StatusSet | Resource.StatusExpired | Resource.Swept], held_for_site: Rows
) -> Iterator[Command]:
    """A part at a time: each asks for the next one."""
    for row in held_for_site:
        yield FreeJob(row["job"], UNUSABLE)
    if len(held_for_site) == PART:
        facts = event.event
        yield SweepFreed(facts.scope, facts.kind, facts.name, held_for_site[-1]["job"])
