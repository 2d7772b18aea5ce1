"""The requests: what is to be done with which files, how far that is, and what it waits for."""

from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, Select, Table, Text, Uuid, false, select, text

from domain.data.request import Request, Status
from domain.messages import Recorded
from domain.resource import ResourceKind
from domain.values import job_number
from projections.jobs import metadata
from projections.projection import Add, Key, Projection, Values

requests = Table(
    "data_requests",
    metadata,
    Column("request", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("vo", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("owner_group", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("detail", Text, nullable=False),  # what it waits for, or why it ended so
    Column("operations", Text, nullable=False),
    Column("operation", Integer, nullable=False),
    Column("files", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("job", BigInteger),
    Column("attempt", Integer),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("data_requests_open", "vo", "request", postgresql_where=text("status = 'Waiting'")),
    Index("data_requests_by_job", "job", postgresql_where=text("job is not null")),
)
MOST = 1000


def of_request(event: Recorded[Any]) -> Key:
    """The row of the request whose event it is."""
    return (event.event.request,)


projection = Projection(requests, log="files", key=of_request, inline=True)


@projection.creates
def made(event: Recorded[Request.Made]) -> Values:
    facts = event.event
    operations = msgspec.json.encode(facts.operations).decode()
    counts = dict.fromkeys(("operation", "done", "failed", "tries"), 0)
    whose = {"owner": facts.owner, "owner_group": facts.group, "job": facts.job or None, "attempt": facts.attempt}
    return counts | whose | {
        "vo": event.vo, "status": Status.WAITING.value, "detail": "", "operations": operations,
        "files": len(facts.lfns), "reason": facts.reason, "made_at": event.at, "updated_at": event.at,
    }  # fmt: skip


@projection
def progressed(event: Recorded[Request.Progressed]) -> Values:
    facts = event.event
    told = next(iter({**facts.waiting, **facts.failed}.values()), "")
    return {"done": Add(len(facts.done)), "failed": Add(len(facts.failed)), "tries": facts.tries, "detail": told,
            "updated_at": event.at}  # fmt: skip


@projection
def advanced(event: Recorded[Request.Advanced]) -> Values:
    return {"operation": event.event.operation, "done": 0, "tries": 0, "detail": "", "updated_at": event.at}


@projection
def ended(event: Recorded[Request.Ended]) -> Values:
    return {"status": event.event.status, "detail": event.event.detail, "updated_at": event.at}


# Queries


def one(vo: str, request: UUID) -> Select[Any]:
    """One request."""
    return select(requests).where(requests.c.vo == vo, requests.c.request == request)


def of_vo(vo: str, *, status: str = "", owner: str = "", limit: int = 100) -> Select[Any]:
    """The requests of a VO, newest first."""
    query = select(requests).where(requests.c.vo == vo).order_by(requests.c.made_at.desc()).limit(limit)
    for column, value in ((requests.c.status, status), (requests.c.owner, owner)):
        query = query.where(column == value) if value else query
    return query


def of_job(job: int) -> Select[Any]:
    """The requests that a job waits for, or waited for."""
    return select(requests).where(requests.c.job == job).order_by(requests.c.made_at)


# Look-ups of policies


def requests_of_job(event: Recorded[Any]) -> Select[Any]:
    """All requests of the job whose event it is, or of the job that the request of the event belongs to."""
    job = event.event.job if isinstance(event.event, Request.Ended) else job_number(event.stream)
    return of_job(job) if job else select(requests).where(false())


def requests_waiting_for(event: Recorded[Any]) -> Select[Any]:
    """Requests that may wait for a storage element of which something is said now."""
    facts = event.event
    query = select(requests.c.vo, requests.c.request).where(requests.c.status == Status.WAITING.value)
    if facts.kind is not ResourceKind.SE:
        return query.where(false())
    query = query.where(requests.c.detail.contains(facts.name)).order_by(requests.c.request).limit(MOST)
    return query.where(requests.c.vo == facts.scope) if facts.scope else query
