"""From the log to the bus: final events, in order, in envelopes; the log is the outbox."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import structlog

from domain.errors import Refused
from domain.values import partition
from infra.bus.interface import Bus
from infra.bus.messages import LIMIT, Envelope, WireEvent, proven
from infra.bus.packing import fitting
from infra.complaints import Complaint
from infra.leader import leading
from infra.reader import Reader
from infra.store import TROUBLE, Connection, Store, table, wired
from infra.waiting import within
from infra.wake import Wakes

PACK = 200  # events in one envelope
BATCH = 2000  # rows of one read
LOOK = 1.0  # seconds between looks when nobody wakes us
GAP = 0.005  # seconds between looks at an open gap
BEAT = 5.0  # seconds between empty envelopes that tell quiet partitions how far the log is
log_ = structlog.get_logger("spinor.relay")


class Relay:
    """Publishes one log; one leader at a time, however many run."""

    def __init__(self, store: Store, bus: Bus, wakes: Wakes, log: str, partitions: int) -> None:
        self.store = store
        self.bus = bus
        self.log = log
        self.partitions = partitions
        self.epoch, self.key = 0, b""
        self.wakes = wakes
        self._woken = wakes.event(log)
        self._sent: dict[int, int] = {}
        self._beat = 0.0
        self._trouble = Complaint(log_, "relay pauses")

    async def run(self) -> None:
        """Lead when nobody else does, until cancelled; survives a database or a broker that is away for a while."""
        while True:
            try:
                async with leading(self.store.pool, f"relay.{self.log}") as connection:
                    await self._lead(connection)
            except (*TROUBLE, Refused) as fault:
                self._trouble.about(fault, log=self.log)
                await asyncio.sleep(LOOK)

    async def _lead(self, connection: Connection) -> None:
        position = await connection.fetchval("select position from log_heads where log = $1", table(self.log))
        self.epoch, self.key = await connection.fetchrow("select epoch, envelope_key from installation")
        reader = Reader(self.store, self.log, position)
        self._sent = dict.fromkeys(range(self.partitions), position)
        await self._tell_position(position)
        self._trouble.over(log=self.log)
        while True:
            self._woken.clear()
            rows = await reader.next(connection, BATCH)
            if await connection.fetchval("select epoch from installation") != self.epoch:
                return
            if rows:
                await self._publish(connection, [wired(row) for row in rows])
            elif reader.blocked:
                await asyncio.sleep(GAP)
            else:
                await self._rest(reader.position)

    async def _publish(self, connection: Connection, events: Sequence[WireEvent]) -> None:
        """To the bus first, then the head: a crash in between repeats envelopes, which consumers drop."""
        last = events[-1].position
        await self.bus.publish([proven(envelope, self.key) for envelope in self._packed(events)])
        await self.bus.announce(events)
        await connection.execute(
            "update log_heads set position = $2, updated_at = now() where log = $1", table(self.log), last
        )
        self.wakes.wake(f"{self.log}.final")

    def _packed(self, events: Sequence[WireEvent]) -> list[Envelope]:
        parts: dict[int, list[WireEvent]] = defaultdict(list)
        for event in events:
            parts[partition(event.stream, self.partitions)].append(event)
        envelopes = []
        for number, part in parts.items():
            for start in range(0, len(part), PACK):
                pack = part[start : start + PACK]
                first, last = pack[0].position, pack[-1].position
                whole = Envelope(self.log, self.epoch, number, self._sent[number], first, last, pack)
                envelopes += [whole] if _size(pack) < LIMIT // 2 else [part for part, _ in fitting(whole, LIMIT // 2)]
                self._sent[number] = last
        return envelopes

    async def _rest(self, position: int) -> None:
        """Wait for work; now and then tell the quiet partitions how far the log is final."""
        now = asyncio.get_running_loop().time()
        if now - self._beat > BEAT and any(sent < position for sent in self._sent.values()):
            await self._tell_position(position)
        await within(LOOK, self._woken)

    async def _tell_position(self, position: int) -> None:
        self._beat = asyncio.get_running_loop().time()
        behind = [number for number, sent in self._sent.items() if sent <= position]
        beats = [Envelope(self.log, self.epoch, number, self._sent[number], position, position) for number in behind]
        await self.bus.publish([proven(beat, self.key) for beat in beats])
        self._sent = dict.fromkeys(self._sent, position)


def _size(events: Sequence[WireEvent]) -> int:
    """About how many bytes they are on their way."""
    return sum(1_000 + len(bytes(event.data)) for event in events)
