"""Which pilot got which job, when and through which offer: lineage both ways."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    Select,
    Table,
    Text,
    Uuid,
    func,
    or_,
    select,
    text,
)

from domain.job import HELD_BY_PILOT, Job
from domain.messages import Recorded
from domain.values import job_number
from projections.jobs import jobs, metadata
from projections.projection import Projection, Put

RECENT = 200  # matches that tell how long one waits

assignments = Table(
    "assignments",
    metadata,
    Column("offer", Uuid, primary_key=True),
    Column("vo", Text, nullable=False),
    Column("job", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("pilot", Text, nullable=False),
    Column("matched_at", DateTime(timezone=True), nullable=False),
    Column("processors", Integer, nullable=False, server_default=text("1")),
    Column("host", Text, nullable=False, server_default=text("''")),
    Column("platform", Text, nullable=False, server_default=text("''")),
    Index("assignments_by_pilot", "vo", "pilot"),
    Index("assignments_by_time", "vo", "matched_at"),
    Index("assignments_by_job", "job"),
)
projection = Projection(assignments, log="jobs", key=lambda event: (event.event.offer,), inline=True)


@projection.creates
def matched(event: Recorded[Job.Matched]) -> list[Put]:
    facts = event.event
    row = {
        "vo": event.vo,
        "job": job_number(event.stream),
        "attempt": facts.attempt,
        "pilot": facts.pilot,
        "matched_at": event.at,
        "processors": facts.decision.get("processors", 1),
        "host": facts.decision.get("host", ""),
        "platform": facts.decision.get("platform", ""),
    }
    return [Put((facts.offer,), row, create=True)]


def of_offer(vo: str, offer: Any) -> Select[Any]:
    """What this offer was answered with."""
    return select(assignments).where(assignments.c.vo == vo, assignments.c.offer == offer)


def of_job(vo: str, job: int) -> Select[Any]:
    """The pilots that got this job, oldest first."""
    return (
        select(assignments).where(assignments.c.vo == vo, assignments.c.job == job).order_by(assignments.c.matched_at)
    )


def waits(vo: str, **equal: str) -> Select[Any]:
    """How many seconds the last matched first attempts waited, of jobs with these values."""
    seconds = func.extract("epoch", assignments.c.matched_at - jobs.c.submitted_at).cast(Float)
    query = (
        select(seconds.label("seconds"))
        .join(jobs, jobs.c.job == assignments.c.job)
        .where(assignments.c.vo == vo, assignments.c.attempt == 1)
        .order_by(assignments.c.matched_at.desc())
        .limit(RECENT)
    )
    for name, value in equal.items():
        query = query.where(jobs.c[name] == value)
    return query


def of_pilot(vo: str, pilot: str) -> Select[Any]:
    """The jobs a pilot got, newest first."""
    return (
        select(assignments, jobs.c.status, jobs.c.name)
        .join(jobs, jobs.c.job == assignments.c.job)
        .where(assignments.c.vo == vo, assignments.c.pilot == pilot)
        .order_by(assignments.c.matched_at.desc())
    )


def held_by_pilot(event: Recorded[Any]) -> Select[Any]:
    """The jobs in the hands of the pilot whose event it is."""
    states = [status.value for status in HELD_BY_PILOT]
    return (
        select(jobs.c.job, jobs.c.attempt)
        .join(assignments, assignments.c.job == jobs.c.job)
        .where(
            assignments.c.vo == event.vo,
            assignments.c.pilot == event.event.stamp,
            jobs.c.pilot == event.event.stamp,
            or_(jobs.c.status.in_(states), jobs.c.leaving),
            assignments.c.matched_at <= event.at,
        )
        .distinct()
    )
