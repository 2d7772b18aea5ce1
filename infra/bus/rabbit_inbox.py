"""The inbox: commands that other programs publish, taken over by FastStream and put to the command side."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, cast
from uuid import UUID

import structlog
from aio_pika.message import IncomingMessage
from faststream import AckPolicy
from faststream.rabbit import Channel, ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitMessage, RabbitQueue
from faststream.rabbit.schemas.queue import QuorumQueueArgs

from domain.errors import Code, Refused
from infra.bus import topology
from infra.bus.gather import LONGEST
from infra.bus.inbox import Programs, read
from infra.bus.interface import Burial, Tuning
from infra.bus.messages import Outcome, Outcomes, Request, encode
from infra.bus.work import buried, unreadable
from infra.waiting import within

PATIENCE = 30.0  # seconds a program that asked for an answer gets it in
ROUNDABOUT = ("x-death", "x-first-death-exchange", "x-first-death-queue")  # headers of what was dead-lettered

_log = structlog.get_logger()


class CommandSide(Protocol):
    """Where commands go from here."""

    on_dead: Burial

    async def send(self, requests: Sequence[Request]) -> None:
        """Leave them there, safely."""

    async def request(self, requests: Sequence[Request], timeout: float) -> list[Outcome]:  # noqa: ASYNC109
        """Have them decided at once."""


class Inbox:
    """A message is acknowledged when its commands are safe in the next queue, or its dead letter in the database.

    A program that names a reply queue gets the outcomes there.
    """

    def __init__(self, url: str, side: CommandSide, programs: Programs, tuning: Tuning) -> None:
        self.url, self.side, self.programs, self.tuning = url, side, programs, tuning
        self._end = asyncio.Event()

    async def run(self) -> None:
        """Take messages until `stop`; FastStream comes back by itself once it has been connected."""
        away = False
        while not self._end.is_set():
            broker = self._broker()
            try:
                await broker.start()
                away = False
                await self._end.wait()
            except Exception as error:
                if not away:  # said once, not twice a second
                    _log.warning("bus.inbox_away", error=repr(error))
                away = True
            finally:
                await broker.stop()
            await within(self.tuning.reconnect, self._end)

    def stop(self) -> None:
        """Take no more; `run` ends when what is at work is done."""
        self._end.set()

    def _broker(self) -> RabbitBroker:
        broker = RabbitBroker(self.url, logger=None, apply_types=False, reconnect_interval=self.tuning.reconnect,
                              default_channel=Channel(prefetch_count=100))  # fmt: skip
        arguments = cast(QuorumQueueArgs, topology.WORK)
        queue = RabbitQueue(topology.INBOX, QueueType.QUORUM, arguments=arguments, routing_key="#")
        exchange = RabbitExchange(topology.INBOX, ExchangeType.TOPIC, durable=True)
        broker.subscriber(queue, exchange, ack_policy=AckPolicy.MANUAL, decoder=_whole)(self.take)
        return broker

    async def take(self, message: RabbitMessage) -> bytes | None:
        """One message of a program; what is returned goes to its reply queue, if it named one."""
        answer = None
        if not _may_hear(message.reply_to, message.raw_message.user_id):
            message.reply_to = ""
        try:
            requests = self._read(message.raw_message)
        except Refused as refusal:
            await self._bury(message.raw_message, refusal)
            answer = refused(requests=[], refusal=refusal)
        else:
            if message.reply_to:
                answer = await self._answer(requests)
            else:
                await self._insist(partial(self._sent, requests, message.raw_message))
        await message.ack()
        return answer if message.reply_to else None

    def _read(self, raw: IncomingMessage) -> list[Request]:
        try:
            came_straight(raw)
            return read(raw.user_id, raw.routing_key or "", raw.body, self.programs)
        except Refused:
            raise
        except Exception as error:  # of whoever admits programs; a message that stays in our hands stops the inbox
            _log.error("bus.inbox_broke", user=raw.user_id, exc_info=error)
            raise Refused(Code.BROKEN, reference=repr(error)[:200]) from error

    async def _bury(self, raw: IncomingMessage, refusal: Refused) -> None:
        letter = unreadable("inbox", raw.body, refusal, raw.routing_key or "", raw.user_id or "")
        await self._insist(partial(buried, self.side.on_dead, letter))

    async def _answer(self, requests: list[Request]) -> bytes:
        try:
            return encode(Outcomes(await self.side.request(requests, PATIENCE)))
        except Refused as refusal:
            return refused(requests, refusal)

    async def _sent(self, requests: list[Request], raw: IncomingMessage) -> bool:
        try:
            await self.side.send(requests)
        except Refused as refusal:
            if refusal.code is Code.BUS_AWAY:
                return False
            await self._bury(raw, refusal)
        return True

    async def _insist(self, action: Callable[[], Awaitable[bool]]) -> None:
        """Again after a growing pause until it is done: the message waits in our hands, and no try is counted."""
        pause = self.tuning.pause
        while not await action():
            await asyncio.sleep(pause)
            pause = min(LONGEST, pause * 2)


def came_straight(raw: IncomingMessage) -> None:
    """The broker has checked the routing key, and with it the VO, only of what was published on our exchange itself.

    Bindings between exchanges, alternate exchanges and dead-lettering bring here whatever key a program likes.

    Raises:
        Refused: FORBIDDEN.
    """
    if raw.exchange != topology.INBOX or any(name in raw.headers for name in ROUNDABOUT):
        raise Refused(Code.FORBIDDEN, right=f"to be published on {topology.INBOX} itself")


def _may_hear(queue: str, user: str | None) -> bool:
    """Whether the program may have answers there: we may write where it may not."""
    return queue.startswith(("amq.gen", "amq.rabbitmq.reply-to.", f"{user}."))


def refused(requests: Sequence[Request], refusal: Refused) -> bytes:
    """The answer when nothing could be decided; the nil id stands for a message whose commands cannot be read."""
    ids = [request.id for request in requests] or [UUID(int=0)]
    return encode(Outcomes([Outcome(one, False, refusal.code.slug, refusal.parameters) for one in ids]))


async def _whole(message: RabbitMessage) -> RabbitMessage:
    """We need the properties as well as the body."""
    return message
