"""Views of a new release: one that is new, or whose table is defined otherwise than before, is filled from the log."""

from infra.leader import leading
from infra.rebuild import rebuild
from infra.runtime import Runtime
from infra.views import definition
from projections.projection import Projection

KNOWN = "select view, definition from view_definitions"
KEEP = """insert into view_definitions (view, definition) values ($1, $2)
    on conflict (view) do update set definition = excluded.definition, at = now()"""


async def renew(runtime: Runtime) -> list[str]:
    """Fill what must be filled before anything is read or written; the names. One process does it, others wait."""
    if not await _stale(runtime):
        return []
    async with leading(runtime.pool, "renew"):
        stale = await _stale(runtime)
        for view in stale:
            await rebuild(runtime, view.name)
            await runtime.pool.execute(KEEP, view.name, definition(view.table))
    return [view.name for view in stale]


async def _stale(runtime: Runtime) -> list[Projection]:
    known = {row["view"]: row["definition"] for row in await runtime.pool.fetch(KNOWN)}
    return [view for view in runtime.system.projections if known.get(view.name) != definition(view.table)]
