"""What RabbitMQ delivers, read; and what it is given to deliver again."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from aio_pika import DeliveryMode
from aio_pika.message import IncomingMessage, Message
from aiormq.abc import DeliveredMessage

from domain.errors import Code, Refused
from infra.bus import topology
from infra.bus.gather import Held
from infra.bus.link import Session
from infra.bus.messages import DeadLetter, Request, Requests, encode, kept, now, read_requests
from infra.bus.reading import Reading
from infra.bus.work import Arrival, Incoming, Task, unreadable

ATTEMPTS, FIRST_AT = "attempts", "first-at"  # headers of a command that is tried again


def message(body: bytes, headers: dict[str, Any] | None = None) -> Message:
    """A message that survives the broker."""
    return Message(body, headers=headers, content_type="application/json", delivery_mode=DeliveryMode.PERSISTENT)


def passing(body: bytes) -> Message:
    """A message that may be lost with the broker: the log has it, and the next one shows the gap."""
    return Message(body, content_type="application/json", delivery_mode=DeliveryMode.NOT_PERSISTENT)


def retried(request: Request, attempts: int, first_at: datetime) -> Message:
    """A command that is tried again, alone."""
    return message(encode(Requests([request])), {ATTEMPTS: attempts, FIRST_AT: first_at.isoformat()})


def arrival(consumer: str, reading: Reading, session: Session, delivery: DeliveredMessage) -> Held[Arrival]:
    """What came for a consumer of envelopes."""
    tag = delivery.delivery_tag or 0
    try:
        envelope = reading.envelope(delivery.body)
    except Refused as refusal:
        return Held("unreadable", unreadable(consumer, delivery.body, refusal), 1, tag, session)
    return Held(envelope.partition, envelope, len(envelope.events) or 1, tag, session)


def task(queue: str, session: Session, delivery: IncomingMessage) -> Held[Task]:
    """What came for the command side."""
    tag = delivery.delivery_tag or 0
    if queue == topology.DEAD:
        return Held(queue, _given_up(delivery), 1, tag, session)
    try:
        requests = read_requests(delivery.body)
    except Refused as refusal:
        return Held("unreadable", [unreadable("commands", delivery.body, refusal)], 1, tag, session)
    answer_to = (delivery.reply_to, delivery.correlation_id) if delivery.reply_to else None
    attempts, first_at = delivery.headers.get(ATTEMPTS), delivery.headers.get(FIRST_AT)
    since = datetime.fromisoformat(str(first_at)) if first_at else None
    return Held(queue, Incoming(requests, answer_to, int(str(attempts or 0)), since), len(requests), tag, session)


def _given_up(delivery: IncomingMessage) -> list[DeadLetter]:
    """The broker's own dead letters: who handled them died of it, or they were turned away by hand.

    What died in the inbox is the word of another program: never read as a command of ours, whatever it looks like.
    """
    queues, detail = _died_in(delivery)
    source, at = queues[0].removeprefix("spinor."), now()
    if delivery.user_id or topology.INBOX in queues:
        return [DeadLetter(uuid4(), "inbox", "", "", delivery.user_id or "", kept(delivery.body), Code.BROKEN.slug,
                           detail, 1, at, at)]  # fmt: skip
    try:
        requests = read_requests(delivery.body)
    except Refused as refusal:
        return [unreadable(source, delivery.body, refusal, delivery.routing_key or "", delivery.user_id or "")]
    attempts = topology.DELIVERIES if detail == "delivery_limit" else 1
    return [
        DeadLetter(one.id, source, one.topic, one.vo, one.actor, kept(encode(one)), Code.BROKEN.slug, detail, attempts,
                   at, at)
        for one in requests
    ]  # fmt: skip


def _died_in(delivery: IncomingMessage) -> tuple[list[str], str]:
    """The queues in which it died, the last one first, and why it did there."""
    found: Any = delivery.headers.get("x-death")
    deaths = [death for death in found if isinstance(death, dict)] if isinstance(found, list) else []
    queues = [str(death.get("queue", "")) for death in deaths]
    return queues or [topology.DEAD], str(deaths[0].get("reason", "")) if deaths else ""
