"""What other programs may say and hear, as an AsyncAPI 3.0 document."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from faststream.specification.asyncapi.v3_0_0.schema import (
    ApplicationInfo,
    ApplicationSchema,
    Channel,
    Components,
    Message,
    Operation,
    Reference,
    Server,
)
from faststream.specification.asyncapi.v3_0_0.schema.bindings import ChannelBinding, amqp
from faststream.specification.asyncapi.v3_0_0.schema.operations import Action
from yarl import URL

from domain import messages
from infra.bus import topology
from infra.bus.messages import Outcomes

Schema = dict[str, Any]
Kind = type[messages.Message]

PLACE = "#/components/schemas/"
TEXT: Schema = {"type": "string"}
IDENTIFIER: Schema = {"type": "string", "format": "uuid"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
HOW = """Commands: publish to the topic exchange `spinor.inbox` with the routing key `<vo>.<topic>` and your bus user as
`user_id`, one or a list of them. The same `id` again has no second effect. Name a `reply_to` queue to get the outcomes
(schema `Outcomes`): `ok`, or a `code` with its `parameters`. Who names none finds a refused command among the dead
letters of the VO, with the reason.

Jobs: `submission.make` submits descriptions or JDL, all or none, as `POST /api/v1/jobs` does. `parameters.jobs` of its
outcome are their numbers; `correlation` of their `job.submitted` events is its `id`. They belong to your bus user, in
the group `programs`.

Events: bind a queue of your own to the topic exchange `spinor.events` (`lhcb.job.#`). A message is a list of
events of one topic; `id` tells a repetition, `version` the order within one `stream`."""


def document(
    commands: Iterable[type[messages.Command]], events: Iterable[type[messages.Event]], url: str, version: str = "1"
) -> Schema:
    """The document: a channel and an operation for every topic.

    The password in the broker's `url` stays out of it; without a broker (empty `url`) no server is named.
    """
    said, heard = sorted(commands, key=_topic), sorted(events, key=_topic)
    every: Sequence[Kind] = [*said, *heard]
    channels = {kind.TOPIC: _channel(kind, topology.INBOX, _posted(kind)) for kind in said}
    channels |= {kind.TOPIC: _channel(kind, topology.EVENTS, _announced(kind)) for kind in heard}
    operations = {f"publish.{kind.TOPIC}": _operation(kind, Action.RECEIVE) for kind in said}
    operations |= {f"listen.{kind.TOPIC}": _operation(kind, Action.SEND) for kind in heard}
    written: Schema = ApplicationSchema(
        info=ApplicationInfo(title="Spinor", version=version, description=HOW),
        defaultContentType="application/json",
        servers={"broker": _server(URL(url))} if url else {},
        channels=channels,
        operations=operations,
        components=Components(schemas=_schemas([*every, Outcomes])),
    ).to_jsonable()
    return written


def _topic(kind: Kind) -> str:
    return kind.TOPIC


def _server(url: URL) -> Server:
    return Server(host=f"{url.host}:{url.port or 5672}", pathname=url.path or "/", protocol=url.scheme,
                  protocolVersion="0.9.1")  # fmt: skip


def _channel(kind: Kind, exchange: str, payload: Schema) -> Channel:
    summary = (kind.__doc__ or "").strip().partition("\n")[0]
    exchange_binding = {"name": exchange, "type": "topic", "durable": True, "autoDelete": False}
    binding = amqp.ChannelBinding.model_validate({"is": "routingKey", "exchange": exchange_binding})
    channel = Channel(
        address=f"{{vo}}.{kind.TOPIC}",
        messages={"message": Message(name=kind.TOPIC, title=kind.TOPIC, summary=summary, payload=payload)},
        bindings=ChannelBinding(amqp=binding),
    )
    return channel.model_copy(update={"parameters": {"vo": {"description": "the virtual organisation"}}})


def _operation(kind: Kind, action: Action) -> Operation:
    channel = f"#/channels/{kind.TOPIC}"
    return Operation(action=action, channel=_reference(channel), messages=[_reference(f"{channel}/messages/message")])


def _posted(kind: Kind) -> Schema:
    """One command as a program writes it, or a list of them."""
    properties = {"id": IDENTIFIER, "data": _data(kind), "correlation": IDENTIFIER, "deadline": MOMENT}
    one = {"type": "object", "required": ["id", "data"], "properties": properties}
    return {"oneOf": [one, {"type": "array", "items": one}]}


def _announced(kind: Kind) -> Schema:
    """A list of events."""
    properties = {"id": IDENTIFIER, "topic": {"const": kind.TOPIC}, "vo": TEXT, "stream": IDENTIFIER,
                  "version": {"type": "integer"}, "schema": {"type": "integer"}, "at": MOMENT, "actor": TEXT,
                  "data": _data(kind), "correlation": {"anyOf": [IDENTIFIER, {"type": "null"}]}}  # fmt: skip
    return {"type": "array", "items": {"type": "object", "required": [*properties], "properties": properties}}


def _schemas(kinds: Sequence[type[Any]]) -> dict[str, Schema]:
    """The bodies by topic, and what they are made of by name: never by import path."""
    references, found = msgspec.json.schema_components(kinds, ref_template=PLACE + "{name}")
    names = {name: name.rpartition(".")[2] for name in found}
    for kind, reference in zip(kinds, references, strict=True):
        if issubclass(kind, messages.Message):
            names[reference["$ref"].removeprefix(PLACE)] = kind.TOPIC
    if len(set(names.values())) < len(names):
        raise ValueError(f"two types of one name: {sorted(names)}")
    text = msgspec.json.encode(found).decode()
    for old, new in names.items():
        text = text.replace(f'"{PLACE}{old}"', f'"{PLACE}{new}"')
    return {names[old]: schema | {"title": names[old]} for old, schema in msgspec.json.decode(text).items()}


def _data(kind: Kind) -> Schema:
    return {"$ref": PLACE + kind.TOPIC}


def _reference(place: str) -> Reference:
    return Reference(**{"$ref": place})
