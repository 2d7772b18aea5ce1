"""`transformation.pack`: inputs that nobody has claimed become tasks, a part in each transaction."""

from typing import Any

from domain.transformations.definition import Definition, Plugin, Source
from domain.transformations.packing import Candidate, Group, pack
from domain.transformations.task import PackInputs
from domain.transformations.transformation import PACKING, CompleteTransformation, Status
from infra.front import Service
from infra.runtime import Runtime
from infra.transformations.work import Part, Told, create, definition, held, service

PART = 2000  # inputs, or tasks, of one transaction
MOST = 128_000  # unclaimed inputs that are looked at for one group; those of smaller groups wait meanwhile
FREE = """select i.file, i.lfn, f.size, {ses} as ses, i.target from transformation_inputs i
    join data_files f on f.file = i.file and f.status = 'Active'
    where i.transformation = $1 and i.task is null order by i.file, i.target limit $2"""
SES = """array(select r.se from data_replicas r where r.file = i.file and r.state in ('Active', 'Suspect')
    order by r.se)"""
USED = """select target, count(*) as n from transformation_tasks where vo = $1 and name = $2 and target is not null
    group by target"""


def packing(runtime: Runtime) -> Service:
    """The service."""
    return service(runtime, PackInputs, _pack)


async def _pack(part: Part, command: PackInputs) -> Told:
    row = await held(part.connection, command.vo, command.name)
    if row["status"] not in PACKING:
        return {"tasks": 0}
    it, draining = definition(row), row["status"] == Status.DRAINING
    room = max(0, it.max_tasks - row["tasks"]) if it.max_tasks else PART
    groups, more = await _groups(part, row, it, draining, room)
    made = await create(part, row, groups[:room], row["tasks"] + 1)
    if more and made:
        await part.again("pack", command)
    elif draining and not made and not row["open_tasks"] and not await _filling(part, row):
        await part.decide([CompleteTransformation(command.vo, command.name, drained=True)])
    return {"tasks": len(made)}


async def _filling(part: Part, row: Any) -> bool:
    """Whether files that were there at the start are still being attached; the last page has this looked at again."""
    asked = "select exists (select from timers where stream_id = $1 and name = 'fill')"
    return bool(await part.connection.fetchval(asked, row["stream"]))


async def _groups(part: Part, row: Any, it: Definition, draining: bool, room: int) -> tuple[list[Group], bool]:
    """The next groups, and whether there may be more."""
    if it.source is Source.NONE:
        return [Group(())] * min(room, PART), room > PART
    used = {}
    if it.plugin is Plugin.BY_SHARE:
        used = {each["target"]: each["n"] for each in await part.connection.fetch(USED, row["vo"], row["name"])}
    limit = PART
    query = FREE.format(ses="'{}'::text[]" if it.plugin is Plugin.ONE else SES)
    while room:
        rows = await part.connection.fetch(query, row["stream"], limit)
        full = len(rows) == limit
        inputs = [Candidate(file, lfn, size, tuple(ses), target) for file, lfn, size, ses, target in rows]
        groups = pack(it, inputs, used, all_of_it=draining and not full)
        if groups or not full or limit >= MOST:
            return groups, full
        limit *= 4
    return [], False
