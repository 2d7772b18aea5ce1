"""A consumer of a log: position and effect in one transaction, gaps read from the log, poison parked by stream."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import structlog

from domain.errors import Refused
from domain.messages import Event, Recorded
from domain.values import partition
from infra.bus.messages import Envelope, WireEvent, genuine
from infra.store import AWAY, CONFLICTS, Conflict, Connection, Store, wired

Handle = Callable[[Connection, Sequence[Recorded[Event]]], Awaitable[None]]
CHUNK = 2000  # rows read at once when catching up
TRIES = 3  # of a batch in place, before its events are tried one by one
log_ = structlog.get_logger("spinor.follower")

UNWRITTEN = 20_000  # positions a consumer may be ahead of what it has stored
MOVE = """update positions p set position = u.new, updated_at = now(),
        duplicates = p.duplicates + case when u.partition = $6 then $7 else 0 end,
        gaps = p.gaps + case when u.partition = $6 then $8 else 0 end
    from unnest($3::int[], $4::bigint[], $5::bigint[]) u (partition, old, new)
    where p.consumer = $1 and p.log = $2 and p.partition = u.partition and p.position = u.old
        and (select epoch from installation) = $9
    returning p.partition"""


class Fenced(Exception):
    """Another process moved this consumer's position and owns the partition now, or the database was rewound."""


