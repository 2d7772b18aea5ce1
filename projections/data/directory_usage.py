"""What lies right in each directory; kept up with every change, never counted.

What a directory holds with all below it is the sum of these rows, over one range of paths: counting every file into
all of its directories cost a fifth of a registration, and made one row of the VO's directory that everybody waits for.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Select, Table, Text, Uuid, cast, func, select

from domain.data.file import File
from domain.data.names import directory_stream, parent
from domain.messages import Recorded
from projections.data.directories import directories, under
from projections.jobs import metadata
from projections.projection import Add, Key, Projection, Put

LOGICAL = ""
directory_usage = Table(
    "data_directory_usage",
    metadata,
    Column("directory", Uuid, primary_key=True),
    Column("se", Text, primary_key=True),
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)


def of_parent(event: Recorded[Any]) -> Key:
    """The row of the directory that the file is in."""
    return (directory_stream(parent(event.event.lfn)), LOGICAL)


projection = Projection(directory_usage, log="files", key=of_parent)


@projection.creates
def more(event: Recorded[File.Registered | File.Restored]) -> list[Put]:
    return _all(event, (LOGICAL, *event.event.ses), 1)


@projection.creates
def one_more(event: Recorded[File.Stored]) -> list[Put]:
    facts = event.event
    return _all(event, (LOGICAL, facts.se) if facts.first else (facts.se,), 1)


@projection.creates
def a_replica_more(event: Recorded[File.ReplicaAdded]) -> list[Put]:
    return _all(event, (event.event.se,), 1)


@projection.creates
def a_replica_less(event: Recorded[File.ReplicaDropped]) -> list[Put]:
    return _all(event, (event.event.se,), -1) if not event.event.uncounted else []


@projection.creates
def less(event: Recorded[File.Removed]) -> list[Put]:
    facts = event.event
    return _all(event, facts.ses if facts.uncounted else (LOGICAL, *facts.ses), -1)


def _all(event: Recorded[Any], ses: tuple[str, ...], sign: int) -> list[Put]:
    directory, size = directory_stream(parent(event.event.lfn)), sign * event.event.size
    return [Put((directory, se), {"files": Add(sign), "bytes": Add(size)}, True) for se in ses]


def below(path: str) -> Select[Any]:
    """What a directory holds with all below it, by storage element; the row without one counts files."""
    u = directory_usage.c
    sums = [cast(func.sum(u[name]), BigInteger).label(name) for name in ("files", "bytes")]
    query = select(u.se, *sums).join(directories, directories.c.directory == u.directory)
    return query.where(under(path)).group_by(u.se).order_by(u.se)
