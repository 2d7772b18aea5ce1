"""The log in PostgreSQL: append with expected versions, load streams, read in order. Nothing here knows a job."""

import os
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import asyncpg
from msgspec import Raw

from domain.errors import Code, Refused
from domain.messages import Aggregate, Event, Origin, Recorded
from infra.bulk import rows
from infra.bus.messages import WireEvent
from infra.codec import Codec

Connection: TypeAlias = Any  # of asyncpg, which has no types: a connection, or a pool's proxy of one

COLUMNS = (
    "stream_id, version, topic, schema_version, data, event_id, cause_id, correlation_id, actor, vo, token, recorded_at"
)
SELECT = """select position, stream_id, version, topic, schema_version, data, event_id, cause_id, correlation_id, actor,
    vo, recorded_at from {log}"""


UNMARKED = ~((0xF << 76) | (0x3 << 62))
MARKED = (4 << 76) | (0b10 << 62)  # version 4, made twice as fast as by uuid4
getrandbits = random.SystemRandom().getrandbits


# Whatever a lost connection makes of what was under way; the client library may lose track of its own state, too.
TROUBLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# The database, not the work, is in trouble: try the same again when it is better.
AWAY = (
    OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError, asyncpg.DiskFullError, asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError, asyncpg.InternalClientError,
)  # fmt: skip


JOBS_A_RANGE = 20  # bits: about a million jobs in one partition
AHEAD = 3  # partitions made before they are needed


CONFLICTS = 10  # in a row, until who asked is told that others were faster
A = TypeVar("A", bound=Aggregate)
T = TypeVar("T")


class Conflict(Exception):
    """Somebody appended to one of the streams first, or a deadlock was broken: reload and decide again."""


def table(log: str) -> str:
    """The table of a log; log names are part of the program, never of its input."""
    if not log.isidentifier():
        raise ValueError(f"{log!r} is no name of a log")
    return f"log_{log}"


def record(event: Event, stream: UUID, version: int, origin: Origin) -> Recorded[Event]:
    """An event about to be appended; its position is drawn by the database."""
    correlation = origin.correlation
    return Recorded(
        0, stream, version, event, UUID(int=getrandbits(128) & UNMARKED | MARKED), origin.cause, correlation,
        origin.actor, origin.vo, origin.at,
    )  # fmt: skip


def wired(row: asyncpg.Record) -> WireEvent:
    """A row as it travels: the stored bytes, not decoded."""
    position, stream, version, topic, schema, data, id_, cause, correlation, actor, vo, at = row
    return WireEvent(position, stream, version, topic, schema, Raw(data), id_, cause, correlation, actor, vo, at)


