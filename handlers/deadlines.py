"""No state without a timer: every state of a job or pilot that is not final names the command that ends it."""

from collections.abc import Iterator
from datetime import timedelta

from domain.job import ExpireJob, Job, LoseJob, QueueJob, ReleaseMatch, StallJob, Status
from domain.messages import Later, Recorded
from domain.pilot import LosePilot, Pilot
from domain.values import job_number
from handlers.policy import Policy

SCHEDULED_WITHIN = timedelta(minutes=5)
MATCHED_WITHIN = timedelta(days=30)
FREED_WITHIN = timedelta(days=90)
CONFIRMED_WITHIN = timedelta(seconds=60)
SILENT_FOR = timedelta(minutes=75)  # DIRAC 9.1 StalledJobAgent: 4500 s
GIVEN_UP_AFTER = timedelta(hours=2)  # DIRAC 9.1: 11 700 s in all
BEFORE_QUEUE = frozenset({Status.RECEIVED.value, Status.CHECKING.value})
PILOT_EXPECTED_WITHIN = timedelta(days=3)
PILOT_SILENT_FOR = timedelta(minutes=5)

jobs = Policy("job-deadlines", log="jobs")
pilots = Policy("pilot-deadlines", log="pilots")


@jobs
def scheduled_in_time(event: Recorded[Job.Submitted | Job.Rescheduled]) -> Iterator[Later]:
    yield Later.after(event, SCHEDULED_WITHIN, "state", QueueJob(job_number(event.stream)))


@jobs
def matched_in_time(event: Recorded[Job.Queued]) -> Iterator[Later]:
    yield Later.after(event, MATCHED_WITHIN, "state", ExpireJob(job_number(event.stream), event.event.attempt))


@jobs
def freed_in_time(event: Recorded[Job.Held]) -> Iterator[Later]:
    yield Later.after(event, FREED_WITHIN, "state", ExpireJob(job_number(event.stream), event.event.attempt))


@jobs
def goes_on_when_freed(event: Recorded[Job.Freed]) -> Iterator[Later]:
    """One that waits is queued in the same decision, which has its own deadline."""
    if not event.event.left and event.event.status in BEFORE_QUEUE:
        yield Later.after(event, SCHEDULED_WITHIN, "state", QueueJob(job_number(event.stream)))


@jobs
def confirmed_in_time(event: Recorded[Job.Matched]) -> Iterator[Later]:
    yield Later.after(event, CONFIRMED_WITHIN, "state", ReleaseMatch(job_number(event.stream), event.event.attempt))


@jobs
def heard_of(event: Recorded[Job.Started | Job.Resumed | Job.PayloadEnded]) -> Iterator[Later]:
    yield Later.unless_heard(event, SILENT_FOR, "state", StallJob(job_number(event.stream), event.event.attempt))


@jobs
def given_up_in_time(event: Recorded[Job.Stalled]) -> Iterator[Later]:
    lost = LoseJob(job_number(event.stream), event.event.attempt, "payload-lost")
    yield Later.unless_heard(event, GIVEN_UP_AFTER, "state", lost)


@jobs
def nothing_to_wait_for(event: Recorded[Job.Done | Job.Failed | Job.Killed | Job.Deleted]) -> Iterator[Later]:
    yield Later(event.stream, "state")


@pilots
def comes_in_time(event: Recorded[Pilot.Requested]) -> Iterator[Later]:
    yield Later.after(event, PILOT_EXPECTED_WITHIN, "state", LosePilot(event.vo, event.event.stamp))


@pilots
def pilot_heard_of(event: Recorded[Pilot.Admitted]) -> Iterator[Later]:
    lost = LosePilot(event.vo, event.event.stamp, event.event.incarnation)
    yield Later.unless_heard(event, PILOT_SILENT_FOR, "state", lost)


@pilots
def pilot_gone(event: Recorded[Pilot.Retired | Pilot.Lost]) -> Iterator[Later]:
    yield Later(event.stream, "state")
