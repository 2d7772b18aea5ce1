"""The removals: what was planned, by whom, and how far it is."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Integer, Select, Table, Text, Uuid, select

from domain.data.removal import Removal, Status
from domain.messages import Recorded
from projections.jobs import metadata
from projections.projection import Key, Projection, Values

removals = Table(
    "data_removals",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("removal", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("owner_group", Text, nullable=False),
    Column("files", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("lfns", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("refused", Integer),
    Column("lost_files", Integer),
    Column("planned_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)


def of_removal(event: Recorded[Any]) -> Key:
    """The row of the removal whose event it is."""
    return (event.vo, event.event.removal)


projection = Projection(removals, log="files", key=of_removal, inline=True)


@projection.creates
def planned(event: Recorded[Removal.Planned]) -> Values:
    facts = event.event
    what = {"owner": facts.owner, "owner_group": facts.group, "lfns": facts.lfns, "reason": facts.reason}
    return what | {"files": facts.files, "size": facts.size, "planned_at": event.at} | _now(event, Status.PLANNED)


@projection
def begun(event: Recorded[Removal.Begun]) -> Values:
    return _now(event, Status.UNDOING if event.event.undo else Status.REMOVING)


@projection
def carried_out(event: Recorded[Removal.CarriedOut]) -> Values:
    return _now(event, Status.REMOVED) | {"refused": event.event.refused}


@projection
def undone(event: Recorded[Removal.Undone]) -> Values:
    return _now(event, Status.UNDONE) | {"lost_files": event.event.lost_files}


@projection
def purged(event: Recorded[Removal.Purged]) -> Values:
    return _now(event, Status.PURGED)


@projection
def forgotten(event: Recorded[Removal.Forgotten]) -> Values:
    return _now(event, Status.FORGOTTEN)


def _now(event: Recorded[Any], status: Status) -> Values:
    return {"status": status.value, "updated_at": event.at}


def of_vo(vo: str, limit: int, owner: str = "") -> Select[Any]:
    """The removals of a VO, newest first."""
    query = select(removals).where(removals.c.vo == vo).order_by(removals.c.planned_at.desc()).limit(limit)
    return query.where(removals.c.owner == owner) if owner else query


def one(vo: str, removal: UUID) -> Select[Any]:
    """One removal."""
    return select(removals).where(removals.c.vo == vo, removals.c.removal == removal)
