"""Reading the log in order without ever stepping over a transaction that could still fill a gap.

Positions are drawn before commit, so a later one may become visible first. The rule: deliver what is contiguous. At a
gap, note which transactions hold a writer's lock on the log (every appender has it from before its position is drawn
until after its commit is visible). When all of those have ended, read again: what is still missing will never come.
A transaction that does not write to this log, however long it idles, is not waited for.
"""

from typing import Any

import asyncpg

from infra.store import Connection, Store, table

WRITERS = """select array_agg(distinct virtualtransaction) from pg_locks
    where locktype = 'relation' and mode = 'RowExclusiveLock' and granted
      and database = (select oid from pg_database where datname = current_database()) and relation = $1::regclass"""


class Reader:
    """One ordered pass over one log; keep one per log, in the process that leads it."""

    def __init__(self, store: Store, log: str, after: int = 0) -> None:
        self.store = store
        self.log = log
        self.position = after  # everything up to here was delivered, or will never exist
        self._waiting: set[str] = set()  # the writers that could still fill a gap
        self._high = after  # the highest position seen when they were noted

    async def next(self, connection: Connection, limit: int = 2000) -> list[asyncpg.Record]:
        """The next final rows in order; empty when there is nothing new, or nothing that is final yet."""
        ended = await self._writers_ended(connection)
        rows = await self.store.read(connection, self.log, self.position, limit=limit)
        ready = _final(rows, self.position, self._high if ended else self.position)
        if len(ready) < len(rows):
            await self._note_writers(connection, rows[-1]["position"])
        if ready:
            self.position = ready[-1]["position"]
        return ready

    @property
    def blocked(self) -> bool:
        """Whether a gap is being waited out: look again soon."""
        return bool(self._waiting) or self._high > self.position

    async def _writers_ended(self, connection: Connection) -> bool:
        if not self._waiting:
            return True
        self._waiting &= await self._writers(connection)
        return not self._waiting

    async def _note_writers(self, connection: Connection, high: int) -> None:
        """After the read: whoever could fill a gap below `high` has its lock by now, or has ended."""
        if not self._waiting:
            self._waiting = await self._writers(connection)
            self._high = high

    async def _writers(self, connection: Connection) -> set[str]:
        found: Any = await connection.fetchval(WRITERS, table(self.log))
        return set(found or ())


def _final(rows: list[asyncpg.Record], position: int, settled: int) -> list[asyncpg.Record]:
    """The rows up to the first gap that is not below `settled`."""
    for number, row in enumerate(rows):
        if row["position"] != position + 1 and row["position"] > settled:
            return rows[:number]
        position = row["position"]
    return rows
