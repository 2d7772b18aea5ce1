"""Inputs that are named, and those that are there already: a bulk or a page in each transaction."""

from typing import Any
from uuid import UUID

from domain.data.access import READ, Asker, Guarded, may
from domain.data.names import check_file, file_stream
from domain.errors import Code, Refused
from domain.transformations.definition import Source
from domain.transformations.inputs import AddInputs, FillInputs
from domain.transformations.task import PackInputs
from domain.transformations.transformation import ATTACHING, FED, MANAGERS, Status
from gateway.errors import explained
from infra.front import Service
from infra.runtime import Runtime
from infra.transformations.finding import FILES, facts_of, query_of, readable
from infra.transformations.work import Part, Told, attach, definition, held, service
from infra.views import DIALECT
from projections.data import values
from projections.data.directories import directories

PAGE = 5000  # files looked at in one transaction
DIRECTORIES = 1000  # and directories
FILLED = FED | {Status.DRAINING}  # what was there at the start is taken to its end
WITHIN = """select f.file from unnest($1::uuid[]) w (directory) cross join lateral (
    select x.file from data_files x where x.directory = w.directory and x.status = 'Active'
        and (x.directory <> $2 or x.name > $3) order by x.name limit $4) f limit $4"""


def adding(runtime: Runtime) -> Service:
    """`transformation.add`: files by their names."""
    return service(runtime, AddInputs, _add)


def filling(runtime: Runtime) -> Service:
    """`transformation.fill`: files that are there already."""
    return service(runtime, FillInputs, _fill)


async def _add(part: Part, command: AddInputs) -> Told:
    row = await held(part.connection, command.vo, command.name)
    who = Asker(command.owner, command.group, part.origin.rights)
    if command.owner != row["owner"] and not part.origin.rights & MANAGERS:
        raise Refused(Code.FORBIDDEN, right="to be its owner, or ProductionManagement")
    if definition(row).source is not Source.LIST:
        raise Refused(Code.TRANSFORMATION, field="source", problem="only one with source `list` takes files by name")
    if row["status"] not in ATTACHING:
        raise Refused(Code.TRANSFORMATION_STATE, transformation=command.name, status=row["status"],
                      verb="adding inputs", possible="whatever start makes of it")  # fmt: skip
    results, good = await _looked_up(part, command, who)
    return {"attached": await attach(part, row, good), "results": results}


async def _looked_up(part: Part, command: AddInputs, who: Asker) -> tuple[list[Any], dict[UUID, str]]:
    """An error or None for each name, and the files that are there and may be read."""
    there = {file["file"]: file
             for file in await part.connection.fetch(FILES, [file_stream(lfn) for lfn in command.lfns])}  # fmt: skip
    results: list[Any] = []
    good: dict[UUID, str] = {}
    for lfn in command.lfns:
        file = there.get(file_stream(lfn))
        try:
            check_file(command.vo, lfn)
            if file is None:
                raise Refused(Code.FILE_UNKNOWN, lfn=lfn)
            guarded = Guarded(file["path"], file["directory_owner"], file["directory_group"], file["mode"])
            if not may(who, guarded, READ):
                raise Refused(Code.DATA_FORBIDDEN, verb="read", path=file["path"])
        except Refused as refused:
            results.append(explained(refused))
            continue
        results.append(None)
        good[file["file"]] = lfn
    return results, good


async def _fill(part: Part, command: FillInputs) -> Told:
    row = await held(part.connection, command.vo, command.name)
    query = await query_of(part.connection, row)
    if definition(row).source is not Source.QUERY or row["status"] not in FILLED or query is None:
        return {"attached": 0}
    asked = [condition for condition in query.conditions if condition.field.holder == "directory"]
    wanted = values.holding(command.vo, query.path or f"/{command.vo}", asked)
    wanted = wanted.where(directories.c.directory >= command.directory).order_by(directories.c.directory)
    text = str(wanted.limit(DIRECTORIES).compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
    places = [each["directory"] for each in await part.connection.fetch(text)]
    ids = [each["file"] for each in
           await part.connection.fetch(WITHIN, places, command.directory, command.after, PAGE)]  # fmt: skip
    files = await part.connection.fetch(FILES, ids)
    facts = await facts_of(part.connection, files, [query])
    found = {file["file"]: f"{file['path']}/{file['name']}" for file in files}
    wants = {id_: lfn for id_, lfn in found.items() if query.wants(lfn, facts[id_])}
    good = {file["file"]: wants[file["file"]] for file in files if file["file"] in wants and readable(row, file)}
    new = await attach(part, row, good)
    if place := _next(places, ids, files):
        await part.again("fill", FillInputs(command.vo, command.name, *place))
    elif row["status"] == Status.DRAINING:
        await part.again("pack", PackInputs(command.vo, command.name))
    return {"attached": new}


def _next(places: list[UUID], ids: list[UUID], files: list[Any]) -> tuple[UUID, str] | None:
    """Where the next page begins; None at the end."""
    if len(ids) == PAGE:
        last = next((file for file in files if file["file"] == ids[-1]), None)
        return (last["directory"], last["name"]) if last else (places[0], "")
    if len(places) == DIRECTORIES:
        return (UUID(int=places[-1].int + 1), "")
    return None
