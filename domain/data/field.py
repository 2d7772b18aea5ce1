"""A metadata field of a VO: its type, and whether directories or files have it. Nothing undeclared is stored."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self
from uuid import UUID, uuid5

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.values import NAMES

TYPES = ("int", "float", "string", "date")
HOLDERS = ("directory", "file")
EXACT = 2**53  # whole numbers beyond are not told apart by a double
LONGEST = 512
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
STANDARD: Mapping[str, str] = {
    "size": "int", "created": "date", "owner": "string", "group": "string", "name": "string", "se": "string",
}  # fmt: skip


class Known(NamedTuple):
    """What is known of a field."""

    name: str
    type: str
    holder: str


class DeclareField(Command, frozen=True):
    """Make a field. Its type stays what it is: values are indexed by it."""

    TOPIC = "field.declare"
    vo: str
    name: str
    type: str
    holder: str

    @property
    def stream(self) -> UUID:
        return uuid5(NAMES, f"field/{self.vo}/{self.name}")


class Field(Aggregate, frozen=True):
    """The declaration in force."""

    TOPIC = "field"
    LOG = "files"

    type: str = ""
    holder: str = ""

    class Declared(Event, frozen=True):
        """The field can be used from now on."""

        TOPIC = "field.declared"
        name: str
        type: str
        holder: str

    def declare(self, command: DeclareField, origin: Origin) -> Decision:
        """Once."""
        if not _NAME.fullmatch(command.name) or command.name in STANDARD:
            problem = "a name has letters, digits and _.-, and is none of those that every file has"
            raise Refused(Code.FIELD_VALUE, name=command.name[:64], problem=problem)
        if command.type not in TYPES or command.holder not in HOLDERS:
            problem = f"expected a type of {', '.join(TYPES)}, for {' or '.join(HOLDERS)}"
            raise Refused(Code.FIELD_VALUE, name=command.name, problem=problem)
        if not self.type:
            yield Field.Declared(command.name, command.type, command.holder)
        elif (self.type, self.holder) != (command.type, command.holder):
            problem = f"it is declared already, as {self.type} for a {self.holder}"
            raise Refused(Code.FIELD_VALUE, name=command.name, problem=problem)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The declaration after the event."""
        facts = event.event
        return type(self)(facts.type, facts.holder) if isinstance(facts, Field.Declared) else self


def typed(field: Known, value: Any) -> str | int | float:
    """A value as its field keeps it: a text or a number; of a date its seconds since 1970.

    Raises:
        Refused: FIELD_VALUE.
    """
    try:
        return _CONVERT[field.type](value)
    except (ValueError, TypeError, OverflowError):
        raise Refused(Code.FIELD_VALUE, name=field.name, problem=f"expected {_EXPECTED[field.type]}") from None


def shown(kind: str, number: float | None, text: str | None) -> str | int | float | None:
    """A kept value as people read it."""
    if number is None:
        return text
    if kind == "date":
        return datetime.fromtimestamp(number, UTC).isoformat()
    return int(number) if kind == "int" else number


def _int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    found = int(value)
    if abs(found) > EXACT:
        raise ValueError
    return found


def _float(value: Any) -> float:
    found = float(value)
    if isinstance(value, bool) or not math.isfinite(found):
        raise ValueError
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST or not value.isprintable() or not value:
        raise ValueError
    return value


def _date(value: Any) -> float:
    found = datetime.fromisoformat(value)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


_CONVERT: Mapping[str, Callable[[Any], str | int | float]] = {
    "int": _int,
    "float": _float,
    "string": _text,
    "date": _date,
}
_EXPECTED = {
    "int": "a whole number between -2^53 and 2^53",
    "float": "a number",
    "string": f"a printable text of at most {LONGEST} characters",
    "date": "a date or time like 2026-11-24 or 2026-11-24T12:00:00+00:00",
}
