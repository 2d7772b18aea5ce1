"""What must exist in RabbitMQ, declared by whoever needs it first; the same on 3.10, 3.13 and 4.x.

    spinor.envelopes (direct)   -> spinor.<log>.<consumer>.<partition>   classic, single active consumer, bounded
    spinor.requests, .commands     commands that are waited for (classic), and that were sent (quorum)
    spinor.retry.<ms>              sent commands between two tries: expire back into spinor.commands
    spinor.dead                    what the broker gave up on, a consumer died of it time after time
    spinor.inbox (topic)        -> spinor.inbox                          commands of other programs, <vo>.<topic>
    spinor.events (topic)       -> queues of other programs              thin events, <vo>.<topic>

Queues of envelopes may be deleted at any time (the log has all), so they are of the cheap kind: 224 quorum queues take
31 s to declare, classic ones 1 s. An unused one goes after a week, a full one drops its oldest.

Other programs get bus users of their own, whose permissions keep them out of everything else:
configure `^(amq\\.gen.*|<user>\\..*)$`, write `^(spinor\\.inbox|amq\\.gen.*|<user>\\..*)$`,
read `^(spinor\\.events|amq\\.gen.*|<user>\\..*)$`, and topic permissions, write on spinor.inbox and read on
spinor.events, for their VOs: `^lhcb\\.`. Without these the broker lets them speak for, and hear of, every VO.
"""

from collections.abc import Sequence
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractQueue

ENVELOPES, INBOX, EVENTS = "spinor.envelopes", "spinor.inbox", "spinor.events"
REQUESTS, COMMANDS, DEAD = "spinor.requests", "spinor.commands", "spinor.dead"
DELIVERIES = 20  # of one message whose consumer dies, before the broker gives up on it

Arguments = dict[str, Any]


def _named(arguments: dict[str, Any]) -> Arguments:
    return {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}


def classic(**more: Any) -> Arguments:
    """Arguments of a classic queue, always version 2."""
    return {"x-queue-type": "classic", "x-queue-version": 2, **_named(more)}


def quorum(**more: Any) -> Arguments:
    """Arguments of a quorum queue whose dead letters are not lost on their way."""
    return {"x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish", **_named(more)}  # fmt: skip


WORK = quorum(dead_letter_routing_key=DEAD, delivery_limit=DELIVERIES)
SINGLE = classic(single_active_consumer=True, max_length_bytes=64 << 20, overflow="drop-head", expires=7 * 86_400_000)
QUEUES: dict[str, Arguments] = {
    REQUESTS: classic(),
    COMMANDS: WORK,
    INBOX: WORK,
    DEAD: {"x-queue-type": "quorum"},
}


def retry_queue(delay: float) -> str:
    """The queue in which a command waits `delay` seconds."""
    return f"spinor.retry.{round(delay * 1000)}"


def envelope_queue(log: str, consumer: str, partition: int) -> str:
    """The queue of one consumer and partition."""
    return f"spinor.{log}.{consumer}.{partition}"


async def declare(channel: AbstractChannel, delays: Sequence[float]) -> None:
    """Everything that has a fixed name."""
    await channel.declare_exchange(ENVELOPES, ExchangeType.DIRECT, durable=True)
    await channel.declare_exchange(EVENTS, ExchangeType.TOPIC, durable=True)
    inbox = await channel.declare_exchange(INBOX, ExchangeType.TOPIC, durable=True)
    for name, arguments in QUEUES.items():
        queue = await channel.declare_queue(name, durable=True, arguments=arguments)
        if name == INBOX:
            await queue.bind(inbox, "#")
    for delay in delays:
        arguments = quorum(dead_letter_routing_key=COMMANDS, message_ttl=round(delay * 1000))
        await channel.declare_queue(retry_queue(delay), durable=True, arguments=arguments)


async def declare_consumer(channel: AbstractChannel, log: str, consumer: str, partition: int) -> AbstractQueue:
    """One consumer's queue of one partition, bound."""
    name = envelope_queue(log, consumer, partition)
    queue = await channel.declare_queue(name, durable=True, arguments=SINGLE)
    await queue.bind(ENVELOPES, f"{log}.{partition}")
    return queue
