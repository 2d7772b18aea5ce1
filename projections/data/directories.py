"""The directories: whose they are, who may use them, what they are in."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    Select,
    Table,
    Text,
    Uuid,
    any_,
    literal,
    select,
    text,
)

from domain.data.directory import Directory
from domain.data.names import directory_stream, parent
from domain.messages import Recorded
from projections.jobs import metadata
from projections.projection import Key, Projection, Values

MOST_INSIDE = 50_000  # directories that one list shows
directories = Table(
    "data_directories",
    metadata,
    Column("directory", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("vo", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("parent", Uuid),
    Column("owner", Text, nullable=False),
    Column("owner_group", Text, nullable=False),
    Column("mode", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    # the byte order of "C" makes all that is below a directory one range: from path/ to path0
    Index("data_directories_by_path", text('path COLLATE "C"')),
    Index("data_directories_by_parent", "parent"),
)


def of_directory(event: Recorded[Any]) -> Key:
    """The row of the directory whose event it is."""
    return (event.stream,)


projection = Projection(directories, log="files", key=of_directory, inline=True)
projection.touched_by([Directory.Described])


@projection.creates
def made(event: Recorded[Directory.Made]) -> Values:
    facts = event.event
    above = parent(facts.path)
    return {
        "vo": event.vo,
        "path": facts.path,
        "parent": directory_stream(above) if above else None,
        "owner": facts.owner,
        "owner_group": facts.group,
        "mode": facts.mode,
        "created_at": event.at,
    }


@projection
def protected(event: Recorded[Directory.Protected]) -> Values:
    facts = event.event
    return {"owner": facts.owner, "owner_group": facts.group, "mode": facts.mode}


def among(column: Any, ids: Sequence[UUID]) -> ColumnElement[bool]:
    """That a column is one of these: one parameter, however many they are."""
    return cast(ColumnElement[bool], column == any_(literal(list(ids), ARRAY(Uuid))))


def named(paths: Sequence[str]) -> Select[Any]:
    """Directories by their paths."""
    return select(directories).where(among(directories.c.directory, [directory_stream(path) for path in paths]))


def inside(path: str) -> Select[Any]:
    """The directories right below one."""
    query = select(directories).where(directories.c.parent == directory_stream(path))
    return query.order_by(directories.c.path).limit(MOST_INSIDE + 1)


def under(path: str) -> ColumnElement[bool]:
    """That a directory is this one, or anywhere below."""
    path_c = directories.c.path.collate("C")
    return (path_c == path) | ((path_c > path + "/") & (path_c < path + "0"))
