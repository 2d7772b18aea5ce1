"""Commands for later: rows in PostgreSQL, found through an index on their due time, delivered through the bus."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import msgspec
import structlog

from domain.errors import Code, Refused
from domain.messages import Command, Event, Later, Recorded
from infra import reachability
from infra.bulk import rows
from infra.bus.interface import Bus
from infra.bus.messages import Request
from infra.complaints import Complaint
from infra.leader import leading
from infra.store import TROUBLE, Connection, Store
from infra.waiting import within
from infra.wake import Wakes

TIMERS = UUID("0f9b4e4e-2f7e-5a3f-9a55-74696d657273")
BATCH = 500
LOOK = 30.0  # seconds between looks when no timer is near and nobody wakes us
REST = 0.05  # seconds after a wake-up: a burst of new timers is one look
ANSWER = 30.0
COLUMNS = "stream_id, name, due, topic, data, vo, cause_id, correlation_id, silence"
SET = """insert into timers ({columns}) {source}
    on conflict (stream_id, name) do update set due = excluded.due, topic = excluded.topic, data = excluded.data,
        cause_id = excluded.cause_id, correlation_id = excluded.correlation_id, silence = excluded.silence"""
DROP = """with gone as (delete from timers where (stream_id, name) in (select * from unnest($1::uuid[], $2::text[])))
    delete from liveness where stream_id = any($1::uuid[])"""
PUT_OFF = """update timers t set due = l.seen + t.silence
    from unnest($1::uuid[], $2::text[], $3::timestamptz[]) u (s, n, d),
        lateral (select seen from liveness where stream_id = u.s limit 1) l
    where t.stream_id = u.s and t.name = u.n and t.due = u.d and t.silence is not null and l.seen + t.silence > now()
    returning t.stream_id"""
FIRED = """delete from timers t using unnest($1::uuid[], $2::text[], $3::timestamptz[]) u (s, n, d)
    where t.stream_id = u.s and t.name = u.n and t.due = u.d"""
LATER = """update timers t set due = now() + interval '1 minute'
    from unnest($1::uuid[], $2::text[], $3::timestamptz[]) u (s, n, d)
    where t.stream_id = u.s and t.name = u.n and t.due = u.d"""
# Nobody decided: without its timer the state would have no end, so the timer stays, behind the others.
UNDECIDED = frozenset(
    code.slug for code in (Code.BROKEN, Code.BUSY, Code.DATABASE_AWAY, Code.DEADLINE, Code.TOPIC_UNKNOWN)
)
STAND = """insert into timers (stream_id, name, due, topic, data, vo) values ($1, $2, now() + $3, $4, $5, '')
    on conflict (stream_id, name) do nothing"""
log_ = structlog.get_logger("spinor.timers")


class Standing(NamedTuple):
    """A timer of the installation itself, that is always set: who decides its command puts it off."""

    name: str
    command: Command
    every: timedelta

    @property
    def stream(self) -> UUID:
        """Its own, for it belongs to no aggregate."""
        return uuid5(TIMERS, self.name)


async def put_off(connection: Connection, standing: Standing, by: timedelta) -> None:
    """Let it be due again, inside the caller's transaction."""
    await connection.execute(
        "update timers set due = now() + $3 where stream_id = $1 and name = $2", standing.stream, standing.name, by
    )


