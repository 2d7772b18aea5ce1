"""A metadata query: conditions that all must hold, written as `run = 7`, `energy >= 6.5`, `stream in A,B`."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from domain.data.field import STANDARD, Known, typed
from domain.errors import Code, Refused

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in")
MOST = 20  # conditions
MOST_VALUES = 100  # of one `in`
_OPERATOR = r"!=|<=|>=|=|<|>|\s+in\s+"
_CONDITION = re.compile(rf"\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*({_OPERATOR})\s*(.*?)\s*", re.DOTALL | re.IGNORECASE)


class Condition(NamedTuple):
    """One condition on one field; `numbers` where the field is compared as one, else `texts`."""

    field: Known
    operator: str
    numbers: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()


def parse(conditions: Sequence[str], fields: Mapping[str, Known]) -> list[Condition]:
    """The conditions, typed by their fields.

    Raises:
        Refused: QUERY, FIELD_UNKNOWN, FIELD_VALUE.
    """
    if len(conditions) > MOST:
        raise Refused(Code.QUERY, problem=f"at most {MOST} conditions")
    return [_condition(text, fields) for text in conditions]


def _condition(text: str, fields: Mapping[str, Known]) -> Condition:
    match = _CONDITION.fullmatch(text)
    if not match or not match[3]:
        raise Refused(Code.QUERY, problem=f"{text[:80]!r} is not FIELD OPERATOR VALUE")
    name, operator = match[1], match[2].strip().lower()
    field = fields.get(name) or _standard(name)
    given = [part.strip() for part in match[3].split(",")] if operator == "in" else [match[3]]
    if len(given) > MOST_VALUES:
        raise Refused(Code.QUERY, problem=f"at most {MOST_VALUES} values")
    kept = [typed(field, value) for value in given]
    numbers = tuple(float(value) for value in kept if not isinstance(value, str))
    return Condition(field, operator, numbers, tuple(value for value in kept if isinstance(value, str)))


def _standard(name: str) -> Known:
    """A field that every file has."""
    if name not in STANDARD:
        raise Refused(Code.FIELD_UNKNOWN, name=name)
    return Known(name, STANDARD[name], "standard")
