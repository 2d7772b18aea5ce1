"""Questions to the command side over RabbitMQ, and their answers by direct reply-to."""

import asyncio
from typing import Any
from uuid import uuid4

from aio_pika.abc import AbstractChannel
from aio_pika.message import Message

from domain.errors import Code, Refused
from infra.bus import topology
from infra.bus.link import Link, Prepare, Publisher
from infra.bus.messages import Outcome, read_outcomes

REPLIES = "amq.rabbitmq.reply-to"  # a queue that is none: the broker hands answers straight to our channel

Answer = asyncio.Future[list[Outcome]]


class Caller:
    """Asks on one channel and matches the answers; a lost channel fails what waits on it."""

    def __init__(self, link: Link, declare: Prepare) -> None:
        self._declare = declare
        self._publisher = Publisher(link, self._listen)
        self._waiting: dict[str, Answer] = {}

    async def call(self, bodies: list[bytes], patience: float, expires: float) -> list[Outcome]:
        """The answers to all, in order; the broker drops a question that nobody took for `expires` seconds.

        Raises:
            Refused: BUS_AWAY.
        """
        asked: dict[str, Answer] = {uuid4().hex: asyncio.get_running_loop().create_future() for _ in bodies}
        self._waiting |= asked
        try:
            questions = zip(asked, bodies, strict=True)
            messages = [(topology.REQUESTS, _question(body, name, expires)) for name, body in questions]
            await self._publisher.publish("", messages, patience)
            return [outcome for answer in asked.values() for outcome in await answer]
        finally:
            for name, answer in asked.items():
                self._waiting.pop(name, None)
                answer.done() and not answer.cancelled() and answer.exception()  # seen, else asyncio complains

    async def _listen(self, channel: AbstractChannel) -> None:
        await self._declare(channel)
        replies = await channel.get_queue(REPLIES, ensure=False)
        await replies.consume(self._arrived, no_ack=True)
        channel.close_callbacks.add(self._lost)

    async def _arrived(self, message: Any) -> None:
        answer = self._waiting.get(message.correlation_id)
        if answer is None or answer.done():
            return
        try:
            answer.set_result(read_outcomes(message.body))
        except Refused as refusal:
            answer.set_exception(refusal)

    def _lost(self, *_: Any) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Refused(Code.BUS_AWAY))


def _question(body: bytes, name: str, expires: float) -> Message:
    """Not persistent: its asker does not outlive the broker's restart either."""
    return Message(body, correlation_id=name, reply_to=REPLIES, expiration=expires, content_type="application/json")
