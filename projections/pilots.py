"""The pilots: where they are, what they offer, how they fare."""

from typing import Any

import msgspec
from sqlalchemy import Column, DateTime, Integer, Select, Table, Text, func, select

from domain.messages import Recorded
from domain.pilot import Pilot, Status
from projections.jobs import metadata
from projections.projection import Key, Projection, Values

pilots = Table(
    "pilots",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("stamp", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("ce", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("incarnation", Integer, nullable=False),
    Column("software", Text),
    Column("node", Text),
    Column("reason", Text),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)


def of_pilot(event: Recorded[Any]) -> Key:
    """The row of the pilot whose event it is."""
    return (event.vo, event.event.stamp)


projection = Projection(pilots, log="pilots", key=of_pilot, inline=True)


@projection.creates
def requested(event: Recorded[Pilot.Requested]) -> Values:
    facts = event.event
    place = {"site": facts.site, "ce": facts.ce, "queue": facts.queue}
    return _now(event, Status.SUBMITTED) | place | {"incarnation": 0, "requested_at": event.at}


@projection
def admitted(event: Recorded[Pilot.Admitted]) -> Values:
    return _now(event, Status.RUNNING) | {"incarnation": event.event.incarnation, "ended_at": None, "reason": None}


@projection
def started(event: Recorded[Pilot.Started]) -> Values:
    facts = event.event
    node = msgspec.json.encode(facts.node).decode()
    place = {name: getattr(facts, name) for name in ("site", "ce", "queue") if getattr(facts, name)}
    return _now(event, Status.RUNNING) | place | {"software": facts.version, "node": node, "started_at": event.at}


@projection
def retired(event: Recorded[Pilot.Retired]) -> Values:
    return _now(event, Status.DONE) | {"reason": event.event.reason, "ended_at": event.at}


@projection
def lost(event: Recorded[Pilot.Lost]) -> Values:
    return _now(event, Status.ABORTED) | {"reason": "silent", "ended_at": event.at}


@projection
def revoked(event: Recorded[Pilot.Revoked]) -> Values:
    said = f"revoked: {event.event.reason}" if event.event.reason else "revoked"
    return _now(event, Status.ABORTED) | {"reason": said, "ended_at": event.at, "revoked_at": event.at}


def _now(event: Recorded[Any], status: Status) -> Values:
    return {"status": status.value, "updated_at": event.at}


def of_vo(vo: str, *, status: str | None = None, limit: int = 100) -> Select[Any]:
    """Pilots of a VO, newest first."""
    query = select(pilots).where(pilots.c.vo == vo).order_by(pilots.c.requested_at.desc()).limit(limit)
    return query.where(pilots.c.status == status) if status else query


def one(vo: str, stamp: str) -> Select[Any]:
    """One pilot."""
    return select(pilots).where(pilots.c.vo == vo, pilots.c.stamp == stamp)


def by_status(vo: str) -> Select[Any]:
    """How many pilots of a VO there are in each state."""
    count = func.count().label("count")
    return select(pilots.c.status, count).where(pilots.c.vo == vo).group_by(pilots.c.status)
