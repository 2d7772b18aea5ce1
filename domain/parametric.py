"""Parametric jobs: one description and rows of values, filled in where the placeholders stand."""

import math
import re
from collections.abc import Container, Mapping
from typing import Any, TypeAlias

from domain.errors import Code, Refused

Scalar: TypeAlias = str | int | float
Value: TypeAlias = Scalar | list[Scalar]
Row: TypeAlias = dict[str, Value]  # name of the sequence ("" for the unnamed one) -> the value of one job

LIMIT = 10_000  # jobs of one description
LARGEST = 2**63  # a growing sequence ends here; nothing in a job counts further
PLACEHOLDER = re.compile(r"%(?:\(([^()%\s]+)\)s|([snj]))")
NAME = re.compile(r"[\w.\-]{1,64}", re.ASCII)
CELLS = 2_000_000  # values of parameters in one request: jobs times sequences
LONGEST = 65_536  # characters of one value
STEMS = {"parameters": "list", "parameterstart": "start", "parameterstep": "step", "parameterfactor": "factor"}


class Room:
    """How many characters placeholders may make: in one job, and in all jobs of a request together.

    A few kilobytes can ask for more than any machine holds: a thousand placeholders, of one long value, in each job.
    """

    def __init__(self, job: int, whole: int) -> None:
        self.job, self.whole = job, whole
        self._job = self._whole = self._cells = 0

    @property
    def full(self) -> bool:
        """Whether there is no room for any other job either."""
        return self._whole > self.whole or self._cells > CELLS

    def next(self) -> None:
        """Another job begins."""
        self._job = 0

    def take(self, size: int) -> None:
        """So many more; raises Refused(TOO_LARGE)."""
        self._job += size
        self._whole += size
        for made, limit in ((self._job, self.job), (self._whole, self.whole)):
            if made > limit:
                raise Refused(Code.TOO_LARGE, size=made, limit=limit)

    def grow(self, cells: int) -> None:
        """So many more values of parameters; raises Refused(TOO_MANY)."""
        self._cells += cells
        if self._cells > CELLS:
            raise Refused(Code.TOO_MANY, count=self._cells, things="values of parameters", limit=CELLS)


