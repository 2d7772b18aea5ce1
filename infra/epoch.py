"""A database that came back in an earlier state: noticed by a witness outside of it, told, and never numbered twice.

The witness is a file in the data directory and, where there is a RabbitMQ, a queue that keeps its newest message. One
process at a time compares: when the server was started again, or the database is a copy, nobody may write (a trigger
says so) until this was done. If the witness saw more than the database knows, the positions and job numbers go on far
behind everything that was ever seen, the epoch is raised, which makes all that is still under way on the bus void, and
what was lost is written down.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import structlog

from domain.errors import Refused
from infra import cuts
from infra.complaints import Complaint
from infra.leader import leading
from infra.store import TROUBLE, Connection, table
from infra.system import System
from infra.wake import Wakes
from infra.witness import Memory, Witness

LOOK = 1.0  # seconds between looks: what is younger than this the witness may have missed
POSITIONS = 1_000_000  # left out after a rewind, for what was drawn after the last look
NUMBERS = 200_000
LOCK = 0x45504F4348
FINGERPRINT = """select pg_postmaster_start_time()::text || '/' || oid from pg_database
    where datname = current_database()"""
LOST = """insert into lost (epoch, what, name, first, last, since, until) values ($1, $2, $3, $4, $5, $6, $7)
    on conflict do nothing"""
UNKNOWN = """insert into lost (epoch, what, name, first, last, vo, pilot)
    select i.epoch, 'attempt', job || '/' || attempt, job, job, $3, $4
    from installation i, unnest($1::bigint[], $2::int[]) asked (job, attempt)
    where exists (select from lost where epoch = i.epoch and what in ('events', 'jobs'))
        and job <= (select last from job_numbers)
        and not exists (select from assignments a where a.vo = $3 and a.job = asked.job and a.pilot = $4
            and a.attempt = asked.attempt)
    on conflict (epoch, what, name) do update set received = lost.received + 1"""
GONE = """insert into lost (epoch, what, name, vo, pilot)
    select epoch, 'pilot', $1 || '/' || $2, $1, $2 from installation i
    where exists (select from lost where epoch = i.epoch and what in ('events', 'jobs'))
    on conflict (epoch, what, name) do update set received = lost.received + 1"""
log_ = structlog.get_logger("spinor.epoch")


class Place:
    """Notices that new connections lead to another database than the ones before: whatever is cached is void then."""

    def __init__(self) -> None:
        self.renew: Callable[[], None] = lambda: None
        self._known = ""

    async def look(self, connection: Connection) -> None:
        """Look where a fresh connection leads."""
        here = str(await connection.fetchval(FINGERPRINT))
        if self._known not in ("", here):
            self.renew()
        self._known = here


class Sentinel:
    """Compares the database with the witness whenever it may have changed, and keeps the witness up to date."""

    def __init__(self, pool: asyncpg.Pool, wakes: Wakes, system: System, witness: Witness) -> None:
        self.pool, self.wakes, self.witness = pool, wakes, witness
        self.logs = sorted(system.logs)
        self._seen: Memory | None = None
        self._trouble = Complaint(log_, "epoch not watched")

    async def run(self) -> None:
        """Watch while nobody else does, until cancelled; survives a database or a broker that is away for a while."""
        try:
            while True:
                try:
                    async with leading(self.pool, "epoch") as connection:
                        await self._lead(connection)
                except (*TROUBLE, Refused) as fault:
                    self._trouble.about(fault)
                    await asyncio.sleep(LOOK)
        finally:
            await self.witness.close()

    async def first(self) -> None:
        """Compare once, at the start of a process; raises as `check`."""
        try:
            async with self.pool.acquire() as connection:
                await self.check(connection)
        finally:
            await self.witness.close()

    async def _lead(self, connection: Connection) -> None:
        await self.check(connection)
        self._trouble.over()
        cut = await cuts.newest(connection)
        while True:
            cut = await cuts.write(connection, cut)
            now = await remembered(connection, self.logs)
            if self._seen is None or (now.epoch, now.positions, now.job) != _facts(self._seen):
                await self.witness.note(now)
                self._seen = now
            await asyncio.sleep(LOOK)

    async def check(self, connection: Connection) -> bool:
        """Compare, let writers in, and say whether the database had been rewound.

        Raises:
            Refused: BUS_AWAY, the only witness is on a bus that does not answer.
        """
        seen = await self.witness.recall()
        seen += [self._seen] if self._seen else []
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
            now = await remembered(connection, self.logs)
            rewound = [memory for memory in seen if memory.beyond(now)]
            if rewound:
                await self._raise_epoch(connection, now, rewound)
            await connection.execute(
                "update installation set verified = server_fingerprint() "
                "where verified is distinct from server_fingerprint()"
            )
        for log in self.logs:
            self.wakes.wake(log)
        return bool(rewound)

    async def _raise_epoch(self, connection: Connection, now: Memory, rewound: Sequence[Memory]) -> None:
        epoch = await raise_epoch(connection, now, rewound)
        log_.error("database rewound", epoch=epoch, had=now.positions, seen=[memory.positions for memory in rewound])


async def remembered(connection: Connection, logs: Sequence[str]) -> Memory:
    """What the database knows at this moment; a rolled back transaction may have taken positions, too."""
    row = await connection.fetchrow("select i.id, i.epoch, n.last from installation i, job_numbers n")
    positions = {
        log: await connection.fetchval(
            f"select case when is_called then last_value else 0 end from {table(log)}_position"
        )
        for log in logs
    }
    return Memory(row["id"], row["epoch"], positions, row["last"], datetime.now(UTC))


async def raise_epoch(connection: Connection, now: Memory, seen: Sequence[Memory]) -> int:
    """Begin a new epoch behind everything that `seen` saw, inside the caller's transaction; its number."""
    clock = int(datetime.now(UTC).timestamp() * 1000)
    epoch = max(clock, now.epoch + 1, *(memory.epoch + 1 for memory in seen))
    await connection.execute("update installation set epoch = $1, verified = server_fingerprint()", epoch)
    until = max(memory.at for memory in seen)
    for log, had in now.positions.items():
        last = max(memory.positions.get(log, 0) for memory in seen)
        since = await connection.fetchval(f"select recorded_at from {table(log)} order by position desc limit 1")
        if last > had:
            await connection.execute(LOST, epoch, "events", log, had + 1, last, since, until)
        await connection.execute("select setval($1, $2)", f"{table(log)}_position", max(last, had) + POSITIONS)
    job = max(memory.job for memory in seen)
    if job > now.job:
        await connection.execute(LOST, epoch, "jobs", "numbers", now.job + 1, job, since, until)
    last = max(job, now.job) + NUMBERS
    await connection.execute("update job_numbers set last = $1", last)
    await connection.execute("select create_job_range(part) from generate_series($1::bigint, $1 + 2) part", last >> 20)
    return epoch


