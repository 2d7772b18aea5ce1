"""The bus inside one process, for a laptop: the same promises, no server.

A `Hub` stands for the broker; every `LocalBus` on it is one member, as every process is on a real one. Consumers have a
bounded buffer per partition: what does not fit is dropped, oldest first, and the next envelope shows the gap. Nothing
that publishes ever waits for a consumer, so a consumer that publishes cannot lock itself out. What was sent is lost
with the process: whoever must not lose a command keeps it in the database until it is answered.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from domain.errors import Code, Refused
from infra.bus.gather import PAUSE, Gather, Held, Runner
from infra.bus.inbox import Programs, read
from infra.bus.interface import (
    EVENTS_AT_ONCE,
    REQUESTS_AT_ONCE,
    Burial,
    EnvelopeHandler,
    Health,
    RequestHandler,
    ServiceHandler,
    Stop,
    Tuning,
)
from infra.bus.messages import Envelope, Outcome, Request, WireEvent, now
from infra.bus.packing import announced, due, packed
from infra.bus.work import Arrival, Consumer, Desk, Incoming, Task, Wake, unreadable


class Hub:
    """What the members share: buffers of consumers, waiting commands, listeners."""

    def __init__(self, room: int = 20_000, most_waiting: int = 100_000, pause: float = PAUSE) -> None:
        self.room, self.most_waiting, self.pause = room, most_waiting, pause
        self.consumers: dict[tuple[str, str], Gather[Arrival]] = {}
        self.turns: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self.commands: Gather[Task] = Gather(REQUESTS_AT_ONCE, pause=pause)
        self.services: dict[str, list[ServiceHandler]] = defaultdict(list)
        self.listeners: list[tuple[re.Pattern[str], asyncio.Queue[tuple[str, bytes]]]] = []

    def consumer(self, log: str, name: str) -> Gather[Arrival]:
        """The buffers of one consumer, made when first asked for."""
        return self.consumers.setdefault((log, name), Gather(EVENTS_AT_ONCE, self.room, self.pause))


class LocalBus:
    """A member of a hub."""

    def __init__(
        self, on_dead: Burial, hub: Hub | None = None, programs: Programs | None = None, tuning: Tuning | None = None
    ) -> None:
        self.on_dead, self.hub = on_dead, hub or Hub()
        self.programs, self.tuning = programs or Programs(), tuning or Tuning()
        self._runners: list[tuple[Runner[Any], asyncio.Task[None]]] = []

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            for (log, _), gather in self.hub.consumers.items():
                if log == envelope.log:
                    gather.put(Held(envelope.partition, envelope, len(envelope.events) or 1))
        await asyncio.sleep(0)

    async def announce(self, events: Sequence[WireEvent]) -> None:
        for key, body in announced(events) if self.hub.listeners else []:
            for pattern, queue in self.hub.listeners:
                if pattern.fullmatch(key):
                    queue.full() and queue.get_nowait()
                    queue.put_nowait((key, body))
        await asyncio.sleep(0)

    def listen(self, pattern: str, room: int = 1_000) -> asyncio.Queue[tuple[str, bytes]]:
        """Key and body of the announcements under `pattern` (as of a topic exchange); the oldest go when it is full."""
        queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(room)
        words = re.escape(pattern).replace(r"\*", "[^.]+").replace(r"\#", ".*")
        self.hub.listeners.append((re.compile(words), queue))
        return queue

    async def subscribe(self, consumer: str, log: str, partitions: int, handle: EnvelopeHandler) -> Stop:
        gather = self.hub.consumer(log, consumer)
        runner = Runner(gather, Consumer(consumer, handle, self.on_dead).work)

        async def in_turn() -> None:
            async with self.hub.turns[log, consumer]:
                gather.put(Held("wake", Wake()))
                await runner.run()

        task = asyncio.create_task(in_turn())
        self._runners.append((runner, task))

        async def stop() -> None:
            self._runners.remove((runner, task))
            await runner.stop(task, self.tuning.grace)

        return stop

    async def call(self, service: str, body: bytes, timeout: float) -> bytes:  # noqa: ASYNC109
        providers = self.hub.services[service]
        try:
            async with asyncio.timeout(timeout):
                while not providers:
                    await asyncio.sleep(0.05)
                return await providers[0](body)
        except TimeoutError:
            raise Refused(Code.DEADLINE, seconds=timeout) from None

    async def provide(self, service: str, handle: ServiceHandler) -> Stop:
        providers = self.hub.services[service]
        providers.append(handle)

        async def stop() -> None:
            providers.remove(handle)

        return stop

    async def serve(self, handle: RequestHandler) -> None:
        runner = Runner(self.hub.commands, Desk(handle, self, self.on_dead).work)
        self._runners.append((runner, asyncio.create_task(runner.run())))

    async def request(self, requests: Sequence[Request], timeout: float) -> list[Outcome]:  # noqa: ASYNC109
        deadline = now() + timedelta(seconds=timeout)
        answers = []
        for part, _ in packed(due(requests, deadline)):
            answers.append(asyncio.get_running_loop().create_future())
            self.hub.commands.put(Held("requests", Incoming(part, answers[-1]), len(part)))
        try:
            async with asyncio.timeout(timeout):
                return [outcome for answer in answers for outcome in await answer]
        except TimeoutError:
            raise Refused(Code.DEADLINE, seconds=timeout) from None

    async def send(self, requests: Sequence[Request]) -> None:
        parts = packed(requests)
        if len(self.hub.commands) > self.hub.most_waiting:
            raise Refused(Code.BUS_AWAY, waiting=len(self.hub.commands))
        for part, _ in parts:
            self.hub.commands.put(Held("commands", Incoming(part), len(part)))

    async def inbox(self, user: str, key: str, body: bytes) -> None:
        """What a program does by publishing on `spinor.inbox`: `key` is `<vo>.<topic>`."""
        try:
            requests = read(user, key, body, self.programs)
        except Refused as refusal:
            await self.on_dead(unreadable("inbox", body, refusal, key, actor=user))
            return
        await self.send(requests)

    async def lag(self, consumer: str, log: str, partitions: int) -> int:
        return len(self.hub.consumer(log, consumer))

    async def health(self) -> Health:
        return Health("in-process", True, waiting={"commands": len(self.hub.commands)})

    async def close(self) -> None:
        await asyncio.gather(*(runner.stop(task, self.tuning.grace) for runner, task in self._runners))
        self._runners.clear()

    async def answer(self, incoming: Incoming, outcomes: list[Outcome]) -> None:
        """Tell the asker, if it is still there."""
        if not incoming.answer_to.done():
            incoming.answer_to.set_result(outcomes)

    async def again(self, request: Request, attempts: int, first_at: datetime) -> bool:
        """Deliver it again after the delay of this try; False after the last."""
        if attempts > len(self.tuning.delays):
            return False
        held: Held[Task] = Held("commands", Incoming([request], None, attempts, first_at))
        loop = asyncio.get_running_loop()
        loop.call_later(self.tuning.delays[attempts - 1], self.hub.commands.put, held)
        return True
