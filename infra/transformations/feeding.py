"""What follows from the events of files: those that fit the query of a transformation become its inputs."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from domain.data.directory import Directory
from domain.data.field import Known
from domain.messages import Event, Recorded
from domain.transformations.inputs import FillInputs
from domain.transformations.matching import Index, Query
from domain.transformations.transformation import FED
from handlers.transformations.feeding import policy
from infra.consumers import Batches, origin_of
from infra.runtime import Runtime
from infra.store import Connection
from infra.transformations.finding import FIELDS, FILES, facts_of, parsed, readable
from infra.transformations.work import LOG, Part, attach, locked

LIVE = """select vo, name, owner, owner_group, reads_all, definition, max_tasks from transformations
    where vo = any($1::text[]) and source = 'query' and status in ('Active', 'Paused')"""


def feeding(runtime: Runtime) -> Batches:
    """The work of the policy. What is live is asked anew for every batch: who started before a file came gets it."""

    async def work(connection: Connection, events: Sequence[Recorded[Event]]) -> Iterable[str]:
        rows = await connection.fetch(LIVE, list({event.vo for event in events}))
        if not rows:
            return ()
        for vo in sorted({row["vo"] for row in rows}):
            ours = [event for event in events if event.vo == vo]
            await _fed(runtime, connection, [row for row in rows if row["vo"] == vo], ours)
        return (LOG, "timers")

    return work


async def _fed(runtime: Runtime, connection: Connection, live: Sequence[Any], events: Sequence[Recorded[Any]]) -> None:
    vo, last = events[0].vo, events[-1]
    fields = {each["name"]: Known(*each) for each in await connection.fetch(FIELDS, vo)}
    queries = {row["name"]: query for row in live if (query := parsed(row, fields))}
    part = Part(runtime, connection, origin_of(policy.name, last))
    for name in _touched(queries, events):
        await part.again("fill", FillInputs(vo, name))
    ids = {event.stream for event in events if not isinstance(event.event, Directory.Described)}
    files = await connection.fetch(FILES, list(ids)) if ids else []
    wanted = await _wanted(connection, files, {row["name"]: row for row in live}, queries)
    held = await locked(connection, [(vo, name) for name in wanted])
    for (_, name), row in sorted(held.items()):
        if row["status"] in FED:
            await attach(part, row, wanted[name])


async def _wanted(
    connection: Connection, files: Sequence[Any], live: dict[str, Any], queries: dict[str, Query]
) -> dict[str, dict[UUID, str]]:  # fmt: skip
    """The files that each transformation wants, and may read."""
    index = Index(queries.values())
    facts = await facts_of(connection, files, queries.values())
    wanted: dict[str, dict[UUID, str]] = defaultdict(dict)
    for file in files:
        lfn = f"{file['path']}/{file['name']}"
        for name in index.wanting(lfn, facts[file["file"]]):
            if readable(live[name], file):
                wanted[name][file["file"]] = lfn
    return wanted


def _touched(queries: dict[str, Query], events: Sequence[Recorded[Any]]) -> list[str]:
    """The transformations that ask for a field which was set for a whole directory: all below it is looked at again."""
    fields = {field for event in events if isinstance(event.event, Directory.Described) for field in event.event.values}
    return sorted(name for name, query in queries.items() if any(c.field.name in fields for c in query.conditions))
