"""A job that failed for a passing reason is tried again, as often as the rules allow."""

from collections.abc import Iterator

from domain.job import Job, RescheduleJob
from domain.messages import Command, Recorded
from domain.taxonomy import PASSING
from domain.values import job_number
from handlers.policy import Policy

policy = Policy("rescheduling", log="jobs")


@policy
def again_when_it_may_work_elsewhere(event: Recorded[Job.Failed]) -> Iterator[Command]:
    if event.event.code in PASSING:
        yield RescheduleJob(job_number(event.stream), event.event.code, event.event.attempt)
