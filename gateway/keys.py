"""Keys that make a repeated request harmless: the client's word, scoped to who asks and which route."""

from typing import Annotated
from uuid import UUID, uuid4, uuid5

from fastapi import Depends, Request

from domain.values import NAMES
from gateway.edge import ID, as_id
from gateway.ports import Principal

HEADERS = ("idempotency-key", ID)


class Key:
    """What a request is repeated under; without a key of the client every request is a new one."""

    def __init__(self, request: Request) -> None:
        self.text = next((text for name in HEADERS if (text := request.headers.get(name, "").strip())), "")
        self._once = uuid4()

    def id(self, who: Principal, *parts: object) -> UUID:
        """The id of one command of this request; `parts` name the route and what the command is about."""
        scope = uuid5(NAMES, "/".join(("key", who.vo, who.kind, who.subject)))
        scope = as_id(self.text, scope) if self.text else self._once
        return uuid5(scope, "/".join(map(str, parts)))


async def key(request: Request) -> Key:
    """The key of a request; async, for FastAPI makes what is not in a thread."""
    return Key(request)


Keyed = Annotated[Key, Depends(key)]
