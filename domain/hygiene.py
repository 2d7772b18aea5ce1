"""What must not stand in a configuration, whatever its schema says: secrets, and what no store could keep."""

import re
from collections.abc import Iterator
from typing import Any

from domain.problems import Problem, problem
from domain.tree import Changes, leaves, names

DEEPEST = 16
LONGEST = 16_384  # characters of one value
LONGEST_NAME = 256
SECRET_NAME = re.compile(r"(^|_)(secret|passw(or)?d|passphrase|token|private_?key|credentials?|api_?key)$", re.I)
SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|^eyJ[\w-]{8,}\.[\w-]+\.|^(gh[pousr]|glpat|xox[bap])[_-]\w{16,}|"
    r"\b[a-z][a-z0-9+]*://[^/\s:@]+:[^/\s@]+@|^AKIA[A-Z0-9]{16}$",
    re.I,
)
NAMING = f"a name has 1 to {LONGEST_NAME} printable characters"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]|[\ud800-\udfff]")
ADVICE = "a secret must not stand here: put it into the environment, and its variable's name into an option *_env"


def unclean(changes: Changes) -> Iterator[Problem]:
    """What is wrong with the values that are set, and with the names of places."""
    for place in (*changes.put, *changes.removed):
        if not all(_good_name(name) for name in names(place)):
            yield problem(names(place), NAMING)
    for place, value in changes.put.items():
        yield from _unclean(value, names(place))


def _unclean(value: Any, path: tuple[str, ...]) -> Iterator[Problem]:
    if _depth(value) + len(path) > DEEPEST:
        yield problem(path, f"sections lie at most {DEEPEST} deep")
        return
    for at, leaf in leaves(value, path):
        if not all(_good_name(name) for name in at):
            yield problem(at, NAMING)
        elif isinstance(leaf, str) and (why := _wrong_text(leaf, at)):
            yield problem(at, why)
        elif isinstance(leaf, int) and abs(leaf) >= 1 << 63:
            yield problem(at, "this number is too large")


def _good_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and not CONTROL.search(name)


def _wrong_text(text: str, path: tuple[str, ...]) -> str:
    if len(text) > LONGEST:
        return f"{len(text)} characters, at most {LONGEST} are kept"
    if CONTROL.search(text):
        return "control characters cannot be kept"
    option = next((name for name in reversed(path) if not name.isdecimal()), "")
    return ADVICE if text and (SECRET_NAME.search(option) or SECRET_VALUE.search(text)) else ""


def _depth(value: Any) -> int:
    """How deep the value goes; hostile ones are not followed for ever."""
    deepest, rest = 0, [(value, 0)]
    while rest:
        part, depth = rest.pop()
        deepest = max(deepest, depth)
        if depth <= DEEPEST and isinstance(part, dict | list):
            rest += [(each, depth + 1) for each in (part.values() if isinstance(part, dict) else part)]
    return deepest
