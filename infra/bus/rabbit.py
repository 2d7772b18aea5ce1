"""The bus on RabbitMQ: envelopes and commands over bare aio-pika, batches in one message."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity
from aio_pika.message import IncomingMessage, Message
from aiormq.abc import DeliveredMessage

from domain.errors import Code, Refused
from infra.bus import services, topology
from infra.bus.caller import Caller
from infra.bus.deliveries import arrival, message, passing, retried, task
from infra.bus.gather import Gather, Held, Runner
from infra.bus.inbox import Programs
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
from infra.bus.link import (
    LOST,
    Link,
    Opened,
    Publisher,
    Session,
    closed,
    consume_bare,
    keep_consuming,
    received,
    settle,
)
from infra.bus.messages import Envelope, Outcome, Outcomes, Request, WireEvent, encode, now
from infra.bus.packing import announced, due, fitting, packed
from infra.bus.rabbit_inbox import Inbox
from infra.bus.reading import Reading
from infra.bus.work import Arrival, Consumer, Desk, Incoming, Task, Wake
from infra.waiting import end, within

ENVELOPES_AHEAD = 10  # a partition
MESSAGES_AHEAD = 500  # a queue of commands


class RabbitBus:
    """A member of a bus. `name` is what the broker's lists of connections show."""

    def __init__(
        self, url: str, on_dead: Burial, programs: Programs | None = None, tuning: Tuning | None = None,
        name: str = "spinor",
    ) -> None:  # fmt: skip
        self.url, self.on_dead, self.programs = url, on_dead, programs or Programs()
        self.tuning = tuning or Tuning()
        self._out = Link(url, f"{name} publishing", self.tuning.patience, self.tuning.reconnect)
        self._in = Link(
            url, f"{name} consuming", self.tuning.patience, self.tuning.reconnect
        )  # its own: the broker throttles publishers
        self._publisher = Publisher(self._out, self._declare)
        self._caller = Caller(self._out, self._declare)
        self._answers = Publisher(self._out, _nothing, confirms=False)
        self._calls = services.Calls(self._out)
        self._providing: list[Stop] = []
        self._runners: list[tuple[Runner[Any], asyncio.Task[None]]] = []
        self._consuming: list[asyncio.Task[None]] = []
        self._reading = Reading()
        self._inbox: Inbox | None = None
        self._taking: asyncio.Task[None] | None = None

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        messages = [
            (f"{part.log}.{part.partition}", passing(body))
            for envelope in envelopes
            for part, body in fitting(envelope)
        ]
        await self._publisher.publish(topology.ENVELOPES, messages, self.tuning.patience, mandatory=False)

    async def announce(self, events: Sequence[WireEvent]) -> None:
        messages = [(key, message(body)) for key, body in announced(events)]
        await self._publisher.publish(topology.EVENTS, messages, self.tuning.patience, mandatory=False)

    async def send(self, requests: Sequence[Request]) -> None:
        messages = [(topology.COMMANDS, message(body)) for _, body in packed(requests)]
        await self._publisher.publish("", messages, self.tuning.patience)

    async def request(self, requests: Sequence[Request], timeout: float) -> list[Outcome]:  # noqa: ASYNC109
        bodies = [body for _, body in packed(due(requests, now() + timedelta(seconds=timeout)))]
        try:
            async with asyncio.timeout(timeout):
                return await self._caller.call(bodies, min(timeout, self.tuning.patience), timeout)
        except TimeoutError:
            raise Refused(Code.DEADLINE, seconds=timeout) from None

    async def subscribe(self, consumer: str, log: str, partitions: int, handle: EnvelopeHandler) -> Stop:
        gather: Gather[Arrival] = Gather(EVENTS_AT_ONCE, pause=self.tuning.pause)

        def arrived(session: Session, delivery: DeliveredMessage) -> None:
            gather.put(arrival(consumer, self._reading, session, delivery))

        async def opened(session: Session) -> None:
            await self._declare(session.channel)
            for partition in range(partitions):
                queue = await topology.declare_consumer(session.channel, log, consumer, partition)
                await consume_bare(session, queue.name, arrived)
            gather.put(Held("wake", Wake(), origin=session))

        runner = Runner(gather, Consumer(consumer, handle, self.on_dead).work, settle)
        return await self._run(gather, runner, ENVELOPES_AHEAD, opened)

    async def call(self, service: str, body: bytes, timeout: float) -> bytes:  # noqa: ASYNC109
        return await self._calls.call(service, body, timeout, self.tuning.patience)

    async def provide(self, service: str, handle: ServiceHandler) -> Stop:
        async def reply(question: IncomingMessage, answer: bytes) -> None:
            address = question.reply_to or ""
            await self._answers.once("", [(address, Message(answer, correlation_id=question.correlation_id))], False)

        stop = await services.provide(self._in, service, handle, reply, self.tuning.reconnect)
        self._providing.append(stop)
        return stop

    async def serve(self, handle: RequestHandler) -> None:
        gather: Gather[Task] = Gather(REQUESTS_AT_ONCE, pause=self.tuning.pause)

        async def opened(session: Session) -> None:
            await self._declare(session.channel)
            for name in (topology.REQUESTS, topology.COMMANDS, topology.DEAD):
                queue = await session.channel.get_queue(name, ensure=False)
                await queue.consume(received(session, partial(arrived, name)))

        def arrived(queue: str, session: Session, delivery: IncomingMessage) -> None:
            gather.put(task(queue, session, delivery))

        runner = Runner(gather, Desk(handle, self, self.on_dead).work, settle)
        await self._run(gather, runner, MESSAGES_AHEAD, opened)
        if self.programs.topics and not self._inbox:
            self._inbox = Inbox(self.url, self, self.programs, self.tuning)
            self._taking = asyncio.create_task(self._inbox.run())

    async def answer(self, incoming: Incoming, outcomes: list[Outcome]) -> None:
        """Tell the asker, if it is still there."""
        address, name = incoming.answer_to
        reply = Message(encode(Outcomes(outcomes)), correlation_id=name, content_type="application/json")
        await self._answers.once("", [(address, reply)], mandatory=False)

    async def again(self, request: Request, attempts: int, first_at: datetime) -> bool:
        """Deliver it again after the delay of this try; False after the last. Raises BUS_AWAY."""
        if attempts > len(self.tuning.delays):
            return False
        queue = topology.retry_queue(self.tuning.delays[attempts - 1])
        if not await self._publisher.once("", [(queue, retried(request, attempts, first_at))]):
            raise Refused(Code.BUS_AWAY)
        return True

    async def lag(self, consumer: str, log: str, partitions: int) -> int:
        names = [topology.envelope_queue(log, consumer, partition) for partition in range(partitions)]
        try:
            return sum((await self._waiting(names)).values())
        except LOST as error:
            raise Refused(Code.BUS_AWAY) from error

    async def health(self) -> Health:
        retries = [topology.retry_queue(delay) for delay in self.tuning.delays]
        try:
            return Health("rabbitmq", True, waiting=await self._waiting([*topology.QUEUES, *retries]))
        except LOST as error:
            return Health("rabbitmq", False, detail=repr(error))

    async def close(self) -> None:
        if self._inbox and self._taking:
            self._inbox.stop()
            await asyncio.wait([self._taking], timeout=self.tuning.grace)
            self._taking.cancel()
        await asyncio.gather(*(runner.stop(running, self.tuning.grace) for runner, running in self._runners))
        await asyncio.gather(*(stop() for stop in self._providing))
        for consuming in self._consuming:
            consuming.cancel()
        await asyncio.gather(*self._consuming, return_exceptions=True)
        await asyncio.gather(self._in.close(), self._out.close())

    async def _run(self, gather: Gather[Any], runner: Runner[Any], ahead: int, opened: Opened) -> Stop:
        """Start consuming; returns when it works, or after `patience` without the broker (it goes on trying)."""
        ready = asyncio.Event()

        async def opened_once(session: Session) -> None:
            await opened(session)
            ready.set()

        consuming = keep_consuming(self._in, ahead, opened_once, gather.forget, self.tuning.reconnect)
        self._consuming.append(task := asyncio.create_task(consuming))
        self._runners.append((runner, running := asyncio.create_task(runner.run())))
        await within(self.tuning.patience, ready)

        async def stop() -> None:
            await end([task])
            await runner.stop(running, self.tuning.grace)

        return stop

    async def _declare(self, channel: AbstractChannel) -> None:
        await topology.declare(channel, self.tuning.delays)

    async def _waiting(self, queues: Sequence[str]) -> dict[str, int]:
        """Messages by queue; a queue that is not there has none."""
        waiting = dict.fromkeys(queues, 0)
        channel = await self._out.channel()
        try:
            for name in queues:
                try:
                    queue = await channel.declare_queue(name, passive=True)
                    waiting[name] = queue.declaration_result.message_count or 0
                except ChannelNotFoundEntity:  # which closes the channel, too
                    channel = await self._out.channel()
        finally:
            await closed(channel)
        return waiting


async def _nothing(channel: AbstractChannel) -> None:
    """Answers go to queues that exist."""
