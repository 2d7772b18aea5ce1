"""What is known of files, as queries of transformations ask for it; and the transformations that ask."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from domain.data.access import MANAGERS, READ, Asker, Guarded, may
from domain.data.field import Known
from domain.data.names import directory_stream, lineage
from domain.data.query import parse
from domain.errors import Refused
from domain.transformations.matching import Facts, Query
from infra.store import Connection
from infra.transformations.work import definition

FIELDS = "select name, type, holder from data_fields where vo = $1"
FILES = """select f.file, f.name, f.size, f.created_at, f.owner, f.owner_group, f.directory, d.path, d.mode,
    d.owner as directory_owner, d.owner_group as directory_group from data_files f
    join data_directories d on d.directory = f.directory where f.file = any($1::uuid[]) and f.status = 'Active'"""
VALUES = "select holder, field, number, text from data_values where holder = any($1::uuid[])"
PLACES = "select file, se from data_replicas where file = any($1::uuid[]) and state in ('Active', 'Suspect')"


async def query_of(connection: Connection, row: Any) -> Query | None:
    """What a transformation wants; None when its fields are not declared as it needs them."""
    fields = {each["name"]: Known(*each) for each in await connection.fetch(FIELDS, row["vo"])}
    return parsed(row, fields)


def parsed(row: Any, fields: Mapping[str, Known]) -> Query | None:
    """The query of a transformation's row."""
    it = definition(row)
    try:
        return Query(row["name"], it.path, parse(it.conditions, fields))
    except Refused:
        return None


def readable(row: Any, file: Any) -> bool:
    """Whether the transformation's owner may read a file: nobody gets more through a transformation."""
    who = Asker(row["owner"], row["owner_group"], MANAGERS if row["reads_all"] else frozenset())
    return may(who, Guarded(file["path"], file["directory_owner"], file["directory_group"], file["mode"]), READ)


async def facts_of(connection: Connection, files: Sequence[Any], queries: Iterable[Query]) -> dict[UUID, Facts]:
    """The values of files by field, those that they inherit too; only what the queries ask for is looked up."""
    fields = {condition.field for query in queries for condition in query.conditions}
    of_directories = await _inherited(connection, files) if any(f.holder == "directory" for f in fields) else {}
    ids = [file["file"] for file in files]
    own = await _values(connection, ids) if any(f.holder == "file" for f in fields) else {}
    places: dict[UUID, tuple[str, ...]] = {}
    if any(f.holder == "standard" and f.name == "se" for f in fields):
        for file, se in await connection.fetch(PLACES, ids):
            places[file] = (*places.get(file, ()), se)
    return {
        file["file"]: {
            **of_directories.get(file["path"], {}), **own.get(file["file"], {}), "size": file["size"],
            "created": file["created_at"].timestamp(), "owner": file["owner"], "group": file["owner_group"],
            "name": file["name"], "se": places.get(file["file"], ()),
        }
        for file in files
    }  # fmt: skip


async def _inherited(connection: Connection, files: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """What directories have, and what they have from those they are in."""
    paths = {file["path"] for file in files}
    steps = {step: directory_stream(step) for path in paths for step in lineage(path)}
    values = await _values(connection, list(steps.values()))
    return {
        path: {field: value for step in lineage(path) for field, value in values.get(steps[step], {}).items()}
        for path in paths
    }


async def _values(connection: Connection, holders: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    found: dict[UUID, dict[str, Any]] = {}
    for holder, field, number, text in await connection.fetch(VALUES, holders):
        found.setdefault(holder, {})[field] = text if number is None else number
    return found
