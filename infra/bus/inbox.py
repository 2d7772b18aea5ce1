"""Commands of other programs: what they publish, checked, becomes commands like any other."""

import re
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from domain.errors import Code, Refused
from infra.bus.messages import Request

VO = re.compile(r"[a-z][a-z0-9.-]{0,63}")
Admit = Callable[[str, str], Sequence[str]]


class Posted(Struct, frozen=True):
    """One command as a program writes it. The same `id` again has no second effect."""

    id: UUID
    data: Raw = Raw(b"{}")
    correlation: UUID | None = None
    deadline: datetime | None = None


_posted = msgspec.json.Decoder(list[Posted])


def anybody(user: str, vo: str) -> Sequence[str]:
    """Every program the broker lets in, with no rights beyond that."""
    return ()


class Programs(Struct, frozen=True):
    """What other programs may do: the `topics` they may publish; `admit(user, vo)` gives their rights or refuses."""

    topics: frozenset[str] = frozenset()
    admit: Admit = anybody


def read(user: str | None, key: str, body: bytes, programs: Programs) -> list[Request]:
    """The commands in a message of the program `user`, published with the routing key `<vo>.<topic>`.

    Raises:
        Refused: NO_TOKEN without a user (the broker vouches for it), TOPIC_UNKNOWN, MALFORMED, or what `admit` says.
    """
    if not user:
        raise Refused(Code.NO_TOKEN)
    vo, topic = _split(key, programs.topics)
    rights = list(programs.admit(user, vo))
    return [
        Request(id=one.id, topic=topic, data=one.data, vo=vo, actor=f"program:{user}", correlation=one.correlation,
                rights=rights, deadline=one.deadline)
        for one in _read(body)
    ]  # fmt: skip


def _split(key: str, topics: Container[str]) -> tuple[str, str]:
    """VO and topic; both may hold dots, the known topics say where one ends."""
    words = key.split(".")
    for number in range(1, len(words)):
        if ".".join(words[number:]) in topics and VO.fullmatch(".".join(words[:number])):
            return ".".join(words[:number]), ".".join(words[number:])
    raise Refused(Code.TOPIC_UNKNOWN, topic=key.partition(".")[2] or key)


def _read(body: bytes) -> list[Posted]:
    try:
        return _posted.decode(body if body.lstrip()[:1] == b"[" else b"[" + body + b"]")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Code.MALFORMED, problem=str(error)) from error