async def set_timers(connection: Connection, laters: Iterable[tuple[Recorded[Event], Later]], store: Store) -> None:
    """Set, replace and drop timers, inside the caller's transaction; the last word on a timer counts."""
    last = {(later.stream, later.name): (cause, later) for cause, later in laters}
    kept = [(cause, later) for cause, later in last.values() if later.command is not None]
    dropped = [later for _, later in last.values() if later.command is None]
    if dropped:
        await connection.execute(DROP, [d.stream for d in dropped], [d.name for d in dropped])
    if kept:
        commands = [later.command for _, later in kept if later.command is not None]
        source = rows(
            [
                ("stream_id", "uuid", [later.stream for _, later in kept]),
                ("name", "text", [later.name for _, later in kept]),
                ("due", "timestamptz", [later.at for _, later in kept]),
                ("topic", "text", [command.TOPIC for command in commands]),
                ("data", "text", [store.codec.encode(command) for command in commands]),
                ("vo", "text", [cause.vo for cause, _ in kept]),
                ("cause_id", "uuid", [cause.id for cause, _ in kept]),
                ("correlation_id", "uuid", [cause.correlation or cause.id for cause, _ in kept]),
                ("silence", "interval", [later.silence for _, later in kept]),
            ]
        )
        await connection.execute(SET.format(columns=COLUMNS, source=source.sql), *source.parameters)


async def silent_ones_wait(connection: Connection, due: Sequence[Any]) -> bool:
    """Let timers of silence that are due wait on, where something was heard or could not be; whether any do."""
    heard = await connection.fetch(PUT_OFF, *_keys(due))
    return await reachability.put_off(connection) or bool(heard)


class Timers:
    """Fires what is due; one leader at a time. A timer is removed when its command has an outcome, not before."""

    def __init__(self, store: Store, bus: Bus, wakes: Wakes, standing: Sequence[Standing] = ()) -> None:
        self.store = store
        self.bus = bus
        self.standing = standing
        self._woken = wakes.event("timers")
        self._trouble = Complaint(log_, "timers pause")

    async def run(self) -> None:
        """Fire timers until cancelled; survives a database or a broker that is away for a while."""
        while True:
            try:
                async with leading(self.store.pool, "timers") as connection:
                    await self._stand(connection)
                    while True:
                        await self._wait(await self.fire(connection))
            except (*TROUBLE, Refused) as fault:
                self._trouble.about(fault)
                await asyncio.sleep(1)

    async def _stand(self, connection: Connection) -> None:
        for one in self.standing:
            data = self.store.codec.encode(one.command)
            await connection.execute(STAND, one.stream, one.name, one.every, one.command.TOPIC, data)

    async def fire(self, connection: Connection) -> datetime | None:
        """Deliver everything that is due; the due time of the next timer, None when there is none."""
        while True:
            rows = await connection.fetch("select * from timers where due <= now() order by due limit $1", BATCH)
            if not rows:
                return await connection.fetchval("select min(due) from timers")  # type: ignore[no-any-return]
            if any(row["silence"] for row in rows) and await silent_ones_wait(connection, rows):
                continue
            outcomes = await self.bus.request([_request(row) for row in rows], ANSWER)
            self._trouble.over()
            undecided = [row for row, o in zip(rows, outcomes, strict=True) if o.code in UNDECIDED]
            if undecided:
                log_.error("timers put off", count=len(undecided), first=undecided[0]["topic"])
                await connection.execute(LATER, *_keys(undecided))
            if decided := [row for row, o in zip(rows, outcomes, strict=True) if o.code not in UNDECIDED]:
                await connection.execute(FIRED, *_keys(decided))

    async def _wait(self, due: datetime | None) -> None:
        pause = LOOK if due is None else min(LOOK, max(0.0, (due - datetime.now(due.tzinfo)).total_seconds()))
        if await within(pause, self._woken):
            await asyncio.sleep(min(REST, pause))
        self._woken.clear()


def _keys(rows: Sequence[Any]) -> list[list[Any]]:
    return [[row[name] for row in rows] for name in ("stream_id", "name", "due")]


def _request(row: Any) -> Request:
    """The command of a timer. Its id is that of this very due time, so firing twice has one effect."""
    id_ = uuid5(TIMERS, f"{row['stream_id']}/{row['name']}/{row['due'].isoformat()}")
    return Request(
        id=id_,
        topic=row["topic"],
        data=msgspec.Raw(row["data"]),
        vo=row["vo"],
        actor="timer",
        cause=row["cause_id"],
        correlation=row["correlation_id"],
    )
