"""What is used: files and bytes by owner, group and storage element; kept up with every change, never counted."""

from typing import Any

from sqlalchemy import BigInteger, Column, Select, Table, Text, cast, func, select

from domain.data.file import File
from domain.messages import Recorded
from projections.jobs import metadata
from projections.projection import Add, Key, Projection, Put

LOGICAL = ""  # the row that counts files, not replicas
usage = Table(
    "data_usage",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("owner_group", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    Column("se", Text, primary_key=True),
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)


def of_owner(event: Recorded[Any]) -> Key:
    """The row of an owner's files, not of their replicas."""
    return (event.vo, event.event.group, event.event.owner, LOGICAL)


projection = Projection(usage, log="files", key=of_owner, inline=True)


@projection.creates
def more(event: Recorded[File.Registered | File.Restored]) -> list[Put]:
    facts = event.event
    return _all(event, (LOGICAL, *facts.ses), 1, facts.size)


@projection.creates
def one_more(event: Recorded[File.Stored]) -> list[Put]:
    facts = event.event
    return _all(event, (LOGICAL, facts.se) if facts.first else (facts.se,), 1, facts.size)


@projection.creates
def a_replica_more(event: Recorded[File.ReplicaAdded]) -> list[Put]:
    return _all(event, (event.event.se,), 1, event.event.size)


@projection.creates
def a_replica_less(event: Recorded[File.ReplicaDropped]) -> list[Put]:
    return _all(event, (event.event.se,), -1, -event.event.size) if not event.event.uncounted else []


@projection.creates
def less(event: Recorded[File.Removed]) -> list[Put]:
    facts = event.event
    return _all(event, facts.ses if facts.uncounted else (LOGICAL, *facts.ses), -1, -facts.size)


def _all(event: Recorded[Any], ses: tuple[str, ...], files: int, size: int) -> list[Put]:
    facts = event.event
    change = {"files": Add(files), "bytes": Add(size)}
    return [Put((event.vo, facts.group, facts.owner, se), dict(change), True) for se in ses]


def of_vo(vo: str, *by: str, **only: str) -> Select[Any]:
    """What is used, by some of owner, owner_group, se."""
    columns = [usage.c[name] for name in by]
    sums = [cast(func.sum(usage.c[name]), BigInteger).label(name) for name in ("files", "bytes")]
    query = select(*columns, *sums).where(usage.c.vo == vo)
    query = query.where(usage.c.se != LOGICAL if "se" in by else usage.c.se == LOGICAL)
    for name, value in only.items():
        query = query.where(usage.c[name] == value)
    return query.group_by(*columns).order_by(*columns)
