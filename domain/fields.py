"""The kinds of values in a job description: what each accepts, and the one form in which it is kept."""

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

LARGEST = 2**31 - 1  # what every store and language takes


def _split(value: Any) -> Any:
    """Lists may come as one string with commas, as they always could in JDL."""
    return [item for part in value.split(",") if (item := part.strip())] if isinstance(value, str) else value


def _once(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value)) if len(value) > 1 else value


def _anywhere(value: tuple[str, ...]) -> tuple[str, ...]:
    return () if any(item.lower() == "any" for item in value) else _once(value)


def _inside(value: tuple[str, ...]) -> tuple[str, ...]:
    for item in value:
        _local_name(item)
    return _once(value)


def _local_name(value: str) -> str:
    """A pilot reads these files: none may lie above the job's own directory."""
    if ".." in value and ".." in value.split("/"):
        raise ValueError(f"{value} leaves the directory of the job")
    return value


def _sandbox(value: tuple[str, ...]) -> tuple[str, ...]:
    for item in value:
        if item.startswith("LFN:") and not item.startswith("LFN:/"):
            raise ValueError(f"{item} must begin with LFN:/")
    return _once(value)


def _file_names(value: tuple[str, ...]) -> tuple[str, ...]:
    names = []
    for item in value:
        path = item[4:] if item[:4].upper() == "LFN:" else item
        if not path.startswith("/") or "//" in path:
            raise ValueError(f"{item} must be an absolute logical file name without //")
        names.append("LFN:" + path)
    return _once(tuple(names))


def _environment(value: Any) -> Any:
    """A mapping as it is, or JDL's list of `NAME=value` with values quoted as in URLs."""
    if isinstance(value, Mapping):
        return value
    pairs = _split(value)
    if not isinstance(pairs, list | tuple) or not all(isinstance(pair, str) and "=" in pair for pair in pairs):
        raise ValueError("expected NAME=value")
    return {name.strip(): unquote(given) for name, _, given in (pair.partition("=") for pair in pairs)}


def _words(value: Any) -> Any:
    return shlex.join(map(str, value)) if isinstance(value, list | tuple) else value


def _level(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
Item = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$", max_length=4096)]
Loose = BeforeValidator(_split, json_schema_input_type=str | list[str])
Items = Annotated[tuple[Item, ...], Field(max_length=1000)]
List = Annotated[Items, Loose, AfterValidator(_once)]
Places = Annotated[Items, Loose, AfterValidator(_anywhere)]
Sandbox = Annotated[Items, Loose, AfterValidator(_sandbox)]
Outputs = Annotated[Items, Loose, AfterValidator(_inside)]
FileNames = Annotated[tuple[Item, ...], Loose, AfterValidator(_file_names)]
LocalName = Annotated[
    str, StringConstraints(pattern=r"^[^\x00/]+(/[^\x00/]+)*$", max_length=255), AfterValidator(_local_name)
]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Environment = Annotated[dict[Variable, Text], BeforeValidator(_environment)]
Words = Annotated[Text, BeforeValidator(_words, json_schema_input_type=str | list[str])]
Level = Annotated[
    Literal["FATAL", "ERROR", "ALWAYS", "WARN", "NOTICE", "INFO", "VERBOSE", "DEBUG", "TRACE"],
    BeforeValidator(_level),
]
Scalar = Text | bool
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=128)]
Extra = Annotated[dict[Key, Scalar | tuple[Scalar, ...]], Field(max_length=200)]
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Processors = Annotated[int, Field(ge=1, le=LARGEST)]
Priority = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
