"""Server-sent events: lines of a stream become messages."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Message(NamedTuple):
    """One message: its name, its id, its data decoded from JSON."""

    event: str
    id: str
    data: Any


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """The messages in a stream; comments and what is not JSON are passed over."""
    event, id_, data = "message", "", []
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            event = value
        elif field == "id":
            id_ = value
        elif not line:
            if data:
                try:
                    yield Message(event, id_, json.loads("\n".join(data)))
                except ValueError:
                    pass
            event, data = "message", []