async def unknown(pool: asyncpg.Pool, vo: str, pilot: str, attempts: Sequence[tuple[int, int]]) -> None:
    """Note that a pilot speaks of attempts that no row knows, or of itself, if something was lost in this epoch."""
    if attempts:
        jobs, numbers = [list(column) for column in zip(*sorted(set(attempts)), strict=True)]
        await pool.execute(UNKNOWN, jobs, numbers, vo, pilot)
    else:
        await pool.execute(GONE, vo, pilot)


async def listed(pool: asyncpg.Pool) -> list[dict[str, Any]]:
    """What was lost, newest epoch first: ranges of events and job numbers, then what pilots asked about."""
    rows = await pool.fetch("select * from lost order by epoch desc, what desc, first, name")
    return [dict(row) for row in rows]


async def restored(pool: asyncpg.Pool, system: System, witness: Witness) -> int:
    """Say by hand that the database is not what it was: a new epoch, whatever the witness says; its number."""
    seen = await witness.recall()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
        now = await remembered(connection, sorted(system.logs))
        mine = [memory for memory in seen if memory.installation == now.installation]
        return await raise_epoch(connection, now, [now, *mine])


def _facts(memory: Memory) -> tuple[int, dict[str, int], int]:
    return memory.epoch, memory.positions, memory.job
