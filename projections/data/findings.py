"""Where storage and catalogue diverge, since when, and when it was put right."""

from datetime import timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Index, Select, Table, Text, select

from domain.data.consistency import Check, Kind
from domain.data.file import File
from domain.messages import Recorded
from projections.jobs import metadata
from projections.projection import Key, Projection, Put, Values

findings = Table(
    "data_findings",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("se", Text, primary_key=True),
    Column("lfn", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("size", BigInteger),
    Column("since", DateTime(timezone=True)),
    Column("until", DateTime(timezone=True)),
    Column("detail", Text),
    Column("found_at", DateTime(timezone=True), nullable=False),
    Column("resolved_at", DateTime(timezone=True)),
    Index("data_findings_open", "vo", "found_at"),
)
EXPECTED_WITHIN = timedelta(days=1)


def of_place(event: Recorded[Any]) -> Key:
    """The row of the replica whose event it is."""
    return (event.vo, event.event.se, event.event.lfn)


projection = Projection(findings, log="files", key=of_place, inline=True)


@projection.creates
def found(event: Recorded[Check.Found]) -> list[Put]:
    se = event.event.se
    return [Put((event.vo, se, each.lfn), _open(event, Kind(each.kind), since=each.since, until=each.until,
                                                size=each.size), True)
            for each in event.event.findings]  # fmt: skip


@projection.creates
def overdue(event: Recorded[File.Overdue]) -> Values:
    return _open(event, Kind.UNCONFIRMED, since=event.at - EXPECTED_WITHIN, until=event.at)


@projection.creates
def not_stored(event: Recorded[File.NotStored]) -> Values:
    return _open(event, Kind.UNCONFIRMED, until=event.at, detail=event.event.problem)


@projection.creates
def doubted(event: Recorded[File.ReplicaDoubted]) -> Values:
    kind = Kind.LOST if event.event.lost else Kind.SIZE
    return {"kind": kind.value, "detail": event.event.reason, "found_at": event.at, "resolved_at": None}


@projection
def right(event: Recorded[File.Stored | File.ReplicaTrusted | File.ReplicaDropped | File.ReplicaCleared]) -> Values:
    return {"resolved_at": event.at}


@projection
def known(event: Recorded[File.Registered]) -> list[Put]:
    return [Put((event.vo, se, event.event.lfn), {"resolved_at": event.at}) for se in event.event.ses]


def _open(event: Recorded[Any], kind: Kind, **more: Any) -> Values:
    blank: Values = {"size": None, "since": None, "until": None, "detail": None}
    return blank | more | {"kind": kind.value, "found_at": event.at, "resolved_at": None}


def of_vo(vo: str, *, se: str = "", kind: str = "", resolved: bool = False, limit: int = 1000) -> Select[Any]:
    """Findings, newest first; those that were put right only on demand."""
    query = select(findings).where(findings.c.vo == vo).order_by(findings.c.found_at.desc()).limit(limit)
    query = query if resolved else query.where(findings.c.resolved_at.is_(None))
    query = query.where(findings.c.se == se) if se else query
    return query.where(findings.c.kind == kind) if kind else query


def of_file(vo: str, lfn: str, ses: list[str]) -> Select[Any]:
    """What is wrong with a file at these storage elements."""
    return of_vo(vo).where(findings.c.lfn == lfn, findings.c.se.in_(ses))
