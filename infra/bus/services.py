"""Calls that may be held for long, over RabbitMQ: a pilot's offer waits in the matcher until there is a job for it.

Nothing here is durable on purpose: a lost question is asked again by the pilot with the same id, and what was decided
stands in the log.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import structlog
from aio_pika.abc import AbstractChannel
from aio_pika.message import IncomingMessage, Message

from domain.errors import Code, Refused
from infra.bus.interface import ServiceHandler, Stop
from infra.bus.link import Link, Publisher, Session, keep_consuming
from infra.bus.topology import classic

REPLIES = "amq.rabbitmq.reply-to"
AHEAD = 0  # no limit: a held call must not hold up the next one
_log = structlog.get_logger()


def service_queue(service: str) -> str:
    """The queue of a service's questions; gone an hour after its last provider."""
    return f"spinor.service.{service}"


async def declare(channel: AbstractChannel, service: str) -> None:
    """Make sure of the queue."""
    arguments = classic(expires=3_600_000, max_length=100_000)
    await channel.declare_queue(service_queue(service), durable=True, arguments=arguments)


class Calls:
    """Asks services and matches the answers."""

    def __init__(self, link: Link) -> None:
        self._publisher = Publisher(link, self._listen)
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._declared: set[str] = set()
        self._channel: AbstractChannel | None = None

    async def call(self, service: str, body: bytes, timeout: float, patience: float) -> bytes:  # noqa: ASYNC109
        """See `infra.bus.interface.Bus.call`."""
        name = uuid4().hex
        answer = self._waiting[name] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._ready(service)
                message = Message(body, correlation_id=name, reply_to=REPLIES, expiration=timeout)
                await self._publisher.publish("", [(service_queue(service), message)], min(timeout, patience))
                reply: bytes = await answer
                return reply
        except TimeoutError:
            raise Refused(Code.DEADLINE, seconds=timeout) from None
        finally:
            self._waiting.pop(name, None)
            answer.done() and not answer.cancelled() and answer.exception()

    async def _ready(self, service: str) -> None:
        """The queue must exist before the first question, whoever comes first."""
        if self._channel is None or self._channel.is_closed or service not in self._declared:
            await self._publisher.publish("", [], 5)  # opens the channel
            if self._channel is None:
                raise Refused(Code.BUS_AWAY)
            await declare(self._channel, service)
            self._declared.add(service)

    async def _listen(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self._declared.clear()
        replies = await channel.get_queue(REPLIES, ensure=False)
        await replies.consume(self._arrived, no_ack=True)
        channel.close_callbacks.add(self._lost)

    async def _arrived(self, message: Any) -> None:
        answer = self._waiting.get(message.correlation_id)
        if answer and not answer.done():
            answer.set_result(message.body)

    def _lost(self, *_: Any) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Refused(Code.BUS_AWAY))


Reply = Callable[[IncomingMessage, bytes], Awaitable[None]]


async def provide(link: Link, service: str, handle: ServiceHandler, reply: Reply, pause: float) -> Stop:
    """Answer the questions of a service until the result is awaited."""
    working: set[asyncio.Task[None]] = set()

    async def work(message: IncomingMessage) -> None:
        try:
            await reply(message, await handle(message.body))
        except Exception as fault:
            _log.warning("bus.call_failed", service=service, error=repr(fault))

    async def arrived(message: Any) -> None:
        task = asyncio.create_task(work(message))
        working.add(task)
        task.add_done_callback(working.discard)

    async def opened(session: Session) -> None:
        await declare(session.channel, service)
        queue = await session.channel.get_queue(service_queue(service), ensure=False)
        await queue.consume(arrived, no_ack=True)

    consuming = asyncio.create_task(keep_consuming(link, AHEAD, opened, lambda: None, pause))

    async def stop() -> None:
        for task in (consuming, *working):
            task.cancel()
        await asyncio.gather(consuming, *working, return_exceptions=True)

    return stop
