"""A request is carried out at once, tried again ever more rarely, and ended in time; a job that waits is settled."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from domain.data.request import CarryOutRequest, ExpireRequest, Request, Status
from domain.job import Job, SettleJob
from domain.messages import Command, Later, Recorded
from domain.resource import Resource
from domain.values import job_number
from handlers.policy import Answer, Policy, Rows

FIRST, LONGEST = timedelta(minutes=1), timedelta(hours=4)
DEAD_AFTER = timedelta(minutes=30)  # whoever tries it has died, unless they said something

policy = Policy("data-deadlines", log="files")  # each is a part of the policy with its name
jobs = Policy("rescheduling", log="jobs")
resources = Policy("usable-sites", log="resources")


@policy
def carried_out_at_once(event: Recorded[Request.Made | Request.Advanced]) -> Iterator[Later]:
    carry_out = CarryOutRequest(event.vo, event.event.request)
    yield Later.after(event, timedelta(0), "carry-out", carry_out)
    if isinstance(event.event, Request.Made):
        expired = ExpireRequest(event.vo, event.event.request)
        yield Later.after(event, timedelta(seconds=event.event.seconds), "state", expired)


@policy
def tried_again_when_nobody_is_heard_of(event: Recorded[Request.RoundBegun]) -> Iterator[Later]:
    yield Later.after(event, DEAD_AFTER, "carry-out", CarryOutRequest(event.vo, event.event.request))


@policy
def tried_again(event: Recorded[Request.Progressed]) -> Iterator[Later]:
    facts = event.event
    pause = min(FIRST * 2 ** min(facts.tries - 1, 20), LONGEST) if facts.tries else timedelta(0)
    yield Later.after(event, pause, "carry-out", CarryOutRequest(event.vo, facts.request))


@policy
def over(event: Recorded[Request.Ended], requests_of_job: Rows) -> Iterator[Answer]:
    yield Later(event.stream, "carry-out")
    yield Later(event.stream, "state")
    yield from _settled(event.event.job, event.event.attempt, requests_of_job)


@jobs
def over_before_the_job_waited(event: Recorded[Job.Completed], requests_of_job: Rows) -> Iterator[Command]:
    """A request may be quicker than the report of the pilot."""
    known = [row for row in requests_of_job if str(row["request"]) in event.event.pending]
    if len(known) == len(event.event.pending):
        yield from _settled(job_number(event.stream), event.event.attempt, requests_of_job)


@resources
def goes_on_with_its_storage(
    event: Recorded[Resource.StatusSet | Resource.StatusExpired], requests_waiting_for: Rows
) -> Iterator[Later]:
    for row in requests_waiting_for:
        again = CarryOutRequest(row["vo"], UUID(str(row["request"])))
        yield Later(again.stream, "carry-out", again, event.at)


def _settled(job: int, attempt: int, rows: Rows) -> Iterator[Command]:
    """The job goes on once none of its requests is open: well, or badly with the reason of the first that failed."""
    its = [row for row in rows if row["attempt"] == attempt]
    if not its or any(row["status"] == Status.WAITING for row in its):
        return
    failed = next((row for row in its if row["status"] != Status.DONE), None)
    code, detail = ("requests-failed", failed["detail"][:255]) if failed else ("", "")
    yield SettleJob(job, attempt, code, detail)
