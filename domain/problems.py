"""What is wrong with a configuration: where, why, and what was probably meant."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from domain.tree import pointer

MOST = 50  # nobody reads more
PLAIN = {  # what people are told instead of the words of a library
    "tuple_type": "expected a list", "list_type": "expected a list", "dict_type": "expected a section",
    "model_type": "expected a section", "model_attributes_type": "expected a section", "missing": "is needed",
    "string_type": "expected a text", "bool_parsing": "expected true or false", "bool_type": "expected true or false",
    "int_parsing": "expected a whole number", "int_type": "expected a whole number",
    "int_from_float": "expected a whole number", "float_parsing": "expected a number",
    "float_type": "expected a number",
}  # fmt: skip
GUESSES = 10  # each costs a comparison with every name there is


class Problem(NamedTuple):
    """One thing that is wrong; `meant` is the name that was probably meant."""

    field: str
    problem: str
    meant: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"

    def plain(self) -> dict[str, str]:
        """As fields."""
        return {name: value for name, value in self._asdict().items() if value}


def problem(path: Iterable[str], what: str, name: str = "", known: Iterable[str] = ()) -> Problem:
    """A problem; `{}` in `what` is the name, and of those known the one most alike is suggested."""
    meant = alike(name, known) if name else ""
    said = what.replace("{}", _shown(name)) + (f", did you mean {meant}?" if meant else "")
    return Problem(pointer(*map(_shown, path)), said, meant)


def alike(name: str, known: Iterable[str]) -> str:
    """Of the known names the one most like this; empty when none is."""
    names = {each.lower(): each for each in known}
    near = get_close_matches(name.lower()[:128], names, 1)
    return names[near[0]] if near else ""


def broken(model: type[BaseModel], fault: ValidationError, path: tuple[str, ...]) -> Iterator[Problem]:
    """Everything that pydantic says is wrong, with suggestions for names."""
    guesses = 0
    for error in fault.errors(include_url=False, include_context=True, include_input=False)[:MOST]:
        at = tuple(str(part) for part in error["loc"] if part != "[key]")
        if error["type"] == "extra_forbidden":
            guesses += 1
            known = options(model, at[:-1]) if guesses <= GUESSES else ()
            yield problem((*path, *at), "there is no option {}", at[-1], known)
        elif error["type"] == "literal_error" and "expected" in (context := error.get("ctx", {})):
            yield Problem(pointer(*map(_shown, (*path, *at))), f"expected one of {context['expected']}")
        else:
            said = PLAIN.get(error["type"]) or _sentence(error["msg"])
            yield Problem(pointer(*map(_shown, (*path, *at))), said)


def options(model: type[BaseModel], at: Iterable[str]) -> list[str]:
    """The names that a section knows; `at` leads to it from the model."""
    kind: Any = model
    for name in at:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[name].annotation if name in kind.model_fields else None
        else:  # of a mapping or list: its values
            kind = next(reversed([part for part in get_args(kind) if part is not Ellipsis]), None)
        kind = _bare(kind)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _bare(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        return next((part for part in get_args(kind) if part is not type(None)), None)
    return kind


def _sentence(text: str) -> str:
    text = text.removeprefix("Value error, ")[:300]
    return text[:1].lower() + text[1:]


def _shown(text: str) -> str:
    """A name from outside, fit for every store and screen."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()[:200]
