"""No state without a timer: every state of a job or pilot that is not final names the command that ends it."""

from collections.abc import Iterator
from datetime import timedelta

from domain.job import CleanJob, ExpireJob, Job, LoseJob, QueueJob, ReleaseMatch, SettleJob, StallJob, Status, VacateJob
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
VACATED_WITHIN = timedelta(minutes=30)
SETTLED_WITHIN = timedelta(days=10)
CLEANED_AFTER = timedelta(days=7)  # DIRAC 9.1 JobCleaningAgent: RemoveStatusDelay
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
def settled_in_time(event: Recorded[Job.Completed]) -> Iterator[Later]:
    failed = SettleJob(job_number(event.stream), event.event.attempt, "requests-failed", "nobody said in time")
    yield Later.after(event, SETTLED_WITHIN, "state", failed)


@jobs
def cleaned_in_time(event: Recorded[Job.Done | Job.Failed | Job.Killed | Job.Settled]) -> Iterator[Later]:
    """It waits for nothing but its end in the lists; an attempt that was run again meanwhile is not the one meant."""
    yield Later(event.stream, "state")
    yield Later.after(event, CLEANED_AFTER, "retention", CleanJob(job_number(event.stream), event.event.attempt))


@jobs
def vacated_in_time(event: Recorded[Job.Killed]) -> Iterator[Later]:
    """Who is killed holds its slot until its pilot says that it is gone, or until this."""
    if event.event.pilot:
        yield Later.after(
            event, VACATED_WITHIN, "vacate", VacateJob(job_number(event.stream), event.event.attempt)
        )  # fmt: skip


@jobs
def vacated(event: Recorded[Job.Vacated]) -> Iterator[Later]:
    yield Later(event.stream, "vacate")


@jobs
def nothing_to_wait_for(event: Recorded[Job.Deleted]) -> Iterator[Later]:
    yield Later(event.stream, "state")
    yield Later(event.stream, "retention")


@pilots
def comes_in_time(event: Recorded[Pilot.Requested]) -> Iterator[Later]:
    yield Later.after(event, PILOT_EXPECTED_WITHIN, "state", LosePilot(event.vo, event.event.stamp))


@pilots
def pilot_heard_of(event: Recorded[Pilot.Admitted]) -> Iterator[Later]:
    lost = LosePilot(event.vo, event.event.stamp, event.event.incarnation)
    yield Later.unless_heard(event, PILOT_SILENT_FOR, "state", lost)


@pilots
def pilot_gone(event: Recorded[Pilot.Retired | Pilot.Lost | Pilot.Revoked]) -> Iterator[Later]:
    yield Later(event.stream, "state")