class Store:
    """All logs of one database, over a pool of raw connections.

    Who is in a transaction and needs something that is not part of it takes a connection from `aside`: from the same
    pool, all could hold one and wait for a second.
    """

    def __init__(self, pool: asyncpg.Pool, codec: Codec, aside: asyncpg.Pool | None = None) -> None:
        self.pool = pool
        self.aside = aside or pool
        self.codec = codec
        self._ranges: set[int] = set()  # of job numbers, known to have their partition

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A unit of work: everything in it commits together or not at all.

        Raises:
            Conflict: the database gave up on it, in favour of another one.
        """
        try:
            async with self.pool.acquire() as connection, connection.transaction():
                yield connection
        except asyncpg.TransactionRollbackError as fault:
            raise Conflict(str(fault)) from fault

    async def retried(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What some work answers, in a transaction of its own; it is done again when others were faster.

        Raises:
            Refused: BUSY, they were faster ten times in a row.
        """
        for _ in range(CONFLICTS):
            try:
                async with self.transaction() as connection:
                    return await work(connection)
            except Conflict:
                continue
        raise Refused(Code.BUSY)

    async def append(
        self, connection: Connection, log: str, events: Sequence[Recorded[Event]], tokens: Sequence[str | None] = ()
    ) -> None:
        """Append events, of one or many streams, inside the caller's transaction. Versions are the expected ones.

        Raises:
            Conflict: a version exists already. The transaction is void then.
        """
        if not events:
            return
        fresh = await self.prepare(connection, [e.event for e in events], create=True)
        texts = [self.codec.encode(e.event) for e in events]
        self.codec.forget(fresh)  # until they are committed nobody else may seal with them
        try:
            source = rows(
                [
                    ("stream_id", "uuid", [e.stream for e in events]),
                    ("version", "int", [e.version for e in events]),
                    ("topic", "text", [e.event.TOPIC for e in events]),
                    ("schema_version", "smallint", [e.event.SCHEMA for e in events]),
                    ("data", "text", texts),
                    ("event_id", "uuid", [e.id for e in events]),
                    ("cause_id", "uuid", [e.cause for e in events]),
                    ("correlation_id", "uuid", [e.correlation for e in events]),
                    ("actor", "text", [e.actor for e in events]),
                    ("vo", "text", [e.vo for e in events]),
                    ("token", "text", list(tokens) or [None] * len(events)),
                    ("recorded_at", "timestamptz", [e.at for e in events]),
                ]
            )
            await connection.execute(f"insert into {table(log)} ({COLUMNS}) {source.sql}", *source.parameters)
        except asyncpg.UniqueViolationError as fault:
            raise Conflict(fault.detail) from fault

    async def load(
        self, connection: Connection, log: str, streams: Sequence[UUID]
    ) -> dict[UUID, list[Recorded[Event]]]:
        """The whole histories of some streams, each in its order; streams without events are missing."""
        rows = await connection.fetch(
            SELECT.format(log=table(log)) + " where stream_id = any($1::uuid[]) order by stream_id, version", streams
        )
        found: dict[UUID, list[Recorded[Event]]] = defaultdict(list)
        for row in rows:
            found[row["stream_id"]].append(self.recorded(row))
        return found

    async def state(self, aggregate: type[A], stream: UUID) -> A:
        """What a thing is at the moment; a blank one if nothing has happened to it."""
        async with self.pool.acquire() as connection:
            return aggregate.told((await self.load(connection, aggregate.LOG, [stream])).get(stream, ()))

    async def read(
        self,
        connection: Connection,
        log: str,
        after: int,
        upto: int | None = None,
        limit: int = 2000,
        partitions: tuple[int, Sequence[int]] | None = None,
    ) -> list[asyncpg.Record]:
        """Raw rows in order of position, `after` excluded, `upto` included; of the given partitions if any are given.

        Only positions up to the log's head are final: see `infra.reader`.
        """
        clauses = ["position > $1"]
        arguments: list[Any] = [after, limit]
        if upto is not None:
            arguments.append(upto)
            clauses.append(f"position <= ${len(arguments)}")
        if partitions is not None:
            arguments += [partitions[0], list(partitions[1])]
            clauses.append(
                f"get_byte(uuid_send(stream_id), 5) % ${len(arguments) - 1}::int = any(${len(arguments)}::int[])"
            )
        where = " and ".join(clauses)
        rows: list[asyncpg.Record] = await connection.fetch(
            f"{SELECT.format(log=table(log))} where {where} order by position limit $2", *arguments
        )
        return rows

    def recorded(self, row: asyncpg.Record) -> Recorded[Event]:
        """The event in a row, sealed fields still sealed."""
        position, stream, version, topic, schema, data, id_, cause, correlation, actor, vo, at = row
        event = self.codec.decode(topic, schema, data)
        return Recorded(position, stream, version, event, id_, cause, correlation, actor, vo, at)

    async def prepare(self, connection: Connection, events: Iterable[Event], *, create: bool = False) -> set[str]:
        """Fetch the keys that sealed fields of these events need; make them for new subjects when `create`.

        The subjects whose keys may be of this very transaction, and would be lost with it.
        """
        missing = sorted(self.codec.subjects(events))
        if not missing:
            return set()
        if create:
            await connection.execute(
                "insert into subject_keys select * from unnest($1::text[], $2::bytea[]) on conflict do nothing",
                missing,
                [os.urandom(32) for _ in missing],
            )
        older = "xmin::text::bigint < (pg_current_xact_id()::text::bigint & 4294967295)" if create else "true"
        rows = await connection.fetch(
            f"select subject, key, {older} from subject_keys where subject = any($1::text[])", missing
        )
        self.codec.keys.update({subject: key for subject, key, _ in rows})
        return {subject for subject, _, settled in rows if not settled}

    async def forget(self, subject: str) -> bool:
        """Forget a person: what is sealed for them can never be opened again, and the log keeps its bytes.

        Whether there was a key. Other processes keep theirs in memory until they start anew; views keep what they
        show until they are rebuilt.
        """
        self.codec.forget([subject])
        return await self.pool.fetchval("delete from subject_keys where subject = $1 returning true", subject) or False

    async def history(self, log: str, stream: UUID) -> list[Recorded[Event]]:
        """One stream, opened for reading by people."""
        async with self.pool.acquire() as connection:
            events = (await self.load(connection, log, [stream])).get(stream, [])
            await self.prepare(connection, [e.event for e in events])
        return [
            Recorded(e.position, e.stream, e.version, self.codec.unseal(e.event), e.id, e.cause, e.correlation,
                     e.actor, e.vo, e.at)
            for e in events
        ]  # fmt: skip

    def renew(self) -> None:
        """Forget what was learned from the database: it may be another one now, with other keys and partitions."""
        self.codec.forget_all()
        self._ranges.clear()

    async def make_room(self, last: int) -> None:
        """Make sure that the log has partitions for job numbers up to `last`, and three more ahead."""
        part = last >> JOBS_A_RANGE
        if part + AHEAD in self._ranges:
            return
        for number in range(part + AHEAD + 1):
            if number not in self._ranges:
                await self.aside.execute("select create_job_range($1)", number)
                self._ranges.add(number)

    async def keep_bodies(self, bodies: dict[str, str]) -> None:
        """Store texts under their digests; what is there already stays."""
        if bodies:
            await self.aside.execute(
                "insert into bodies select * from unnest($1::text[], $2::text[]) on conflict do nothing",
                list(bodies),
                list(bodies.values()),
            )

    async def body(self, digest: str) -> str:
        """The text with this digest.

        Raises:
            Refused: NOT_FOUND.
        """
        text = await self.aside.fetchval("select body from bodies where digest = $1", digest)
        if text is None:
            raise Refused(Code.NOT_FOUND, thing="description", name=digest)
        return str(text)
