"""Views are disposable: rebuilt from the log beside the live one and swapped under load, or compared with the log."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg

from domain.errors import Code, Refused
from infra.consumers import opened as unsealed
from infra.leader import leading
from infra.reader import Reader
from infra.runtime import Runtime
from infra.store import SELECT, Connection, table
from infra.views import create_statements, write
from projections.projection import Projection

CHUNK = 5000  # events folded into one write
PATIENCE = "1s"  # how long everybody may wait behind us while we wait for the table
TRIES = 60
Progress = Callable[[int, int], None]

TAKE_OVER = """insert into positions (consumer, log, partition, position)
    select $1, $2, number, $4 from generate_series(0, $3 - 1) number
    on conflict (consumer, log, partition) do update set position = excluded.position, updated_at = now()"""
HANDLED = """ and position <= coalesce((select p.position from positions p where p.consumer = '{consumer}'
        and p.log = '{log}' and p.partition = get_byte(uuid_send(l.stream_id), 5) % {partitions}), 0)
    and not exists (select from parked p where p.consumer = '{consumer}' and p.log = '{log}'
        and p.stream_id = l.stream_id and p.position <= l.position)"""
NAMES = """select conname as name, true as is_constraint from pg_constraint where conrelid = $1::regclass
    union all select relname, false from pg_class c join pg_index i on i.indexrelid = c.oid
    where i.indrelid = $1::regclass and not exists (select from pg_constraint where conindid = c.oid)"""


async def rebuild(runtime: Runtime, view_name: str, progress: Progress | None = None) -> None:
    """Fill a twin of a view's table from the log and put it in the table's place, while everything else goes on.

    `progress(done, total)` is called in positions of the log. Privileges granted on the old table are not carried over.

    Raises:
        Refused: NOT_FOUND, there is no such view; BUSY, the table was in use for a minute without a pause. The live
            view is untouched then.
    """
    view = _view(runtime, view_name)
    async with leading(runtime.pool, f"rebuild.{view.name}") as connection:
        await _Rebuild(runtime, view, progress or _silent).run(connection)


async def verify(runtime: Runtime, view_name: str) -> list[tuple[Any, ...]]:
    """The keys of the rows in which a view differs from a fresh fold of the log: missing, surplus or different ones.

    Both are seen in one snapshot, so writers do not matter; of a view that follows, only what it has handled counts.

    Raises:
        Refused: NOT_FOUND, there is no such view.
    """
    view = _view(runtime, view_name)
    names = ", ".join(column.name for column in view.table.c)
    keys = [column.name for column in view.table.primary_key]
    handled = HANDLED.format(consumer=view.name, log=view.log, partitions=runtime.partitions)
    async with runtime.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        (create, *_) = create_statements(view.table, "fresh_fold")
        await connection.execute(create.replace("CREATE TABLE", "CREATE TEMPORARY TABLE"))
        await _fold(runtime, connection, connection, view, "fresh_fold", "" if view.inline else handled, _silent)
        rows = await connection.fetch(
            f"with live as (select {names} from {view.name}), fresh as (select {names} from fresh_fold), "
            f"different as ((table live except table fresh) union (table fresh except table live)) "
            f"select distinct {', '.join(keys)} from different order by {', '.join(keys)}"
        )
        await connection.execute("drop table fresh_fold")
    return [tuple(row) for row in rows]


class _Rebuild:
    """One rebuild: fill, index, catch up, swap."""

    def __init__(self, runtime: Runtime, view: Projection, progress: Progress) -> None:
        self.runtime = runtime
        self.view = view
        self.progress = progress
        self.twin = f"{view.name}_twin"
        self.reader = Reader(runtime.store, view.log)

    async def run(self, connection: Connection) -> None:
        store, log = self.runtime.store, self.view.log
        await connection.execute(f"drop table if exists {self.twin}")
        (create, *indexes) = create_statements(self.view.table, self.twin)
        await connection.execute(create)
        head = await connection.fetchval("select position from log_heads where log = $1", table(log))
        async with self.runtime.pool.acquire() as source, source.transaction(isolation="repeatable_read"):
            upto = f" and position <= {int(head)}"
            await _fold(self.runtime, source, connection, self.view, self.twin, upto, self.progress)
        self.reader = Reader(store, log, head)
        await self._catch_up(connection)
        for statement in indexes:
            await connection.execute(statement)
        for _ in range(TRIES):
            await self._catch_up(connection)
            try:
                async with connection.transaction():
                    return await self._swap(connection)
            except (asyncpg.LockNotAvailableError, asyncpg.TransactionRollbackError):
                await asyncio.sleep(0.1)
        await connection.execute(f"drop table {self.twin}")
        raise Refused(Code.BUSY)

    async def _catch_up(self, connection: Connection) -> None:
        """Everything that is final by now."""
        while rows := await self.reader.next(connection, CHUNK):
            await _apply(self.runtime, connection, self.view, self.twin, rows)
            self.progress(self.reader.position, self.reader.position)

    async def _swap(self, connection: Connection) -> None:
        """In one short transaction: keep everybody out, apply the rest, change the names."""
        await connection.execute(f"set local lock_timeout = '{PATIENCE}'")
        if not self.view.inline:
            await self._take_over(connection)
        await connection.execute(f"lock table {self.view.name} in access exclusive mode")
        if self.view.inline:
            # Whoever wrote to the view held its lock until the commit: all that concerns it can be seen now.
            await self._rest(connection, "")
        await connection.execute(f"drop table {self.view.name}")
        await connection.execute(f"alter table {self.twin} rename to {self.view.name}")
        for name, is_constraint in await connection.fetch(NAMES, self.view.name):
            if name.startswith(f"{self.twin}_"):
                new = name.removeprefix(f"{self.twin}_")
                new = f"{self.view.name}_{new}" if is_constraint else new
                what = f"table {self.view.name} rename constraint" if is_constraint else "index"
                await connection.execute(f"alter {what} {name} {'' if is_constraint else 'rename '}to {new}")

    async def _take_over(self, connection: Connection) -> None:
        """The consumer goes on behind what the twin holds: its next commit finds other positions, and it reads them."""
        view = self.view
        mine = [view.name, view.log]
        await connection.execute(TAKE_OVER.replace("do update set position = excluded.position, updated_at = now()",
                                                   "do nothing"), *mine, self.runtime.partitions, 0)  # fmt: skip
        reached = await connection.fetch(
            "select position from positions where consumer = $1 and log = $2 order by partition for update", *mine
        )
        furthest = max(row["position"] for row in reached)
        await self._rest(connection, f" and position <= {furthest}")
        position = max(furthest, self.reader.position)
        await connection.execute(TAKE_OVER, *mine, self.runtime.partitions, position)
        await connection.execute("delete from parked where consumer = $1 and log = $2", *mine)

    async def _rest(self, connection: Connection, upto: str) -> None:
        where = f"where position > $1 and topic = any($2){upto} order by position"
        query = f"{SELECT.format(log=table(self.view.log))} {where}"
        rows = await connection.fetch(query, self.reader.position, list(self.view.topics))
        await _apply(self.runtime, connection, self.view, self.twin, rows)


async def _fold(
    runtime: Runtime, source: Connection, target: Connection, view: Projection, name: str, where: str,
    progress: Progress,
) -> None:  # fmt: skip
    """The events of a snapshot, in order, through a cursor of the server."""
    text = SELECT.format(log=f"{table(view.log)} l")
    last = await source.fetchval(f"select max(position) from {table(view.log)}") or 0
    cursor = await source.cursor(f"{text} where topic = any($1){where} order by position", list(view.topics))
    while rows := await cursor.fetch(CHUNK):
        await _apply(runtime, target, view, name, rows)
        progress(rows[-1]["position"], last)


async def _apply(
    runtime: Runtime, connection: Connection, view: Projection, name: str, rows: list[asyncpg.Record]
) -> None:
    events = [runtime.store.recorded(row) for row in rows if row["topic"] in view.topics]
    await runtime.store.prepare(connection, [event.event for event in events])
    await write(connection, view, view.fold(unsealed(runtime.decider, events)), name)


def _view(runtime: Runtime, name: str) -> Projection:
    found = next((view for view in runtime.system.projections if view.name == name), None)
    if found is None:
        raise Refused(Code.NOT_FOUND, thing="view", name=name)
    return found


def _silent(done: int, total: int) -> None:
    return None
