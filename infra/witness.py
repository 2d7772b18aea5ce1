"""What is known of the database outside of it: a file, and on RabbitMQ a queue that keeps its newest message."""

import os
from datetime import datetime
from pathlib import Path
from uuid import UUID

import msgspec
import structlog
from aio_pika import DeliveryMode
from aio_pika.abc import AbstractChannel, AbstractQueue
from aio_pika.message import Message
from msgspec import Struct

from domain.errors import Code, Refused
from infra.bus.link import LOST, Link, Publisher, closed
from infra.bus.topology import classic

QUEUE = "spinor.witness"
FILE = "witness.json"
PATIENCE = 5.0  # seconds with a broker that is away
log_ = structlog.get_logger("spinor.epoch")


class Memory(Struct, frozen=True):
    """What was seen of a database: the last position drawn in each log, the last job number given."""

    installation: UUID
    epoch: int
    positions: dict[str, int]
    job: int
    at: datetime

    def beyond(self, now: "Memory") -> bool:
        """Whether this is more than there is now, in the same installation."""
        return self.installation == now.installation and (
            self.epoch > now.epoch
            or self.job > now.job
            or any(position > now.positions.get(log, 0) for log, position in self.positions.items())
        )


class Witness:
    """Keeps the newest `Memory`. Losing it costs nothing, unless the database is lost at the same time."""

    def __init__(self, data: Path, bus: str) -> None:
        self._path = data / FILE
        self._link = Link(bus, "spinor witness", PATIENCE, 0.5) if bus else None
        self._publisher = Publisher(self._link, _declared) if self._link else None

    async def recall(self) -> list[Memory]:
        """What each place remembers.

        Raises:
            Refused: BUS_AWAY, there is no file and the bus does not answer: nobody knows.
        """
        found = [memory for memory in [self._from_file()] if memory]
        if self._link is None:
            return found
        try:
            return found + await self._from_queue(self._link)
        except LOST as fault:
            if not found:
                raise Refused(Code.BUS_AWAY) from fault
            return found

    async def note(self, memory: Memory) -> None:
        """Remember this, and nothing else; a place that cannot be written is told of and left."""
        body = msgspec.json.encode(memory)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_suffix(".new")
            with fresh.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as fault:
            log_.warning("witness not written", path=str(self._path), reason=str(fault))
        if self._publisher:
            message = Message(body, content_type="application/json", delivery_mode=DeliveryMode.PERSISTENT)
            if not await self._publisher.once("", [(QUEUE, message)]):
                log_.warning("witness not written", queue=QUEUE)

    async def close(self) -> None:
        """Let go of the broker."""
        if self._link:
            await self._link.close()

    def _from_file(self) -> Memory | None:
        try:
            return _read(self._path.read_bytes())
        except FileNotFoundError:
            return None

    async def _from_queue(self, link: Link) -> list[Memory]:
        channel = await link.channel()
        try:
            queue = await _declared(channel)
            message = await queue.get(fail=False, timeout=PATIENCE)
            if message is None:
                return []
            await message.nack(requeue=True)
            memory = _read(message.body)
            return [memory] if memory else []
        finally:
            await closed(channel)


async def _declared(channel: AbstractChannel) -> AbstractQueue:
    return await channel.declare_queue(QUEUE, durable=True, arguments=classic(max_length=1))


def _read(body: bytes) -> Memory | None:
    """A memory of which only a part was written is none."""
    try:
        return msgspec.json.decode(body, type=Memory)
    except msgspec.MsgspecError as fault:
        log_.error("witness not readable", reason=str(fault))
        return None
