"""DIRAC's configuration format: sections in braces, `Option = value`, `+=` for more of it, `#` for comments."""

import re
from typing import Any

from domain.errors import Code, Refused

COMMENT = re.compile(r"(^|\s)#.*$")
DEEPEST = 32
Tree = dict[str, Any]


def parse(text: str, name: str = "cfg") -> Tree:
    """The sections and options of a text; all values are text.

    Raises:
        Refused: MALFORMED, with the line.
    """
    root: Tree = {}
    path: list[Tree] = [root]
    pending = ""  # the name of a section whose brace has not come yet
    for number, line in enumerate(text.splitlines(), 1):
        rest = COMMENT.sub("", line).strip()
        while rest:
            if rest[0] in "{}":
                path, pending = _brace(rest[0], path, pending, name, number)
                rest = rest[1:].strip()
                continue
            if pending:
                raise _wrong(name, number, f"expected {{ after {pending}")
            option = re.match(r"([^={}]+?)\s*(\+?=)\s*(.*)$", rest)
            if option:
                _set(path[-1], option[1], option[3].strip(), more=option[2] == "+=")
                break
            pending, rest = re.match(r"([^{}]*)(.*)$", rest).groups()  # type: ignore[union-attr]
            pending, rest = pending.strip(), rest.strip()
    if pending or len(path) > 1:
        raise _wrong(
            name, len(text.splitlines()), "a section is not closed" if len(path) > 1 else f"what is {pending}?"
        )
    return root


def _brace(brace: str, path: list[Tree], pending: str, name: str, number: int) -> tuple[list[Tree], str]:
    if brace == "}":
        if len(path) == 1 or pending:
            raise _wrong(name, number, "there is no section to close")
        return path[:-1], ""
    if not pending:
        raise _wrong(name, number, "a section needs a name")
    if len(path) > DEEPEST:
        raise _wrong(name, number, "sections lie too deep")
    inner = path[-1].setdefault(pending, {})
    if not isinstance(inner, dict):
        raise _wrong(name, number, f"{pending} is an option already")
    return [*path, inner], ""


def _set(section: Tree, option: str, value: str, *, more: bool) -> None:
    before = section.get(option, "")
    section[option] = f"{before}, {value}" if more and isinstance(before, str) and before else value


def _wrong(name: str, line: int, problem: str) -> Refused:
    return Refused(Code.MALFORMED, problem=f"{name}, line {line}: {problem}")
