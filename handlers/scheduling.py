"""A job enters the pilots' queue as soon as nothing holds it back."""

from collections.abc import Iterator

from domain.job import Job, Status
from domain.messages import Command, Recorded
from handlers.checks import Chain, go_on

BEFORE_QUEUE = frozenset({Status.RECEIVED.value, Status.CHECKING.value})

policy = Chain("scheduling", log="jobs")


@policy
def queue_when_accepted(event: Recorded[Job.Submitted | Job.Rescheduled]) -> Iterator[Command]:
    yield from go_on(event)


@policy
def queue_when_freed(event: Recorded[Job.Freed]) -> Iterator[Command]:
    """A job that was held before it waited goes on where it stopped; one that waits is queued by the freeing itself."""
    if not event.event.left and event.event.status in BEFORE_QUEUE:
        yield from go_on(event)
