"""A suspension takes effect on jobs, a part at a time: those that wait are held, or freed again when it is over."""

from collections.abc import Iterator
from datetime import timedelta

from domain.job import HOLDABLE, FreeJob, HoldJob, Job, KillJob
from domain.messages import Command, Later, Recorded
from domain.session import EndSession
from domain.suspension import PART, Kind, Resume, Suspension, Sweep, SweepAgain, hold_code
from domain.values import job_number
from handlers.policy import Policy, Rows

ON_THEIR_WAY = timedelta(seconds=30)  # requests that were accepted before every process knew have arrived by then

policy = Policy("suspending", log="identity")
jobs = Policy("still-suspended", log="jobs")
Part = Suspension.Suspended | Suspension.Resumed | Suspension.Swept


@policy
def end_in_time(event: Recorded[Suspension.Suspended]) -> Iterator[Later]:
    facts = event.event
    end = Resume(event.vo, facts.kind, facts.name, "its time is over", facts.round) if facts.until else None
    yield Later(event.stream, "until", end, facts.until)


@policy
def nothing_to_end(event: Recorded[Suspension.Resumed]) -> Iterator[Later]:
    yield Later(event.stream, "until")


@policy
def see_to_the_next_jobs(
    event: Recorded[Suspension.Suspended | Suspension.Resumed | Suspension.Swept], jobs_of_suspended: Rows
) -> Iterator[Command]:
    """Each part asks for the next one; the last one says that it is the last."""
    facts, before = event.event, 0
    if isinstance(facts, Suspension.Swept):
        if facts.done:
            return
        before = facts.after
    for row in jobs_of_suspended:
        yield _seen_to(facts, row["job"], row["attempt"], row["status"], row["reason"])
    last = jobs_of_suspended[-1]["job"] if jobs_of_suspended else before
    count = len(jobs_of_suspended)
    yield Sweep(event.vo, facts.kind, facts.name, facts.round, last, count, count < PART)


@policy
def end_sessions(
    event: Recorded[Suspension.Suspended | Suspension.Swept], sessions_of_suspended: Rows
) -> Iterator[Command]:
    for row in sessions_of_suspended:
        yield EndSession(row["session"], "suspended")


@policy
def look_once_more(event: Recorded[Suspension.Swept]) -> Iterator[Later]:
    facts = event.event
    if facts.done and not facts.freeing and not facts.again:
        again = SweepAgain(event.vo, facts.kind, facts.name, facts.round)
        yield Later.after(event, ON_THEIR_WAY, "sweep", again)


@jobs
def hold_what_comes_back(
    event: Recorded[Job.Rescheduled | Job.Released], suspensions_of_job: Rows
) -> Iterator[Command]:
    for row in suspensions_of_job:
        yield HoldJob(job_number(event.stream), hold_code(Kind(row["kind"])), row["reason"])


def _seen_to(facts: Part, job: int, attempt: int, status: str, reason: str) -> Command:
    code = hold_code(facts.kind)
    if isinstance(facts, Suspension.Resumed) or (isinstance(facts, Suspension.Swept) and facts.freeing):
        return FreeJob(job, code)
    return HoldJob(job, code, reason) if status in HOLDABLE else KillJob(job, f"{code}: {reason}", attempt)
