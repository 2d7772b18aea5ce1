"""Jobs are checked before they wait: what the checks of the core say, and how a chain goes."""

from collections.abc import Iterator
from typing import Any

from scenario import recorded

from domain.job import CheckJob, FreeJob, HoldJob, Job, QueueJob, RejectJob
from domain.messages import Command, Recorded
from domain.requirements import Requirements
from domain.resource import PART, UNUSABLE, Access, Resource, ResourceKind, ResourceStatus, SweepFreed
from domain.values import job_stream
from handlers import scheduling, usable_sites
from handlers.checks import Check, Submitted, check
from handlers.policy import Policy, Rows

ON = [CheckJob(42), QueueJob(42)]


def submitted(*sites: str, name: str = "x") -> Recorded[Any]:
    event = Job.Submitted(42, "ann", "Ann", "user", "digest", Requirements(sites=sites), name)
    return recorded(event, job_stream(42))


def chain(*checks: Check) -> Policy:
    return scheduling.policy.bound(checks)


def closed(*names: str) -> dict[str, Rows]:
    return {"unusable_sites": [{"name": name, "status": "Banned", "reason": "cooling"} for name in names]}


@check(lambda event: event.event.name == "bad")
def no_bad_names(event: Submitted, strangers: Rows) -> Iterator[Command]:
    yield RejectJob(42, "bad-name", str(len(strangers)))


def test_a_job_that_asks_for_no_site_is_not_looked_at() -> None:
    policy = chain(usable_sites.usable_sites)
    assert policy.lookups(submitted()) == set()
    assert list(policy.react(submitted(), {})) == ON


def test_a_job_of_whose_sites_one_may_be_used_goes_on() -> None:
    policy = chain(usable_sites.usable_sites)
    assert policy.lookups(submitted("A", "B")) == {"unusable_sites"}
    assert list(policy.react(submitted("A", "B"), closed("B"))) == ON


def test_a_job_of_whose_sites_none_may_be_used_is_held_with_the_reasons() -> None:
    held = HoldJob(42, UNUSABLE, "A is Banned: cooling; B is Banned: cooling")
    assert list(chain(usable_sites.usable_sites).react(submitted("A", "B"), closed("A", "B"))) == [held, *ON]


def test_a_rejected_job_goes_no_further() -> None:
    policy = chain(no_bad_names, usable_sites.usable_sites)
    found = closed("A") | {"strangers": [{"name": "x"}]}
    assert list(policy.react(submitted("A", name="bad"), found)) == [RejectJob(42, "bad-name", "1")]
    assert policy.wanted == {"strangers", "unusable_sites"}


def test_one_chain_does_not_change_another() -> None:
    assert chain(no_bad_names).wanted == {"strangers"}
    assert scheduling.policy.wanted == frozenset()


def test_what_waited_for_a_site_is_freed_a_part_at_a_time() -> None:
    place = ("lhcb", ResourceKind.SITE, "A")
    allowed = Resource.StatusSet(*place, Access.ALL, ResourceStatus.ACTIVE, ResourceStatus.BANNED, "cold", 2, "ann")
    react, found = usable_sites.policy.react, {"vos_with_inputs": list[Any](), "requests_waiting_for": []}
    few = found | {"held_for_site": [{"job": n} for n in range(1, 4)]}
    assert list(react(recorded(allowed), few)) == [FreeJob(n, UNUSABLE) for n in range(1, 4)]
    many = found | {"held_for_site": [{"job": n} for n in range(1, PART + 1)]}
    assert list(react(recorded(allowed), many))[-1] == SweepFreed(*place, PART)
