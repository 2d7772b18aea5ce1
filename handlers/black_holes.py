"""A pilot or node that fails every job at once gets few jobs, then none: it would eat the whole queue.

Bad jobs fail everywhere. A place is only blamed when more of the other pilots do well with jobs of the same owner and
name than badly; where nobody else runs them, nobody can tell, and nothing happens.
"""

from collections.abc import Iterator

from domain.job import Job
from domain.messages import Command, Recorded
from domain.resource import SHORT, NoteFailure, NoteSuccess, ResourceKind
from domain.usable import node_name
from domain.values import job_number
from handlers.policy import Policy, Rows

policy = Policy("black-holes", log="jobs")


@policy
def doubt_where_it_failed_at_once(event: Recorded[Job.Failed], failed_at: Rows) -> Iterator[Command]:
    facts, job = event.event, job_number(event.stream)
    for row in failed_at if facts.seq else ():  # what was not said by a pilot is not of its making
        seconds = float(row["seconds"])
        if seconds < SHORT and row["good"] > row["bad"]:
            places = [(ResourceKind.PILOT, row["pilot"]), (ResourceKind.NODE, node_name(row["site"], row["host"]))]
            for kind, name in places:
                if name:
                    yield NoteFailure(event.vo, kind, name, job, facts.attempt, facts.code, round(seconds, 3))


@policy
def trust_where_it_went_well(event: Recorded[Job.Done], suspected_at: Rows) -> Iterator[Command]:
    for row in suspected_at:
        yield NoteSuccess(event.vo, ResourceKind(row["kind"]), row["name"], job_number(event.stream))
