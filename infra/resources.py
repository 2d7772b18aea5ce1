"""What may be used, known in every process without asking: read again when that changes, and often anyway."""

from collections.abc import Callable, Iterable

import asyncpg
import structlog

from domain.resource import Access
from domain.usable import Place, Statuses, Usable, usable
from infra.store import TROUBLE, Connection
from infra.views import DIALECT
from infra.waiting import within
from infra.wake import Wakes
from projections import resource_status

LOOK = 3.0  # seconds between looks when nobody wakes us
READ = str(resource_status.not_active().compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
log_ = structlog.get_logger("spinor.resources")


class Resources:
    """What is not Active. A database that is away changes nothing: what was known last still counts."""

    def __init__(self, pool: asyncpg.Pool, wakes: Wakes) -> None:
        self._pool = pool
        self._woken = wakes.event("resources")
        self.statuses: Statuses = {}
        self._tell: list[Callable[[], None]] = []

    def usable(self, vo: str, places: Iterable[Place], access: Access = Access.ALL) -> Usable:
        """Whether a VO may use all of these places together, and the worst that is said of them."""
        return usable(self.statuses, vo, places, access)

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call this whenever something may be used that could not before, or the other way round."""
        self._tell.append(tell)

    async def run(self) -> None:
        """Keep it known until cancelled."""
        while True:
            try:
                await self.read()
            except TROUBLE as fault:
                log_.warning("statuses of resources are as old as the database is away", reason=repr(fault))
            await within(LOOK, self._woken)
            self._woken.clear()

    async def read(self, connection: Connection | None = None) -> None:
        """Read what counts now; over the connection of who holds one already."""
        rows = [resource_status.standing(row) for row in await (connection or self._pool).fetch(READ)]
        found = {(each.scope, each.kind, each.name, each.access): each for each in rows}
        if found != self.statuses:
            self.statuses = found
            for tell in self._tell:
                tell()
