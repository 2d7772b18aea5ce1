"""The files: what each is, and in which directory."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, Select, Table, Text, Uuid, select

from domain.data.file import File, Status
from domain.data.names import directory_stream, file_stream, parent
from domain.messages import Recorded
from projections.data.directories import among, directories, under
from projections.jobs import metadata
from projections.projection import Key, Projection, Values

files = Table(
    "data_files",
    metadata,
    Column("file", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("directory", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("owner_group", Text, nullable=False),
    Column("adler32", Text),
    Column("md5", Text),
    Column("sha256", Text),
    Column("guid", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("data_files_by_name", "directory", "name"),
)
SHOWN = (
    "size", "status", "owner", "owner_group", "adler32", "md5", "sha256", "guid", "created_at", "updated_at",
)  # fmt: skip


def of_file(event: Recorded[Any]) -> Key:
    """The row of the file whose event it is."""
    return (event.stream,)


projection = Projection(files, log="files", key=of_file, inline=True)
projection.touched_by(File.events().values())


@projection.creates
def begun(event: Recorded[File.Registered | File.Announced]) -> Values:
    facts = event.event
    there = isinstance(facts, File.Registered)
    return {
        "directory": directory_stream(parent(facts.lfn)),
        "name": facts.lfn.rpartition("/")[2],
        "size": facts.size,
        "status": (Status.ACTIVE if there else Status.ANNOUNCED).value,
        "owner": facts.owner,
        "owner_group": facts.group,
        "adler32": facts.adler32 or None,
        "md5": facts.md5 or None,
        "sha256": facts.sha256 or None,
        "guid": facts.guid or None,
        "created_at": event.at,
        "updated_at": event.at,
    }


@projection
def stored(event: Recorded[File.Stored]) -> Values:
    facts = event.event
    news = {"adler32": facts.adler32, "sha256": facts.sha256}
    known = {name: value for name, value in news.items() if value}
    return {"status": Status.ACTIVE.value, "updated_at": event.at} | known


@projection
def removed(event: Recorded[File.Removed]) -> Values:
    return {"status": Status.REMOVED.value, "updated_at": event.at}


@projection
def restored(event: Recorded[File.Restored]) -> Values:
    return {"status": Status.ACTIVE.value, "updated_at": event.at}


@projection
def cleared(event: Recorded[File.ReplicaCleared]) -> Values | None:
    return None if event.event.last else {}


# Queries


def with_path(*more: Any) -> Select[Any]:
    """Files with the path of their directory, and what it says about who may do what."""
    d = directories.c
    shown = [files.c[name] for name in SHOWN]
    return select(
        files.c.file, files.c.name, *shown, d.path, d.mode, d.owner.label("directory_owner"),
        d.owner_group.label("directory_group"), *more,
    ).join(directories, d.directory == files.c.directory)  # fmt: skip


def named(lfns: Sequence[str]) -> Select[Any]:
    """Files by their names."""
    return with_path().where(among(files.c.file, [file_stream(lfn) for lfn in lfns]))


def in_directory(path: str, *, after: str = "", limit: int = 1000) -> Select[Any]:
    """The files of a directory, by name; `after` is the last name of the page before."""
    query = with_path().where(files.c.directory == directory_stream(path), files.c.status == Status.ACTIVE.value)
    return query.where(files.c.name > after).order_by(files.c.name).limit(limit)


def below(path: str, *, after: UUID | None = None, limit: int = 1000) -> Select[Any]:
    """The files of a directory and of all below it, in the order of their ids."""
    query = with_path().where(under(path), files.c.status == Status.ACTIVE.value)
    return (query.where(files.c.file > after) if after else query).order_by(files.c.file).limit(limit)