@dataclass
class Follower:
    """One consumer (policy or view) of one log.

    `topics` are handed to `handle`, in order per stream, exactly once as far as the database is concerned: the
    position is part of the transaction. `positions` are kept per partition.
    """

    name: str
    log: str
    topics: frozenset[str]
    handle: Handle
    store: Store
    partitions: int
    after: Callable[[], None] = lambda: None  # called after each commit
    positions: dict[int, int] = field(default_factory=dict)  # seen: handled, or of no interest
    stored: dict[int, int] = field(default_factory=dict)  # as the database has them
    parked: set[UUID] = field(default_factory=set)
    epoch: int = 0  # of the database; envelopes of another one mean nothing
    key: bytes = b""  # what genuine envelopes are marked with
    duplicates: int = 0  # envelopes that came again, since the last commit
    gaps: int = 0  # reads of the log because an envelope was missing

    def __post_init__(self) -> None:
        self._turn = asyncio.Lock()
        self._failures = 0

    async def __call__(self, envelopes: Sequence[Envelope]) -> None:
        """Handle what the bus delivered; an empty batch is a wake-up to look into the log."""
        async with self._turn:
            try:
                if not self.positions:
                    await self._load()
                await self._take(envelopes)
            except Fenced:
                self.positions.clear()
                raise

    async def catch_up(self) -> None:
        """Read the log up to its head, for all partitions."""
        await self(())

    async def _take(self, envelopes: Sequence[Envelope]) -> None:
        if not envelopes:
            await self._read_gap(range(self.partitions), await self._head())
            return
        envelopes = await self._of_this_epoch(envelopes)
        reached = dict(self.positions)
        behind: dict[int, int] = {}
        for envelope in envelopes:
            if envelope.previous > reached[envelope.partition]:
                behind[envelope.partition] = envelope.previous
            reached[envelope.partition] = max(reached[envelope.partition], envelope.last)
        if behind:
            await self._read_gap(list(behind), max(behind.values()))
        await self._apply(envelopes)

    async def _of_this_epoch(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Those of the database as it is. Positions of another one, or of before it was rewound, mean nothing here."""
        if not all(one.epoch == self.epoch and genuine(one, self.key) for one in envelopes):
            await self._load()
        return [one for one in envelopes if one.epoch == self.epoch and self._is_mine(one)]

    def _is_mine(self, envelope: Envelope) -> bool:
        """One of another log or of a partition that does not exist was put here by mistake: it would fail for ever.

        One without a proof is a forgery: its positions may be such as the log never had.
        """
        mine = envelope.log == self.log and envelope.partition in self.positions
        true = mine and genuine(envelope, self.key)
        if not true:
            what = "forged envelope" if mine else "stray envelope"
            log_.error(what, consumer=self.name, log=envelope.log, partition=envelope.partition, last=envelope.last)
        return true

    async def _apply(self, envelopes: Sequence[Envelope]) -> None:
        """The new events of the envelopes, in one transaction; none when nothing in them is of interest."""
        moved: dict[int, int] = {}
        fresh: list[WireEvent] = []
        for envelope in envelopes:
            mine = moved.get(envelope.partition, self.positions[envelope.partition])
            if envelope.last <= mine:
                self.duplicates += bool(envelope.events)
                continue
            fresh += [e for e in envelope.events if e.position > mine and e.topic in self.topics]
            moved[envelope.partition] = envelope.last
        await self._commit(moved, fresh)

    async def _read_gap(self, partitions: Sequence[int], upto: int) -> None:
        """Read what is missing from the log itself, chunk by chunk."""
        wanted = (self.partitions, tuple(partitions))
        while (after := min(self.positions[p] for p in partitions)) < upto:
            async with self.store.pool.acquire() as connection:
                rows = await self.store.read(connection, self.log, after, upto, CHUNK, wanted)
            reached = rows[-1]["position"] if len(rows) == CHUNK else upto
            events = [wired(row) for row in rows]
            fresh = [e for e in events if e.topic in self.topics and e.position > self.positions[self._partition(e)]]
            self.gaps += 1
            await self._commit({p: max(reached, self.positions[p]) for p in partitions}, fresh)

    async def _commit(self, moved: dict[int, int], events: Sequence[WireEvent]) -> None:
        """One transaction: the effect and the positions. What waits behind a parked event moves the position only.

        A consumer that meets nothing of interest writes its positions now and then, so that a restart need not read
        the whole log again.
        """
        if events or any(position - self.stored[p] > UNWRITTEN for p, position in moved.items()):
            await self._handle(moved, [event for event in events if event.stream not in self.parked])
            self._failures = self.duplicates = self.gaps = 0
            self.stored = {**self.positions, **moved}
            self.after()
        self.positions.update(moved)

    async def _handle(self, moved: dict[int, int], events: Sequence[WireEvent]) -> None:
        for _ in range(CONFLICTS):
            try:
                async with self.store.transaction() as connection:
                    await self._move(connection, moved)
                    if events:
                        await self.handle(connection, [self._recorded(event) for event in events])
                return
            except Conflict:
                continue
            except (*AWAY, Fenced):
                raise
            except Exception as fault:
                return await self._troubled(moved, events, fault)
        raise Conflict(f"{self.name}: {CONFLICTS} conflicts in a row")

    async def _troubled(self, moved: dict[int, int], events: Sequence[WireEvent], fault: Exception) -> None:
        """A batch that cannot be handled: again in place, then one stream at a time, parking the poisonous ones."""
        self._failures += 1
        if self._failures < TRIES:
            raise fault
        log_.warning("batch fails, trying stream by stream", consumer=self.name, reason=repr(fault))
        streams: dict[UUID, list[WireEvent]] = defaultdict(list)
        for event in events:
            streams[event.stream].append(event)
        async with self.store.transaction() as connection:
            await self._move(connection, moved)
            parked = {stream for stream, part in streams.items() if not await self._one(connection, stream, part)}
        self.parked |= parked

    async def _one(self, connection: Connection, stream: UUID, events: Sequence[WireEvent]) -> bool:
        """Whether the events of one stream could be handled; if not, the stream is parked."""
        try:
            async with connection.transaction():
                await self.handle(connection, [self._recorded(event) for event in events])
            return True
        except (*AWAY, Conflict, asyncpg.TransactionRollbackError):
            raise
        except Exception as fault:
            reason = fault.code.slug if isinstance(fault, Refused) else repr(fault)[:2000]
            await connection.execute(
                "insert into parked (consumer, log, stream_id, position, reason) values ($1, $2, $3, $4, $5) "
                "on conflict do nothing",
                self.name, self.log, stream, events[0].position, reason,
            )  # fmt: skip
            log_.error("stream parked", consumer=self.name, stream=str(stream), reason=reason)
            return False

    async def _move(self, connection: Connection, moved: dict[int, int]) -> None:
        """Store the positions, fenced: whoever finds another one there has lost the partition."""
        target = {**self.positions, **moved}
        changed = sorted(n for n, position in target.items() if position != self.stored[n])
        if not changed:
            return
        done = await connection.fetch(
            MOVE, self.name, self.log, changed, [self.stored[n] for n in changed], [target[n] for n in changed],
            changed[0], self.duplicates, self.gaps, self.epoch,
        )  # fmt: skip
        if len(done) < len(changed) or (self.parked and await self._parked(connection) != self.parked):
            raise Fenced(self.name)

    async def _parked(self, connection: Connection) -> set[UUID]:
        """The streams that wait; somebody may have freed some (`infra.parking.retry_parked`)."""
        rows = await connection.fetch(
            "select stream_id from parked where consumer = $1 and log = $2", self.name, self.log
        )
        return {row["stream_id"] for row in rows}

    async def _load(self) -> None:
        """Fetch the positions, making the rows at the first start."""
        pool = self.store.pool
        await pool.execute(
            "insert into positions (consumer, log, partition) select $1, $2, generate_series(0, $3 - 1) "
            "on conflict do nothing",
            self.name, self.log, self.partitions,
        )  # fmt: skip
        rows = await pool.fetch(
            "select partition, position from positions where consumer = $1 and log = $2", self.name, self.log
        )
        self.stored = {row["partition"]: row["position"] for row in rows}
        self.positions = dict(self.stored)
        self.parked = await self._parked(pool)
        self.epoch, self.key = await pool.fetchrow("select epoch, envelope_key from installation")

    async def _head(self) -> int:
        found = await self.store.pool.fetchval("select position from log_heads where log = $1", f"log_{self.log}")
        return int(found or 0)

    def _partition(self, event: WireEvent) -> int:
        return partition(event.stream, self.partitions)

    def _recorded(self, event: WireEvent) -> Recorded[Event]:
        body = self.store.codec.decode(event.topic, event.schema, bytes(event.data))
        return Recorded(
            event.position, event.stream, event.version, body, event.id, event.cause, event.correlation,
            event.actor, event.vo, event.at,
        )  # fmt: skip
