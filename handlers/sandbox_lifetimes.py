"""A sandbox lives as long as a job uses it; one that no job ever used is taken away after two weeks."""

from collections.abc import Iterator
from datetime import timedelta

from domain.job import Job
from domain.messages import Command, Later, Recorded
from domain.stored_sandbox import AgeSandbox, DoomSandbox, StoredSandbox
from handlers.policy import Policy, Rows

USED_WITHIN = timedelta(days=15)  # DIRAC 9.1 SandboxStore: of sandboxes that were never assigned
REMOVED_WITHIN = timedelta(hours=1)

policy = Policy("sandbox-lifetimes", log="sandboxes")
jobs = Policy("freed-sandboxes", log="jobs")


@policy
def used_in_time(event: Recorded[StoredSandbox.Noted | StoredSandbox.Spared]) -> Iterator[Later]:
    yield Later.after(event, USED_WITHIN, "state", AgeSandbox(event.event.path))


@policy
def take_away_what_nobody_used(event: Recorded[StoredSandbox.Aged], uses_of_sandbox: Rows) -> Iterator[Command]:
    """What is used goes with the last job that uses it."""
    if not uses_of_sandbox:
        yield DoomSandbox(event.event.path)


@policy
def removed_in_time(event: Recorded[StoredSandbox.Doomed]) -> Iterator[Later]:
    yield Later.after(event, REMOVED_WITHIN, "state", DoomSandbox(event.event.path))


@policy
def nothing_to_wait_for(event: Recorded[StoredSandbox.Removed]) -> Iterator[Later]:
    yield Later(event.stream, "state")


@jobs
def take_away_what_only_this_job_used(event: Recorded[Job.Deleted], sandboxes_freed: Rows) -> Iterator[Command]:
    for row in sandboxes_freed:
        yield DoomSandbox(row["path"])
