"""A job enters the pilots' queue as soon as nothing holds it back."""

from collections.abc import Iterator

from domain.job import CheckJob, Job, QueueJob, Status
from domain.messages import Command, Recorded
from domain.values import job_number
from handlers.policy import Policy

BEFORE_QUEUE = frozenset({Status.RECEIVED.value, Status.CHECKING.value})

policy = Policy("scheduling", log="jobs")


@policy
def queue_when_accepted(event: Recorded[Job.Submitted | Job.Rescheduled]) -> Iterator[Command]:
    job = job_number(event.stream)
    yield CheckJob(job)
    yield QueueJob(job)


@policy
def queue_when_freed(event: Recorded[Job.Freed]) -> Iterator[Command]:
    """A job that was held before it waited goes on where it stopped; one that waits is queued by the freeing itself."""
    if not event.event.left and event.event.status in BEFORE_QUEUE:
        job = job_number(event.stream)
        yield CheckJob(job)
        yield QueueJob(job)
