"""Folded changes of a view, written with one statement per kind of change; and the tables of the views."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cache

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from domain.messages import Event, Recorded
from infra.bulk import rows
from infra.store import Connection
from projections.projection import Add, Changes, Key, Projection, Values

Alike = list[tuple[Key, Values]]
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


async def apply(
    connection: Connection, view: Projection, events: Iterable[Recorded[Event]], table: str | None = None
) -> None:
    """Write what these events mean for a view, inside the caller's transaction. Rows are locked in order of key."""
    await write(connection, view, view.fold(events), table or view.name)


async def write(connection: Connection, view: Projection, changes: Changes, table: str) -> None:
    """One statement for each set of columns that change together."""
    if changes.dropped:
        keys = sorted(changes.dropped)
        await connection.execute(_drop(view, table), *zip(*keys, strict=True))
    for names, alike in _alike(changes.created):
        await _put(connection, view, table, names, alike, True)
    for names, alike in _alike(changes.updated):
        await _put(connection, view, table, names, alike, False)


def create_statements(view: Table, name: str | None = None) -> list[str]:
    """The DDL of a view's table, or of its twin `name` that a rebuild fills beside it."""
    text = [str(CreateTable(view).compile(dialect=DIALECT))]
    indexes = sorted(view.indexes, key=lambda index: str(index.name))  # a set: the same in every process
    text += [str(CreateIndex(index).compile(dialect=DIALECT)) for index in indexes]
    if name:
        text = [part.replace(f"TABLE {view.name}", f"TABLE {name}").replace(f"ON {view.name} ", f"ON {name} ")
                .replace("INDEX ", f"INDEX {name}_") for part in text]  # fmt: skip
    return text


def definition(view: Table) -> str:
    """How a view's table is defined, to be compared with how it was."""
    return ";\n".join(create_statements(view))


def _alike(changed: dict[Key, Values]) -> Iterable[tuple[tuple[str, ...], Alike]]:
    """Rows grouped by the columns they change; a column to add to is marked with a plus."""
    groups: dict[tuple[str, ...], Alike] = defaultdict(list)
    for key in sorted(changed):
        values = changed[key]
        if values:
            names = tuple(values)
            if Add in map(type, values.values()):
                names = tuple(f"+{n}" if isinstance(v, Add) else n for n, v in values.items())
            groups[names].append((key, values))
    return groups.items()


async def _put(
    connection: Connection, view: Projection, table: str, names: tuple[str, ...], alike: Alike, create: bool
) -> None:
    keys = [column.name for column in view.table.primary_key]
    of_keys = zip(keys, zip(*(key for key, _ in alike), strict=True), strict=True)
    columns = [(name, _type(view, name), list(values)) for name, values in of_keys]
    for marked in names:
        name = marked.lstrip("+")
        cells = [row[name] for _, row in alike]
        columns.append((name, _type(view, name), cells if name == marked else [cell.n for cell in cells]))
    source = rows(columns)
    before, after = _statement(view, table, names, create)
    await connection.execute(before + source.sql + after, *source.parameters)


@cache
def _drop(view: Projection, table: str) -> str:
    keys = [column.name for column in view.table.primary_key]
    unnest = ", ".join(f"${n}::{_type(view, name)}[]" for n, name in enumerate(keys, 1))
    return f"delete from {table} where ({', '.join(keys)}) in (select * from unnest({unnest}))"


@cache
def _statement(view: Projection, table: str, names: tuple[str, ...], create: bool) -> tuple[str, str]:
    """What stands before and after the rows."""
    keys = [column.name for column in view.table.primary_key]
    columns = ", ".join(keys + [name.lstrip("+") for name in names])
    sets = ", ".join(_assignment(name, "excluded" if create else "u") for name in names)
    newer = f"t.version < {'excluded' if create else 'u'}.version"
    guard = newer if view.guarded else "true"
    if create:
        again = f" on conflict ({', '.join(keys)}) do update set {sets} where {guard}"
        return f"insert into {table} as t ({columns}) ", again
    match = " and ".join(f"t.{key} = u.{key}" for key in keys)
    return f"update {table} t set {sets} from (", f") u ({columns}) where {match} and {guard}"


def _assignment(name: str, source: str) -> str:
    plain = name.lstrip("+")
    return f"{plain} = t.{plain} + {source}.{plain}" if name.startswith("+") else f"{plain} = {source}.{plain}"


@cache
def _type(view: Projection, name: str) -> str:
    return str(view.table.c[name].type.compile(dialect=DIALECT))
