"""Say who may use directories, and describe them and files with metadata."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from domain.data.access import check_owner
from domain.data.bulk import DescribePaths, ProtectPaths
from domain.data.directory import DescribeDirectory, ProtectDirectory
from domain.data.field import Known, typed
from domain.data.file import DescribeFile
from domain.data.names import lineage, parent
from domain.errors import Code, Refused
from domain.messages import Command
from infra.data.bulk import Bulk, Directories, Results, Work, decided, few, named, refusals, service
from infra.front import Service
from infra.runtime import Runtime

Values = Mapping[str, Any]
FIELDS = "select name, type, holder from data_fields where vo = $1 and name = any($2::text[])"
# Below one directory a field has one value: those above and those below must not have it.
TAKEN = """select t.field, t.path from unnest($2::text[]) wanted (path) join lateral (
    select v.field, d.path from data_directories d join data_values v on v.holder = d.directory
    where v.vo = $1 and v.field = any($3::text[]) and (d.path = any($4::text[]) or
    (d.path collate "C" > wanted.path || '/' and d.path collate "C" < wanted.path || '0')) ) t on true
    where t.path <> wanted.path and (starts_with(t.path, wanted.path || '/') or starts_with(wanted.path, t.path || '/'))
    """


def describe(runtime: Runtime) -> Service:
    """`files.describe`."""
    return service(runtime, DescribePaths, _describe)


def protect(runtime: Runtime) -> Service:
    """`files.protect`."""
    return service(runtime, ProtectPaths, _protect)


def _protect(runtime: Runtime) -> Work[ProtectPaths]:
    async def work(bulk: Bulk, command: ProtectPaths) -> Results:
        few(command.paths)
        paths = named(bulk.vo, command.paths)
        directories = Directories(bulk)
        await directories.look(strings(paths))
        commands = [_protected(bulk, directories, command, path) for path in paths]
        return refusals(await decided(runtime, bulk, commands))

    return work


def strings(paths: Iterable[str | Refused]) -> list[str]:
    """Those that are names."""
    return [path for path in paths if isinstance(path, str)]


def _protected(bulk: Bulk, known: Directories, command: ProtectPaths, path: str | Refused) -> Command | Refused:
    if isinstance(path, Refused):
        return path
    directory = known.at(path)
    if directory is None:
        return Refused(Code.DIRECTORY_UNKNOWN, path=path)
    try:
        check_owner(bulk.who, directory, "protect")
    except Refused as refused:
        return refused
    if (command.to_owner or command.to_group) and not bulk.who.manages:
        return Refused(Code.DATA_FORBIDDEN, verb="give away", path=path)
    return ProtectDirectory(bulk.vo, path, command.mode, command.to_owner, command.to_group)


def _describe(runtime: Runtime) -> Work[DescribePaths]:
    async def work(bulk: Bulk, command: DescribePaths) -> Results:
        few(command.paths)
        rows = await bulk.connection.fetch(FIELDS, bulk.vo, list(command.values))
        fields = {row["name"]: Known(*row) for row in rows}
        values = _typed(command.values, fields)
        paths = named(bulk.vo, command.paths)
        known = Directories(bulk)
        await known.look(strings(paths))
        taken = await _taken(bulk, known, strings(paths), values)
        commands = [_described(bulk, known, path, values, fields, taken) for path in paths]
        return refusals(await decided(runtime, bulk, commands))

    return work


def _typed(given: Values, fields: Mapping[str, Known]) -> Values:
    """The values as their fields keep them; raises Refused: FIELD_UNKNOWN, FIELD_VALUE."""
    for name in given:
        if name not in fields:
            raise Refused(Code.FIELD_UNKNOWN, name=name[:64])
    return {name: None if value is None else typed(fields[name], value) for name, value in given.items()}


async def _taken(bulk: Bulk, known: Directories, paths: Sequence[str], values: Values) -> dict[str, tuple[str, str]]:
    """Where a field is set above or below a directory already, by directory."""
    wanted = [path for path in paths if known.at(path)]
    above = list({step for path in wanted for step in lineage(path)})
    names = [name for name, value in values.items() if value is not None]
    found = {}
    for path in wanted if names else ():
        row = await bulk.connection.fetchrow(f"{TAKEN} limit 1", bulk.vo, [path], names, above)
        if row:
            found[path] = (row["field"], row["path"])
    return found


def _described(
    bulk: Bulk, known: Directories, path: str | Refused, values: Values, fields: Mapping[str, Known],
    taken: Mapping[str, tuple[str, str]],
) -> Command | Refused:  # fmt: skip
    if isinstance(path, Refused):
        return path
    is_directory = known.at(path) is not None
    if not is_directory and known.at(parent(path)) is None:
        return Refused(Code.FILE_UNKNOWN, lfn=path)
    holder = "directory" if is_directory else "file"
    if wrong := next((name for name in values if fields[name].holder != holder), None):
        return Refused(Code.FIELD_VALUE, name=wrong, problem=f"it is of a {fields[wrong].holder}, {path} is a {holder}")
    if path in taken:
        return Refused(Code.FIELD_TAKEN, name=taken[path][0], path=taken[path][1])
    if refused := known.writable(path if is_directory else parent(path)):
        return refused
    return DescribeDirectory(bulk.vo, path, dict(values)) if is_directory else DescribeFile(bulk.vo, path, dict(values))
