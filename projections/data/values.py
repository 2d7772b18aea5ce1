"""The metadata: one row a value, indexed as number or text; and how files are found by what they inherit."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Double,
    Index,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    func,
    or_,
    select,
)

from domain.data.directory import Directory
from domain.data.file import File, Status
from domain.data.query import Condition
from domain.messages import Recorded
from projections.data.directories import among, directories, under
from projections.data.files import files, with_path
from projections.data.replicas import replicas
from projections.jobs import metadata
from projections.projection import Key, Projection, Put

MOST_NAMED = 20_000  # directories that are named in a query
values = Table(
    "data_values",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column("holder", Uuid, primary_key=True),
    Column("number", Double),
    Column("text", Text),
    Index("data_values_by_number", "vo", "field", "number"),
    Index("data_values_by_text", "vo", "field", "text"),
    Index("data_values_by_holder", "holder"),
)


def of_holder(event: Recorded[Any]) -> Key:
    """The first row of what the event is about; the steps name their rows themselves."""
    return (event.vo, "", event.stream)


projection = Projection(values, log="files", key=of_holder, inline=True)


@projection.creates
def described(event: Recorded[File.Described | Directory.Described]) -> list[Put]:
    named = event.event.values.items()
    return [_put((event.vo, name, event.stream), value) for name, value in named]


def _put(key: Key, value: Any) -> Put:
    if value is None:
        return Put(key, None)
    is_text = isinstance(value, str)
    return Put(key, {"number": None if is_text else value, "text": value if is_text else None}, True)


# Queries


def of_holders(holders: Sequence[UUID]) -> Select[Any]:
    """The values of some directories and files."""
    return select(values.c.holder, values.c.field, values.c.number, values.c.text).where(
        among(values.c.holder, holders)
    )


def holding(vo: str, path: str, conditions: Sequence[Condition]) -> Select[Any]:
    """The directories below one for which these conditions hold.

    They are asked for first: in one query the planner had to guess how many there are, and read every file there is.
    """
    query = select(directories.c.directory).where(directories.c.vo == vo)
    if path != f"/{vo}":
        query = query.where(under(path))
    for condition in conditions:
        query = query.where(directories.c.directory.in_(_inheriting(_having(vo, condition))))
    return query.limit(MOST_NAMED + 1)


def found(
    vo: str, path: str, conditions: Sequence[Condition], inside: Sequence[UUID] | None, *, after: UUID | None = None,
    limit: int = 1000,
) -> Select[Any]:  # fmt: skip
    """The files below a directory for which all conditions hold, in the order of their ids.

    `inside` are the directories of `holding`, when they are few enough to be named.
    """
    query = with_path().where(files.c.status == Status.ACTIVE.value, directories.c.vo == vo)
    if inside is not None:
        query = query.where(among(files.c.directory, inside))
    elif path != f"/{vo}":
        query = query.where(under(path))
    for condition in conditions:
        if inside is None or condition.field.holder != "directory":
            query = query.where(_holds(vo, condition))
    return (query.where(files.c.file > after) if after else query).order_by(files.c.file).limit(limit)


def count(vo: str, path: str, conditions: Sequence[Condition], inside: Sequence[UUID] | None) -> Select[Any]:
    """How many files there are for which all conditions hold, and their bytes."""
    inner = found(vo, path, conditions, inside, limit=1).order_by(None).limit(None).subquery()
    return select(func.count().label("files"), func.coalesce(func.sum(inner.c.size), 0).label("bytes"))


def _having(vo: str, condition: Condition) -> Select[Any]:
    """The directories or files that have such a value themselves."""
    compared = values.c.number if condition.numbers else values.c.text
    named = and_(values.c.vo == vo, values.c.field == condition.field.name)
    return select(values.c.holder).where(named, _compare(compared, condition))


def _holds(vo: str, condition: Condition) -> ColumnElement[bool]:
    if condition.field.holder == "standard":
        return _standard(condition)
    if condition.field.holder == "file":
        return files.c.file.in_(_having(vo, condition))
    return files.c.directory.in_(_inheriting(_having(vo, condition)))


def _inheriting(having: Select[Any]) -> Select[Any]:
    """The directories that have it, and all that are below."""
    top, below = directories.alias("top"), directories.alias("below")
    path, begin = below.c.path.collate("C"), top.c.path
    inside = and_(path > begin + "/", path < begin + "0")
    return select(below.c.directory).join(top, or_(path == begin, inside)).where(top.c.directory.in_(having))


def _standard(condition: Condition) -> ColumnElement[bool]:
    if condition.field.name == "se":
        of = select(replicas.c.file).where(replicas.c.file == files.c.file, _compare(replicas.c.se, condition))
        return of.exists()
    columns = {"size": files.c.size, "created": files.c.created_at, "owner": files.c.owner,
               "group": files.c.owner_group, "name": files.c.name}  # fmt: skip
    return _compare(columns[condition.field.name], condition)


def _compare(column: Any, condition: Condition) -> ColumnElement[bool]:
    given: Sequence[Any] = condition.numbers or condition.texts
    if condition.field.name == "created" and condition.field.holder == "standard":
        given = [datetime.fromtimestamp(value, UTC) for value in condition.numbers]
    if condition.operator == "in":
        return column.in_(given)  # type: ignore[no-any-return]
    return column.op(condition.operator, is_comparison=True)(given[0])  # type: ignore[no-any-return]
