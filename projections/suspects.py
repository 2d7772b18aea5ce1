"""Pilots and nodes where jobs failed at once, one after the other; and what a policy must know to tell bad places from
bad jobs: how jobs of the same kind fare elsewhere."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Float,
    Integer,
    Select,
    Subquery,
    Table,
    Text,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)

from domain.job import Status
from domain.messages import Recorded
from domain.resource import COMPARED_FOR, SHORT, Resource, ResourceKind, ResourceStatus
from domain.values import job_number
from projections.assignments import assignments
from projections.jobs import jobs, metadata
from projections.pilots import pilots
from projections.projection import Key, Projection, Values

COMPARED = 200  # newest jobs of each state that are looked at
suspects = Table(
    "suspects",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("job", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)


def of_place(event: Recorded[Any]) -> Key:
    """The row of the pilot or node whose event it is."""
    return (event.event.scope, event.event.kind.value, event.event.name)


projection = Projection(suspects, log="resources", key=of_place, inline=True)


@projection.creates
def failed(event: Recorded[Resource.FailedFast]) -> Values:
    facts = event.event
    return {"failures": facts.failures, "job": facts.job, "code": facts.code, "seconds": facts.seconds, "at": event.at}


@projection
def worked(event: Recorded[Resource.WorkedAgain]) -> None:
    return None


@projection
def said(event: Recorded[Resource.StatusSet]) -> Values | None:
    return None if event.event.status is ResourceStatus.ACTIVE else {}


# Look-ups of policies


def _given(event: Recorded[Any]) -> Subquery:
    """Who had the attempt of the job whose event it is, where, and since when."""
    given = assignments.c
    node = func.coalesce(cast(pilots.c.node, JSON)["hostname"].as_string(), "")
    return (
        select(given.job, given.pilot, given.matched_at, pilots.c.site, node.label("host"))
        .join(pilots, and_(pilots.c.vo == given.vo, pilots.c.stamp == given.pilot))
        .where(given.job == job_number(event.stream), given.attempt == event.event.attempt, given.vo == event.vo)
        .order_by(given.matched_at.desc())
        .limit(1)
        .subquery()
    )


def _newest(event: Recorded[Any], status: Status) -> Select[Any]:
    names = ("owner", "name", "description", "pilot", "status", "wall_seconds", "updated_at")
    columns = [jobs.c[name] for name in ("job", *names)]
    some = select(*columns).where(jobs.c.vo == event.vo, jobs.c.status == status.value)
    return select(some.order_by(jobs.c.job.desc()).limit(COMPARED).subquery())


def failed_at(event: Recorded[Any]) -> Select[Any]:
    """Where a job failed and after how many seconds, and how many other pilots do well, or badly, with its like.

    A job that already ran when this one was matched does well so far. Times are our own: clocks of pilots may be wrong.
    """
    given, mine = _given(event), jobs.alias("mine")
    states = (Status.RUNNING, Status.DONE, Status.FAILED)
    others = union_all(*(_newest(event, status) for status in states)).subquery()
    seconds = func.extract("epoch", literal(event.at) - given.c.matched_at)
    alike = and_(
        others.c.owner == mine.c.owner,
        or_(others.c.description == mine.c.description, others.c.name == mine.c.name),
        others.c.pilot != given.c.pilot,
    )
    recent = others.c.updated_at > literal(event.at - COMPARED_FOR)
    good = or_(
        and_(others.c.status == Status.DONE.value, recent),
        and_(others.c.status == Status.RUNNING.value, others.c.updated_at < given.c.matched_at),
    )
    bad = and_(others.c.status == Status.FAILED.value, recent, others.c.wall_seconds < SHORT)
    counts = (
        select(
            func.count(others.c.pilot.distinct()).filter(good).label("good"),
            func.count(others.c.pilot.distinct()).filter(bad).label("bad"),
        )
        .where(alike)
        .lateral()
    )
    joined = given.join(mine, mine.c.job == given.c.job).join(counts, true())
    columns = (given.c.pilot, given.c.site, given.c.host, seconds.label("seconds"), counts.c.good, counts.c.bad)
    return select(*columns).select_from(joined)


def suspected_at(event: Recorded[Any]) -> Select[Any]:
    """What is suspected where a job went well."""
    given, known = _given(event), suspects.c
    pilot = and_(known.kind == ResourceKind.PILOT.value, known.name == given.c.pilot)
    node = and_(known.kind == ResourceKind.NODE.value, known.name == given.c.site + "/" + given.c.host)
    joined = given.join(suspects, and_(known.scope == event.vo, or_(pilot, node)))
    return select(known.kind, known.name).select_from(joined)
