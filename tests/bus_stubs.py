"""What the tests of the bus share: messages to send, and handlers that note what they got."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import msgspec

from domain.errors import Code, Refused
from infra.bus.inbox import Programs
from infra.bus.interface import Bus, Tuning
from infra.bus.local import Hub, LocalBus
from infra.bus.messages import DeadLetter, Envelope, Outcome, Request, WireEvent, now
from infra.bus.rabbit import RabbitBus

QUICK = Tuning(delays=(0.1, 0.2, 0.4), pause=0.05, patience=5.0, grace=2.0, reconnect=0.1)
TOPICS = frozenset({"job.submit", "job.kill"})
WAIT = 20.0  # seconds a test waits for what must happen


def request(topic: str = "job.submit", number: int = 0, **more: Any) -> Request:
    """A command."""
    data = msgspec.Raw(json.dumps({"number": number}).encode())
    return Request(**{"id": uuid4(), "topic": topic, "data": data, "vo": "lhcb", "actor": "user:ada"} | more)


def event(position: int, stream: UUID | None = None, topic: str = "job.submitted", vo: str = "lhcb") -> WireEvent:
    """An event."""
    data = msgspec.Raw(b'{"name":  "as it is stored"}')
    return WireEvent(position, stream or uuid4(), 1, topic, 1, data, uuid4(), None, None, "user:ada", vo, now())


def envelope(partition: int, previous: int, *positions: int, log: str = "job") -> Envelope:
    """An envelope of events at these positions."""
    events = [event(position) for position in positions]
    return Envelope(log, 1, partition, previous, positions[0], positions[-1], events)


def number(command: Request) -> int:
    """Which of a test's commands it is."""
    return int(json.loads(bytes(command.data))["number"])


class Cemetery:
    """Keeps dead letters."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    async def bury(self, letter: DeadLetter) -> None:
        self.letters.append(letter)


class Listener:
    """A consumer that notes what it gets; `failures` says how often it breaks first, `slow` how long it takes."""

    def __init__(self, failures: int = 0, slow: float = 0) -> None:
        self.batches: list[list[Envelope]] = []
        self.wakes = 0
        self.failures, self.slow, self.calls = failures, slow, 0

    async def __call__(self, envelopes: Sequence[Envelope]) -> None:
        self.calls += bool(envelopes)
        await asyncio.sleep(self.slow)
        if envelopes and self.failures:
            self.failures -= 1
            raise RuntimeError("not yet")
        self.wakes += not envelopes
        self.batches += [list(envelopes)] if envelopes else []

    def positions(self, partition: int) -> list[int]:
        """What came of one partition, in order."""
        several = (one for batch in self.batches for one in batch if one.partition == partition)
        return [one.position for envelope in several for one in envelope.events]

    def seen(self) -> int:
        """How many events came."""
        return sum(len(one.events) for batch in self.batches for one in batch)


class Server:
    """A command side that remembers ids, as the real one does. Odd things happen to those that ask for them."""

    def __init__(self) -> None:
        self.batches: list[list[Request]] = []
        self.received: dict[UUID, int] = {}
        self.away = False
        self.broken: set[int] = set()
        self.hold = asyncio.Event()
        self.hold.set()

    async def __call__(self, requests: Sequence[Request]) -> list[Outcome]:
        self.batches.append(list(requests))
        await self.hold.wait()
        if self.away:
            raise Refused(Code.DATABASE_AWAY)
        if self.broken & {number(one) for one in requests}:
            raise ZeroDivisionError("a bug")
        return [self._outcome(one) for one in requests]

    def numbers(self) -> list[int]:
        """Which commands came, in order, those tried again as often as they came."""
        return [number(one) for batch in self.batches for one in batch]

    def _outcome(self, one: Request) -> Outcome:
        self.received[one.id] = received = self.received.get(one.id, 0) + 1
        if one.topic == "job.kill":
            return Outcome(one.id, False, Code.JOB_STATE.slug, {"job": 5, "status": "done"}, received=received)
        return Outcome(one.id, True, stream=UUID(int=number(one)), version=3, received=received)


class World:
    """Makes members of one bus, in either way, and closes them."""

    def __init__(self, url: str | None = None) -> None:
        self.url, self.hub = url, Hub(pause=QUICK.pause)
        self.cemetery = Cemetery()
        self.members: list[Bus] = []

    def member(self, tuning: Tuning = QUICK, url: str | None = None) -> Bus:
        """One process, so to speak."""
        programs = Programs(TOPICS)
        if self.url:
            made: Bus = RabbitBus(url or self.url, self.cemetery.bury, programs, tuning)
        else:
            made = LocalBus(self.cemetery.bury, self.hub, programs, tuning)
        self.members.append(made)
        return made

    async def close(self) -> None:
        await asyncio.gather(*(member.close() for member in self.members))


@asynccontextmanager
async def world(url: str | None = None) -> AsyncIterator[World]:
    """A bus whose members are closed at the end."""
    made = World(url)
    try:
        yield made
    finally:
        await made.close()


async def until(condition: Callable[[], object], patience: float = WAIT) -> None:
    """Wait for it; TimeoutError when it never comes."""
    async with asyncio.timeout(patience):
        while not condition():
            await asyncio.sleep(0.01)
