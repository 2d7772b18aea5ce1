"""Sandboxes: which there are, and which jobs use them, as input or as output."""

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, Select, Table, Text, exists, select

from domain.errors import Refused
from domain.job import Job
from domain.job import Status as JobStatus
from domain.messages import Recorded
from domain.sandbox import parse_pfn
from domain.stored_sandbox import Status, StoredSandbox
from domain.values import job_number
from projections.jobs import jobs, metadata
from projections.projection import Key, Projection, Put, Values

sandboxes = Table(
    "sandboxes",
    metadata,
    Column("path", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("vo", Text, nullable=False),
    Column("size", BigInteger, nullable=False, server_default="0"),
    Column("status", Text, nullable=False),
    Column("noted_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("sandboxes_by_status", "status"),
)
uses = Table(
    "sandbox_uses",
    metadata,
    Column("path", Text, primary_key=True),
    Column("job", BigInteger, primary_key=True),
    Column("kind", Text, nullable=False),
    Index("sandbox_uses_by_job", "job"),
)


def of_sandbox(event: Recorded[Any]) -> Key:
    """The row of the sandbox whose event it is."""
    return (event.event.path,)


projection = Projection(sandboxes, log="sandboxes", key=of_sandbox, inline=True)
used = Projection(uses, log="jobs", key=lambda event: ("", job_number(event.stream)), inline=True)


@projection.creates
def noted(event: Recorded[StoredSandbox.Noted]) -> Values:
    return _now(event, Status.STORED) | {"size": event.event.size, "noted_at": event.at}


@projection.creates
def doomed(event: Recorded[StoredSandbox.Doomed]) -> Values:
    return _now(event, Status.DOOMED)


@projection
def spared(event: Recorded[StoredSandbox.Spared]) -> Values:
    return _now(event, Status.STORED)


@projection
def removed(event: Recorded[StoredSandbox.Removed]) -> Values:
    return _now(event, Status.REMOVED)


@used.creates
def as_input(event: Recorded[Job.Submitted]) -> list[Put]:
    names = event.event.sandboxes
    return [_use(event, name, "input") for name in dict.fromkeys(names)] if names else []


@used.creates
def as_output(event: Recorded[Job.Done | Job.Failed | Job.Completed]) -> list[Put]:
    return [_use(event, event.event.output, "output")] if event.event.output else []


@used.creates
def as_further_output(event: Recorded[Job.Described]) -> list[Put]:
    """Outputs that a job keeps by itself are named among its values."""
    values = event.event.values
    names = [str(value) for name, value in values.items() if name.startswith("output ")]
    return [_use(event, name, "output") for name in dict.fromkeys(names) if name.startswith("SB:")]


def _use(event: Recorded[Any], name: str, kind: str) -> Put:
    try:
        path = parse_pfn(name).path
    except Refused:  # whatever a former release let in
        path = name
    return Put((path, job_number(event.stream)), {"kind": kind}, create=True)


def _now(event: Recorded[Any], status: Status) -> Values:
    return {"vo": event.vo, "status": status.value, "updated_at": event.at}


def of_path(path: str) -> Select[Any]:
    """One job that uses a sandbox and was not deleted, if there is any."""
    return (
        select(uses.c.job)
        .join(jobs, jobs.c.job == uses.c.job)
        .where(uses.c.path == path, jobs.c.status != JobStatus.DELETED.value)
        .limit(1)
    )


def uses_of(event: Recorded[Any]) -> Select[Any]:
    """The same of the sandbox whose event it is."""
    return of_path(event.event.path)


def freed_by(event: Recorded[Any]) -> Select[Any]:
    """The sandboxes that only this job used, of those that are not deleted."""
    other, theirs = uses.alias("other"), jobs.alias("theirs")
    still = (
        select(other.c.job)
        .join(theirs, theirs.c.job == other.c.job)
        .where(other.c.path == uses.c.path, theirs.c.status != JobStatus.DELETED.value)
    )
    return select(uses.c.path).where(uses.c.job == job_number(event.stream), ~exists(still))


def those_doomed(limit: int = 100) -> Select[Any]:
    """What is to be taken away."""
    query = select(sandboxes.c.path, sandboxes.c.vo).where(sandboxes.c.status == Status.DOOMED.value)
    return query.order_by(sandboxes.c.updated_at).limit(limit)
