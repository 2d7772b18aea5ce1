"""The jobs: what each is, where it stands, whose it is."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    func,
    select,
    text,
)

from domain.job import Job, Status
from domain.messages import Recorded
from domain.values import job_number
from projections.projection import Key, Projection, Values

metadata = MetaData()
jobs = Table(
    "jobs",
    metadata,
    Column("job", BigInteger, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("vo", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("owner_name", Text, nullable=False),
    Column("owner_group", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("job_type", Text, nullable=False),
    Column("job_group", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("minor_status", Text, nullable=False),
    Column("application_status", Text, nullable=False, server_default=text("'Unknown'")),
    Column("site", Text, nullable=False),
    Column("ce", Text),
    Column("pilot", Text),
    Column("attempt", Integer, nullable=False),
    Column("reschedules", Integer, nullable=False, server_default=text("0")),
    Column("queue", Text),
    Column("held", Text),  # the codes that hold it
    Column("held_detail", Text),
    Column("description", Text, nullable=False),
    Column("submitted_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("exit_code", Integer),
    Column("output", Text),
    Column("cpu_seconds", Integer),
    Column("wall_seconds", Integer),
    Column("leaving", Boolean),  # killed, and its pilot has not said yet that it is gone: it still holds its slot
    Index("jobs_by_status", "vo", "status", "job"),
    Index("jobs_held", "job", postgresql_where=text("held is not null")),
)


def of_stream(event: Recorded[Any]) -> Key:
    """The row of the job whose event it is."""
    return (job_number(event.stream),)


projection = Projection(jobs, log="jobs", key=of_stream, inline=True)
projection.touched_by(Job.events().values())


@projection.creates
def submitted(event: Recorded[Job.Submitted]) -> Values:
    facts = event.event
    sites = facts.requirements.sites
    return {
        "vo": event.vo,
        "owner": facts.owner,
        "owner_name": facts.owner_name,
        "owner_group": facts.group,
        "name": facts.name,
        "job_type": facts.job_type,
        "job_group": facts.job_group,
        "priority": facts.priority,
        "status": Status.RECEIVED.value,
        "minor_status": "Job accepted",
        "site": "ANY" if not sites else sites[0] if len(sites) == 1 else "Multiple",
        "attempt": 1,
        "description": facts.description,
        "submitted_at": event.at,
        "updated_at": event.at,
    }


@projection
def checked(event: Recorded[Job.Checked]) -> Values:
    return _now(event, Status.CHECKING, "")


@projection
def queued(event: Recorded[Job.Queued]) -> Values:
    return _now(event, Status.WAITING, "Pilot Agent Submission") | {"queue": event.event.queue}


@projection
def held(event: Recorded[Job.Held]) -> Values:
    return {"held": " ".join(event.event.codes), "held_detail": event.event.detail, "updated_at": event.at}


@projection
def freed(event: Recorded[Job.Freed]) -> Values:
    return {"held": " ".join(event.event.left) or None, "held_detail": None, "updated_at": event.at}


@projection
def prioritised(event: Recorded[Job.Prioritised]) -> Values:
    return {"priority": event.event.priority, "updated_at": event.at}


@projection
def matched(event: Recorded[Job.Matched]) -> Values:
    facts = event.event
    place = {"site": facts.site, "ce": facts.ce, "pilot": facts.pilot, "attempt": facts.attempt}
    return _now(event, Status.MATCHED, "Assigned") | place


@projection
def released(event: Recorded[Job.Released]) -> Values:
    return _now(event, Status.WAITING, "Match not confirmed") | {"pilot": None, "ce": None, "site": "ANY"}


@projection
def started(event: Recorded[Job.Started]) -> Values:
    return _now(event, Status.RUNNING, "Application") | {"started_at": event.event.said_at or event.at}


@projection
def progressed(event: Recorded[Job.Progressed]) -> Values:
    facts = event.event
    said = {"minor_status": facts.minor, "application_status": facts.application}
    return {name: value for name, value in said.items() if value} | {"updated_at": event.at}


@projection
def payload_ended(event: Recorded[Job.PayloadEnded]) -> Values:
    return _now(event, Status.COMPLETING, "Uploading Output Sandbox") | {"exit_code": event.event.exit_code}


@projection
def done(event: Recorded[Job.Done]) -> Values:
    return _ended(event, Status.DONE, "Execution Complete")


@projection
def failed(event: Recorded[Job.Failed]) -> Values:
    return _ended(event, Status.FAILED, event.event.code)


@projection
def killed(event: Recorded[Job.Killed]) -> Values:
    leaving = bool(event.event.pilot)
    return _now(event, Status.KILLED, "Marked for termination") | {"ended_at": event.at, "leaving": leaving}


@projection
def vacated(event: Recorded[Job.Vacated]) -> Values:
    facts = event.event
    used = {"cpu_seconds": int(facts.cpu_seconds), "wall_seconds": int(facts.wall_seconds)} if facts.seq else {}
    return {"leaving": None, "updated_at": event.at} | used


@projection
def completed(event: Recorded[Job.Completed]) -> Values:
    return _ended(event, Status.COMPLETED, "Pending Requests")


@projection
def settled(event: Recorded[Job.Settled]) -> Values:
    if event.event.code:
        return _now(event, Status.FAILED, event.event.code)
    return _now(event, Status.DONE, "Requests done")


@projection
def stalled(event: Recorded[Job.Stalled]) -> Values:
    return _now(event, Status.STALLED, "Job stalled")


@projection
def resumed(event: Recorded[Job.Resumed]) -> Values:
    return _now(event, Status.RUNNING, "Application")


@projection
def rescheduled(event: Recorded[Job.Rescheduled]) -> Values:
    facts = event.event
    again = {"attempt": facts.attempt, "reschedules": facts.reschedules, "site": "ANY"}
    blank = dict.fromkeys(
        (
            "ce",
            "pilot",
            "queue",
            "started_at",
            "ended_at",
            "exit_code",
            "output",
            "cpu_seconds",
            "wall_seconds",
            "leaving",
        )
    )
    return _now(event, Status.RECEIVED, "Job Rescheduled") | again | blank


@projection
def deleted(event: Recorded[Job.Deleted]) -> Values:
    return _now(event, Status.DELETED, "")


def _now(event: Recorded[Any], status: Status, minor: str) -> Values:
    return {"status": status.value, "minor_status": minor, "updated_at": event.at}


def _ended(event: Recorded[Any], status: Status, minor: str) -> Values:
    facts = event.event
    used = {"cpu_seconds": int(facts.cpu_seconds), "wall_seconds": int(facts.wall_seconds)}
    ended = {"ended_at": facts.said_at or event.at, "exit_code": facts.exit_code, "output": facts.output or None}
    return _now(event, status, minor) | used | ended


# Queries


def of_vo(vo: str, *, after: int = 0, limit: int = 100, **equal: str | None) -> Select[Any]:
    """Jobs of a VO, newest first, older than `after`; `equal` restricts columns to values where given."""
    query = select(jobs).where(jobs.c.vo == vo).order_by(jobs.c.job.desc()).limit(limit)
    if after:
        query = query.where(jobs.c.job < after)
    if not equal.get("status"):
        query = query.where(jobs.c.status != Status.DELETED.value)
    for name, value in equal.items():
        if value:
            query = query.where(jobs.c[name] == value)
    return query


def one(vo: str, job: int) -> Select[Any]:
    """One job."""
    return select(jobs).where(jobs.c.vo == vo, jobs.c.job == job)


def some(vo: str, numbers: list[int]) -> Select[Any]:
    """Some jobs by their numbers."""
    return select(jobs).where(jobs.c.vo == vo, jobs.c.job.in_(numbers)).order_by(jobs.c.job)


def summary(vo: str, *by: str) -> Select[Any]:
    """How many jobs there are by the columns `by`."""
    columns = [jobs.c[name] for name in by]
    return select(*columns, func.count().label("count")).where(jobs.c.vo == vo).group_by(*columns).order_by(*columns)
