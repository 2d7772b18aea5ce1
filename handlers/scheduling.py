"""A job enters the pilots' queue as soon as nothing holds it back."""

from collections.abc import Iterator

from domain.job import CheckJob, Job, QueueJob
from domain.messages import Command, Recorded
from domain.values import job_number
from handlers.policy import Policy

policy = Policy("scheduling", log="jobs")


@policy
def queue_when_accepted(event: Recorded[Job.Submitted | Job.Rescheduled]) -> Iterator[Command]:
    job = job_number(event.stream)
    yield CheckJob(job)
    yield QueueJob(job)
