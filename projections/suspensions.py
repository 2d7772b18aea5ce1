"""Who is suspended and was: why, by whom, until when, and how many jobs that has touched."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, Select, Table, Text, select

from domain.messages import Recorded
from domain.suspension import Suspension
from projections.jobs import metadata
from projections.projection import Add, Key, Projection, Values

suspensions = Table(
    "suspensions",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("label", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("until", DateTime(timezone=True)),
    Column("running", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("author", Text, nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("ended_by", Text),
    Column("jobs", BigInteger, nullable=False),
    Column("swept", Boolean, nullable=False),
)


def of_whom(event: Recorded[Any]) -> Key:
    """The row of whose suspension it is."""
    return (event.vo, event.event.kind.value, event.event.name)


projection = Projection(suspensions, log="identity", key=of_whom, inline=True)


@projection.creates
def suspended(event: Recorded[Suspension.Suspended]) -> Values:
    facts = event.event
    told = {"round": facts.round, "label": facts.label, "reason": facts.reason, "until": facts.until}
    begun = {"active": True, "since": event.at, "author": event.actor, "jobs": 0, "swept": False}
    return told | begun | {"running": facts.running.value, "ended_at": None, "ended_by": None}


@projection
def resumed(event: Recorded[Suspension.Resumed]) -> Values:
    ended = {"ended_at": event.at, "ended_by": event.actor}
    return {"round": event.event.round, "active": False, "jobs": 0, "swept": False} | ended


@projection
def swept(event: Recorded[Suspension.Swept]) -> Values:
    return {"jobs": Add(event.event.jobs), "swept": event.event.done}


def in_force() -> Select[Any]:
    """What every process must know: all that is suspended, in every VO."""
    columns = [suspensions.c[name] for name in ("vo", "kind", "name", "reason", "label", "until")]
    return select(*columns).where(suspensions.c.active)


def of_vo(vo: str, *, every: bool = False) -> Select[Any]:
    """The suspensions of a VO, newest first; `every`: also those that have ended."""
    query = select(suspensions).where(suspensions.c.vo == vo).order_by(suspensions.c.since.desc()).limit(1000)
    return query if every else query.where(suspensions.c.active)


def one(vo: str, kind: str, name: str) -> Select[Any]:
    """One of them."""
    table = suspensions.c
    return select(suspensions).where(table.vo == vo, table.kind == kind, table.name == name)
