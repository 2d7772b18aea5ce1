"""How much goes into one message: batches are cut to what a broker takes, and never more than needed."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from domain.errors import Code, Refused
from infra.bus.messages import LIMIT, Announcement, Envelope, Request, Requests, WireEvent, encode


def due(requests: Sequence[Request], deadline: datetime) -> list[Request]:
    """The commands, with this deadline where they have none."""
    return [one if one.deadline else replace(one, deadline=deadline) for one in requests]


def packed(requests: Sequence[Request], limit: int = LIMIT, most: int = 2_000) -> list[tuple[list[Request], bytes]]:
    """The commands in as few bodies as the limits (bytes, commands) allow, order kept.

    Raises:
        Refused: TOO_LARGE, one command alone is over the limit.
    """
    if not requests:
        return []
    body = encode(Requests(list(requests)))
    if len(requests) <= most and len(body) <= limit:
        return [(list(requests), body)]
    if len(requests) == 1:
        raise Refused(Code.TOO_LARGE, size=len(body), limit=limit)
    middle = len(requests) // 2
    return packed(requests[:middle], limit, most) + packed(requests[middle:], limit, most)


def fitting(envelope: Envelope, limit: int = LIMIT) -> list[tuple[Envelope, bytes]]:
    """The envelope in as few bodies as the limit (bytes) allows.

    An event too large for any message is left out, and its envelope claims to follow on that event: the consumer
    sees a gap before it and reads the event from the log.
    """
    body = encode(envelope)
    if len(body) <= limit or not envelope.events:
        return [(envelope, body)]
    if len(envelope.events) == 1:
        last = envelope.last
        bare = replace(envelope, previous=last, first=last, events=[])
        return [(bare, encode(bare))]
    middle = len(envelope.events) // 2
    last, first = envelope.events[middle - 1].position, envelope.events[middle].position
    before = replace(envelope, last=last, events=envelope.events[:middle])
    after = replace(envelope, previous=last, first=first, events=envelope.events[middle:])
    return fitting(before, limit) + fitting(after, limit)


def announced(events: Sequence[WireEvent]) -> list[tuple[str, bytes]]:
    """Routing key and body of the messages that tell other programs: lists of events of one VO and topic.

    An event joins the newest list of its key, unless a later list holds an earlier event of its stream: the order of
    each stream is kept, and a submission of 10 000 jobs is some 50 messages rather than 10 000.
    """
    lists: list[tuple[str, list[Announcement]]] = []
    newest: dict[str, int] = {}
    reached: dict[UUID, int] = {}
    for event in events:
        key = f"{event.vo}.{event.topic}"
        number = newest.get(key, -1)
        if number < reached.get(event.stream, 0) or number < 0 or len(lists[number][1]) >= 200:
            number = newest[key] = len(lists)
            lists.append((key, []))
        reached[event.stream] = number
        lists[number][1].append(_announcement(event))
    return [(key, encode(several)) for key, several in lists]


def _announcement(event: WireEvent) -> Announcement:
    return Announcement(event.id, event.topic, event.vo, event.stream, event.version, event.schema, event.at,
                        event.actor, event.data, event.correlation)  # fmt: skip
