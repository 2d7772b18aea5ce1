"""Bodies of every version of every event and command, as files. Run it to add what is missing; it never overwrites."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from msgspec import inspect

from domain.messages import Command, Event
from infra.app import CORE

FOLDER = Path(__file__).parent / "golden"
MESSAGES: list[type[Event] | type[Command]] = [*CORE.events.values(), *CORE.commands]
SAMPLES: dict[type[inspect.Type], Any] = {
    inspect.IntType: 7,
    inspect.FloatType: 1.5,
    inspect.BoolType: True,
    inspect.UUIDType: UUID("8f14e45f-ceea-467f-9575-2ac1de4cf74c"),
    inspect.DateTimeType: datetime(2026, 2, 3, 4, 5, 6, 789000, UTC),
    inspect.DictType: {"number": 1, "text": "ä", "list": [1.5, None, True]},
}


class Golden(msgspec.Struct):
    """`full`: every field set; `least`: only what must be; `means`: `least` as it is read, defaults included."""

    full: str
    least: str
    means: dict[str, Any]


def path(kind: type[Event] | type[Command]) -> Path:
    """The file of a message's present version."""
    version = kind.SCHEMA if issubclass(kind, Event) else 1
    return FOLDER / f"{kind.TOPIC}.v{version}.json"


def golden(kind: type[Event] | type[Command]) -> Golden:
    """What a file of the present version would say."""
    full, least = sample(kind, every=True), sample(kind, every=False)
    return Golden(text(full), text(least), msgspec.json.decode(msgspec.json.encode(whole(least))))


def sample(kind: type[Any], *, every: bool) -> Any:
    """A message with every field set, or only those without default."""
    fields = inspect.type_info(kind).fields
    return kind(**{f.name: value(f.name, f.type, every=every) for f in fields if every or f.required})


def value(name: str, kind: inspect.Type, *, every: bool) -> Any:
    """A value of this type that is nobody's default."""
    if isinstance(kind, inspect.UnionType):
        return value(name, next(part for part in kind.types if not isinstance(part, inspect.NoneType)), every=every)
    if isinstance(kind, inspect.EnumType):
        return list(kind.cls)[-1]
    if isinstance(kind, inspect.StructType):
        return sample(kind.cls, every=every)
    if isinstance(kind, inspect.VarTupleType):
        return tuple(value(f"{name}-{n}", kind.item_type, every=every) for n in (1, 2))
    return f"{name} ä" if isinstance(kind, inspect.StrType) else SAMPLES[type(kind)]


def whole(part: Any) -> Any:
    """A message with the defaults that its text leaves out."""
    return {f: whole(getattr(part, f)) for f in part.__struct_fields__} if isinstance(part, msgspec.Struct) else part


def text(message: Event | Command) -> str:
    """The bytes that are stored."""
    return msgspec.json.encode(message).decode()


if __name__ == "__main__":
    for message in MESSAGES:
        if not path(message).exists():
            path(message).write_bytes(msgspec.json.format(msgspec.json.encode(golden(message)), indent=1) + b"\n")