def sequences(attributes: Mapping[str, Any], limit: int = LIMIT, room: Room | None = None) -> list[Row] | None:
    """The rows of values that `Parameters…` describe; None when there are no parameters.

    Raises:
        Refused: DESCRIPTION with field and problem; TOO_MANY above `limit`.
    """
    found: dict[str, dict[str, Any]] = {}
    for key, value in attributes.items():
        stem, _, name = key.partition(".")
        if (role := STEMS.get(stem.lower().replace("_", ""))) is not None:
            named = value if isinstance(value, Mapping) and value else {name: value}
            for each, inner in named.items():
                found.setdefault(_name(each), {})[role] = inner
    if not found:
        return None
    count = _count(found, limit)
    if room:
        room.grow(count * len(found))
    columns = {name: _column(name, roles, count) for name, roles in found.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _count(found: dict[str, dict[str, Any]], limit: int) -> int:
    lengths = {name: _length(name, roles["list"]) for name, roles in found.items() if "list" in roles}
    if not lengths:
        raise _problem("", "a start, step or factor needs Parameters, a number or a list")
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{_field(name)}: {length}" for name, length in lengths.items())
        raise _problem("", f"all sequences must have the same length ({shown})")
    count = next(iter(lengths.values()))
    if count > limit:
        raise Refused(Code.TOO_MANY, count=count, things="jobs", limit=limit)
    return count


def _length(name: str, given: Any) -> int:
    length = len(given) if isinstance(given, list | tuple) else _number(name, given)
    if length != int(length) or length < 1:
        raise _problem(name, "expected a whole number above 0, or a list that is not empty")
    return int(length)


def _column(name: str, roles: dict[str, Any], count: int) -> list[Value]:
    given = roles.get("list")
    if isinstance(given, list | tuple):
        return [_value(name, value) for value in given]
    value, step, factor = (_number(name, roles.get(role, usual)) for role, usual in ROLES)
    values: list[Value] = []
    for _ in range(count):
        if not -LARGEST < value < LARGEST:
            raise _problem(name, f"value {len(values) + 1} of the sequence is too large")
        values.append(value)
        value = value * factor + step
    return values


ROLES = (("start", 1), ("step", 0), ("factor", 1))


def _value(name: str, value: Any) -> Value:
    return [_scalar(name, inner) for inner in value] if isinstance(value, list | tuple) else _scalar(name, value)


def _scalar(name: str, value: Any) -> Scalar:
    """Any text, finite number or truth value that the log can keep."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if "\0" in value or len(value) > LONGEST or not _encodable(value):
            raise _problem(name, f"expected text of at most {LONGEST} characters, without NUL")
        return value
    if isinstance(value, int | float) and -LARGEST < value < LARGEST:
        return value
    raise _problem(name, "expected strings, numbers, or lists of them")


def _encodable(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _name(given: Any) -> str:
    if given == "" or (isinstance(given, str) and NAME.fullmatch(given)):
        return str(given)
    raise _problem("", "a sequence is named by at most 64 letters, digits and _ . -")


def _number(name: str, value: Any) -> int | float:
    try:
        if isinstance(value, str | int | float) and len(str(value)) <= 40:
            number = float(value) if not str(value).lstrip("+-").isdecimal() else int(value)
            if math.isfinite(number):
                return number
    except ValueError:
        pass
    raise _problem(name, "expected a number")


def _field(name: str) -> str:
    return f"Parameters.{name}" if name else "Parameters"


def _problem(name: str, problem: str) -> Refused:
    return Refused(Code.DESCRIPTION, field=_field(name), problem=problem)


def numbers(count: int) -> list[str]:
    """What `%n` stands for in each of `count` jobs: 00 to 11 for twelve."""
    width = len(str(count - 1))
    return [f"{number:0{width}}" for number in range(count)]


def is_open(value: Any) -> bool:
    """Whether a placeholder that the parameters fill in stands in the value."""
    if isinstance(value, str):
        return "%" in value and any(found[2] != "j" for found in PLACEHOLDER.finditer(value))
    if isinstance(value, Mapping):
        return any(map(is_open, value.values()))
    return isinstance(value, list | tuple) and any(map(is_open, value))


def unknown(value: Any, names: Container[str]) -> str | None:
    """The first `%(name)s` in the value for which there is no sequence."""
    if isinstance(value, str):
        wanted = (found[1] for found in PLACEHOLDER.finditer(value) if found[1])
        return next((name for name in wanted if name not in names), None)
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next(filter(None, (unknown(inner, names) for inner in value)), None)
    return None


def fill(value: Any, row: Mapping[str, Value], number: str, job: int | None = None, room: Room | None = None) -> Any:
    """The value with its placeholders replaced; without a number only `%j`, the job id, is.

    A string that is nothing but the placeholder of a list becomes that list, or its items inside another list.
    Raises Refused(TOO_LARGE) when the `room` is used up.
    """
    if isinstance(value, str):
        if room:
            room.take(len(value))
        return _filled(value, row, number, job, room) if "%" in value else value
    if isinstance(value, Mapping):
        return {name: fill(inner, row, number, job, room) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        items: list[Any] = []
        for inner in value:
            filled = fill(inner, row, number, job, room)
            if isinstance(filled, list) and isinstance(inner, str):
                items.extend(filled)
            else:
                items.append(filled)
        return items
    return value


def _filled(text: str, row: Mapping[str, Value], number: str, job: int | None, room: Room | None) -> Any:
    def replacement(found: re.Match[str]) -> str:
        if found[2] == "j":
            return found[0] if job is None else str(job)
        if not number:
            return found[0]
        made = number if found[2] == "n" else _written(row.get(found[1] or "", found[0]))
        if room:
            room.take(len(made))
        return made

    whole = PLACEHOLDER.fullmatch(text) if number else None
    if whole and whole[2] in (None, "s") and isinstance(value := row.get(whole[1] or ""), list):
        if room:
            room.take(len(value) + sum(len(str(item)) for item in value))
        return list(value)
    return PLACEHOLDER.sub(replacement, text)


def _written(value: Value) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
