"""Who is suspended, known in every process without asking: read again when that changes, and often anyway."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import asyncpg
import structlog

from domain.suspension import Kind, Standing, in_force
from infra.store import TROUBLE
from infra.views import DIALECT
from infra.wake import Wakes
from projections import suspensions

LOOK = 3.0  # seconds between looks when nobody wakes us
READ = str(suspensions.in_force().compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
log_ = structlog.get_logger("spinor.suspensions")


class Suspensions:
    """What is in force. A database that is away changes nothing: what was known last still counts."""

    def __init__(self, pool: asyncpg.Pool, wakes: Wakes) -> None:
        self._pool = pool
        self._woken = wakes.event("identity")
        self._known: dict[tuple[str, Kind, str], Standing] = {}
        self._tell: list[Callable[[], None]] = []

    def of(self, vo: str, subject: str = "", group: str = "", *, alone: bool = False) -> Standing | None:
        """What keeps a user of this group and VO from going on, if anything does; `alone`: only themselves count."""
        if not self._known:  # the matcher asks for every owner, every time
            return None
        kinds = (Kind.USER,) if alone else tuple(Kind)
        return in_force(self._known, vo, subject, group, datetime.now(UTC), kinds)

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call this whenever something else is in force than before."""
        self._tell.append(tell)

    async def run(self) -> None:
        """Keep it known until cancelled."""
        while True:
            try:
                await self.read()
            except TROUBLE as fault:
                log_.warning("suspensions are as old as the database is away", reason=repr(fault))
            try:
                await asyncio.wait_for(self._woken.wait(), LOOK)
            except TimeoutError:
                pass
            self._woken.clear()

    async def read(self) -> None:
        """Read what is in force now."""
        rows = await self._pool.fetch(READ)
        found = {
            (row["vo"], kind := Kind(row["kind"]), row["name"]): Standing(
                kind, row["name"], row["reason"], row["label"], row["until"]
            )
            for row in rows
        }
        if found != self._known:
            self._known = found
            for tell in self._tell:
                tell()
