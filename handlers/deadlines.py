"""No state without a timer: every state of a job or pilot that is not final names the command that ends it.

How long a state may last is the VO's affair (`operations/VO/times`); a change holds for what begins after it.
"""

from collections.abc import Iterator
from datetime import timedelta

from domain.job import CleanJob, ExpireJob, Job, LoseJob, QueueJob, ReleaseMatch, SettleJob, StallJob, VacateJob
from domain.messages import Command, Event, Later, Recorded
from domain.operations import Times
from domain.pilot import LosePilot, Pilot
from domain.values import job_number
from handlers.policy import Policy, Rows
from handlers.scheduling import BEFORE_QUEUE

FREED_WITHIN = timedelta(days=90)
VACATED_WITHIN = timedelta(minutes=30)
SETTLED_WITHIN = timedelta(days=10)
CLEANED_AFTER = timedelta(days=7)  # DIRAC 9.1 JobCleaningAgent: RemoveStatusDelay
USUAL = Times()  # DIRAC 9.1: silent for 4500 s, given up after 11 700 s in all

jobs = Policy("job-deadlines", log="jobs")
pilots = Policy("pilot-deadlines", log="pilots")


def within(times: Rows, name: str) -> timedelta:
    """The time that the VO of the event has for this, or the usual one of a VO that nothing is known of."""
    return timedelta(seconds=getattr(times[0]["times"] if times else USUAL, name))


@jobs
def scheduled_in_time(event: Recorded[Job.Submitted | Job.Rescheduled], times: Rows) -> Iterator[Later]:
    yield _after(event, times, "scheduled_within", QueueJob(job_number(event.stream)))


@jobs
def matched_in_time(event: Recorded[Job.Queued], times: Rows) -> Iterator[Later]:
    yield _after(event, times, "matched_within", ExpireJob(job_number(event.stream), event.event.attempt))


@jobs
def freed_in_time(event: Recorded[Job.Held]) -> Iterator[Later]:
    yield Later.after(event, FREED_WITHIN, "state", ExpireJob(job_number(event.stream), event.event.attempt))


@jobs
def goes_on_when_freed(event: Recorded[Job.Freed], times: Rows) -> Iterator[Later]:
    """One that waits is queued in the same decision, which has its own deadline."""
    if not event.event.left and event.event.status in BEFORE_QUEUE:
        yield _after(event, times, "scheduled_within", QueueJob(job_number(event.stream)))


@jobs
def confirmed_in_time(event: Recorded[Job.Matched], times: Rows) -> Iterator[Later]:
    yield _after(event, times, "confirmed_within", ReleaseMatch(job_number(event.stream), event.event.attempt))


@jobs
def heard_of(event: Recorded[Job.Started | Job.Resumed | Job.PayloadEnded], times: Rows) -> Iterator[Later]:
    yield _unless_heard(event, times, "silent_for", StallJob(job_number(event.stream), event.event.attempt))


@jobs
def given_up_in_time(event: Recorded[Job.Stalled], times: Rows) -> Iterator[Later]:
    lost = LoseJob(job_number(event.stream), event.event.attempt, "payload-lost")
    yield _unless_heard(event, times, "given_up_after", lost)


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
def comes_in_time(event: Recorded[Pilot.Requested], times: Rows) -> Iterator[Later]:
    yield _after(event, times, "pilot_expected_within", LosePilot(event.vo, event.event.stamp))


@pilots
def pilot_heard_of(event: Recorded[Pilot.Admitted], times: Rows) -> Iterator[Later]:
    lost = LosePilot(event.vo, event.event.stamp, event.event.incarnation)
    yield _unless_heard(event, times, "pilot_silent_for", lost)


@pilots
def pilot_gone(event: Recorded[Pilot.Retired | Pilot.Lost | Pilot.Revoked]) -> Iterator[Later]:
    yield Later(event.stream, "state")


def _after(event: Recorded[Event], times: Rows, name: str, command: Command) -> Later:
    return Later.after(event, within(times, name), "state", command)


def _unless_heard(event: Recorded[Event], times: Rows, name: str, command: Command) -> Later:
    return Later.unless_heard(event, within(times, name), "state", command)
