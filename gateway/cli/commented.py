"""A section of the configuration as YAML, each option with what it means and in what unit."""

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from domain.errors import Code, Refused
from domain.tree import names

WIDTH = 120
MOST_TEXT = 32 << 20  # characters of a file


def text_of(value: Any, place: str = "") -> str:
    """The YAML of what stands at a place."""
    if not isinstance(value, Mapping):
        return _flow(value) + "\n"
    return "".join(line + "\n" for line in _lines(value, kind_at(place), 0)) or "{}\n"


def parsed(text: str, name: str) -> Any:
    """What a YAML or JSON text says.

    Raises:
        Refused: MALFORMED, with the line where it stops making sense.
    """
    if len(text) > MOST_TEXT:
        raise Refused(Code.TOO_LARGE, size=len(text), limit=MOST_TEXT)
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError) as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        said = getattr(fault, "problem", None) or str(fault).split("\n", 1)[0]
        raise Refused(Code.MALFORMED, problem=f"{name}, {where}{said}") from None


def kind_at(place: str) -> Any:
    """The model, or other type, of what stands at a place; None where the schema says nothing."""
    from domain.schema import Document  # builds every model of the configuration: other commands do not wait for it

    kind: Any = Document
    for name in names(place):
        kind = _inside(kind, name)
    return kind


def is_list(kind: Any) -> bool:
    """Whether a list is expected."""
    return get_origin(_plain(kind)) is tuple


def _inside(kind: Any, name: str) -> Any:
    kind = _plain(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _plain(kind.model_fields[name].annotation) if name in kind.model_fields else None
    return _plain(get_args(kind)[1]) if get_origin(kind) is dict and len(get_args(kind)) > 1 else None


def _plain(kind: Any) -> Any:
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    if get_origin(kind) in (Union, UnionType):
        return _plain(next((part for part in get_args(kind) if part is not type(None)), None))
    return kind


def _lines(section: Mapping[str, Any], kind: Any, depth: int) -> Iterator[str]:
    model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    for name, value in section.items():
        field = model.model_fields.get(name) if model else None
        said = f"  # {field.description}" if field and field.description else ""
        head = "  " * depth + _flow(name) + ":"
        if isinstance(value, Mapping) and value:
            yield head + said
            yield from _lines(value, _inside(kind, name), depth + 1)
        elif isinstance(value, Sequence) and not isinstance(value, str) and len(_flow(value)) > WIDTH - len(head):
            yield head + said
            yield from ("  " * depth + f"- {_flow(item)}" for item in value)
        else:
            yield f"{head} {_flow(value)}{said}"


def _flow(value: Any) -> str:
    """A value in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
