"""A connection to RabbitMQ that is there again after the broker was away, and what publishes and consumes over it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelClosed
from aio_pika.message import IncomingMessage, Message
from aiormq.abc import DeliveredMessage
from yarl import URL

from domain.errors import Code, Refused
from infra.bus.gather import Held

LOST = (*CONNECTION_EXCEPTIONS, TimeoutError)
HEARTBEAT = 15  # seconds after which a silent broker counts as away

_log = structlog.get_logger()

T = TypeVar("T")
Prepare = Callable[[AbstractChannel], Awaitable[Any]]


class Link:
    """One connection, opened when first needed and again after each loss, at most every `pause` seconds."""

    def __init__(self, url: str, name: str, patience: float, pause: float) -> None:
        self.url = URL(url).update_query(heartbeat=HEARTBEAT, name=name)
        self.name, self.patience, self.pause = name, patience, pause
        self._connection: AbstractConnection | None = None
        self._opening = asyncio.Lock()
        self._not_before = 0.0
        self._closing = False

    async def channel(self, confirms: bool = True) -> AbstractChannel:
        """A fresh channel; raises one of LOST."""
        async with self._opening:
            connection = self._connection or await self._connect()
        channel = connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
        await channel.initialize(self.patience)
        return channel

    async def close(self) -> None:
        """Close the connection, if it stands."""
        self._closing = True
        async with self._opening:
            if self._connection:
                await self._connection.close()

    async def _connect(self) -> AbstractConnection:
        clock = asyncio.get_running_loop().time
        if clock() < self._not_before or self._closing:
            raise ConnectionError("the broker was away a moment ago")
        self._not_before = clock() + self.pause
        connection = await aio_pika.connect(self.url, timeout=self.patience)
        connection.close_callbacks.add(self._lost)
        _log.info("bus.connected", name=self.name)
        self._connection = connection
        return connection

    def _lost(self, *reason: Any) -> None:
        self._connection = None
        if not self._closing:
            _log.warning("bus.lost", name=self.name, reason=repr(reason[-1]))


class Publisher:
    """One channel that publishes; `prepare` makes sure of whatever must exist on each new one."""

    def __init__(self, link: Link, prepare: Prepare, confirms: bool = True) -> None:
        self.link, self.prepare, self.confirms = link, prepare, confirms
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()

    async def publish(
        self, exchange: str, messages: Sequence[tuple[str, Message]], patience: float, mandatory: bool = True
    ) -> None:
        """Returns when all messages (each with its routing key) are confirmed, in this order; some may arrive twice.

        Raises:
            Refused: BUS_AWAY, after `patience` seconds.
        """
        try:
            async with asyncio.timeout(patience):
                while not await self.once(exchange, messages, mandatory):
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise Refused(Code.BUS_AWAY) from None

    async def once(self, exchange: str, messages: Sequence[tuple[str, Message]], mandatory: bool = True) -> bool:
        """One try; whether all are confirmed. The broker's no, or nobody to take one, closes the channel."""
        try:
            channel = await uncancelled(self._open())
        except LOST as error:
            _tell("bus.away", error)
            return False
        target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        results = await asyncio.gather(
            *(uncancelled(target.publish(message, key, mandatory=mandatory)) for key, message in messages),
            return_exceptions=True,
        )
        errors = [result for result in results if isinstance(result, BaseException)]
        if errors:
            _log.warning("bus.not_published", exchange=exchange, error=repr(errors[0]))
            self._channel = None
            await closed(channel)
        return not errors

    async def _open(self) -> AbstractChannel:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                channel = await self.link.channel(self.confirms)
                try:
                    await self.prepare(channel)
                except BaseException:
                    await closed(channel)
                    raise
                self._channel = channel
            return self._channel


class Session:
    """The deliveries of one consuming channel: what is not acknowledged yet."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self.outstanding: set[int] = set()

    async def acknowledge(self, tags: list[int]) -> None:
        """Tell the broker, in one word for all that have nothing outstanding before them; a lost channel is no harm."""
        self.outstanding.difference_update(tags)
        floor = min(self.outstanding, default=1 << 63)
        done = max((tag for tag in tags if tag < floor), default=0)
        with suppress(*LOST):
            channel = await self.channel.get_underlay_channel()
            if done:
                await uncancelled(channel.basic_ack(done, multiple=True))
            for tag in tags:
                if tag > floor:
                    await uncancelled(channel.basic_ack(tag))


async def settle(batch: Sequence[Held[Any]]) -> None:
    """Acknowledge what is done, on the channels it came by."""
    for session in {id(held.origin): held.origin for held in batch}.values():
        await session.acknowledge([held.tag for held in batch if held.origin is session])


Opened = Callable[[Session], Awaitable[None]]


async def keep_consuming(link: Link, prefetch: int, opened: Opened, ended: Callable[[], None], pause: float) -> None:
    """Hold a consuming channel, for ever: `opened` declares and consumes on each new one, `ended` hears of its end.

    A lost connection, a closed channel and a deleted queue are the same: all of it is done again.
    """
    while True:
        try:
            await uncancelled(_session(link, prefetch, opened))
        except Exception as error:
            _tell("bus.consuming_stopped", error)
        ended()
        await asyncio.sleep(pause)


async def _session(link: Link, prefetch: int, opened: Opened) -> None:
    channel = await link.channel(confirms=False)
    lost = asyncio.Event()
    channel.close_callbacks.add(lambda *_: lost.set())
    (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(lambda _: lost.set())
    try:
        await channel.set_qos(prefetch)
        await opened(Session(channel))
        await lost.wait()
    finally:
        await closed(channel)


async def consume_bare(session: Session, queue: str, arrived: Callable[[Session, DeliveredMessage], None]) -> None:
    """Consume below aio-pika, whose message object costs as much as all else that is done with an envelope."""
    channel = await session.channel.get_underlay_channel()
    await channel.basic_consume(queue, partial(_received, session, arrived))


def received(session: Session, arrived: Callable[[Session, IncomingMessage], None]) -> Callable[[Any], Awaitable[None]]:
    """A callback for a queue that notes the delivery and passes it on."""
    return partial(_received, session, arrived)


async def _received(session: Session, arrived: Callable[[Session, Any], None], message: Any) -> None:
    session.outstanding.add(message.delivery_tag)
    arrived(session, message)


async def closed(channel: AbstractChannel) -> None:
    """Close it, whatever state it is in."""
    with suppress(*LOST):
        await asyncio.wait_for(channel.close(), 1)


async def uncancelled(action: Awaitable[T]) -> T:
    """The action's result. The client library cancels what waits on a lost channel: that is a loss, not our end."""
    try:
        return await action
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task and task.cancelling():
            raise
        raise ConnectionError("the channel was lost") from error


def _tell(what: str, error: Exception) -> None:
    """An absent broker is told once, by the link; one that says no (a queue of other arguments) each time."""
    if isinstance(error, LOST) and not isinstance(error, ChannelClosed):
        _log.debug(what, error=repr(error))
    else:
        _log.error(what, error=repr(error))
