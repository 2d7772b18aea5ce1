"""The checks of storage elements."""

from typing import Any
from uuid import UUID

from sqlalchemy import Column, DateTime, Integer, Select, Table, Text, Uuid, select

from domain.data.consistency import Check
from domain.messages import Recorded
from projections.jobs import metadata
from projections.projection import Add, Key, Projection, Values

checks = Table(
    "data_checks",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("check_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("se", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("listed", Integer),
    Column("known", Integer),
    Column("findings", Integer, nullable=False),
    Column("problem", Text),
    Column("begun_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
)


def of_check(event: Recorded[Any]) -> Key:
    """The row of the check whose event it is."""
    return (event.vo, event.event.check)


projection = Projection(checks, log="files", key=of_check, inline=True)


@projection.creates
def begun(event: Recorded[Check.Begun]) -> Values:
    facts = event.event
    return {"se": facts.se, "path": facts.path, "status": "Running", "findings": 0, "begun_at": event.at}


@projection
def found(event: Recorded[Check.Found]) -> Values:
    return {"findings": Add(len(event.event.findings))}


@projection
def ended(event: Recorded[Check.Ended]) -> Values:
    facts = event.event
    status = "Failed" if facts.problem else "Done"
    counts = {"listed": facts.listed, "known": facts.known, "problem": facts.problem or None}
    return {"status": status, "ended_at": event.at} | counts


def one(vo: str, check: UUID) -> Select[Any]:
    """One check."""
    return select(checks).where(checks.c.vo == vo, checks.c.check_id == check)
