"""How pilots prove themselves and what they are refused: gathered for a second, counted in one statement.

Refusals are counted for pilots that exist only: whoever makes up stamps fills no table.
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime

import asyncpg
import structlog

from infra.store import TROUBLE

PAUSE = 1.0  # seconds
MOST = 10_000  # pairs of pilot and code between two writes
COUNT = """insert into pilot_proofs (vo, stamp, code, count, first_at, last_at)
    select u.vo, u.stamp, u.code, u.count, $5, $5
    from unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) u (vo, stamp, code, count)
    join pilots p on p.vo = u.vo and p.stamp = u.stamp
    on conflict (vo, stamp, code) do update
        set count = pilot_proofs.count + excluded.count, last_at = excluded.last_at"""
OF_ONE = "select code, count, first_at, last_at from pilot_proofs where vo = $1 and stamp = $2 order by last_at desc"
log_ = structlog.get_logger("spinor.proofs")


class Proofs:
    """Counts by pilot and code; the empty code is a proof that was accepted."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._some = asyncio.Event()

    def note(self, vo: str, stamp: str, code: str = "") -> None:
        """Count one; it is written within about a second."""
        key = (vo, stamp, code)
        if key in self._counts or len(self._counts) < MOST:
            self._counts[key] += 1
            self._some.set()

    async def of(self, vo: str, stamp: str) -> list[dict[str, object]]:
        """What is known of one pilot, the latest first."""
        return [dict(row) for row in await self._pool.fetch(OF_ONE, vo, stamp)]

    async def run(self) -> None:
        """Write what was counted until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(PAUSE)
            await self.flush()

    async def flush(self) -> None:
        """Write what was counted so far. What cannot be written is kept for the next time."""
        self._some.clear()
        batch, self._counts = self._counts, Counter()
        if not batch:
            return
        keys = sorted(batch)
        columns = [[key[place] for key in keys] for place in range(3)]
        try:
            await self._pool.execute(COUNT, *columns, [batch[key] for key in keys], datetime.now(UTC))
        except TROUBLE as fault:
            log_.warning("counts of proofs wait", reason=repr(fault))
            self._counts.update(batch)
            self._some.set()
