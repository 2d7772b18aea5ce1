"""Job descriptions in files: JDL, JSON and YAML become attributes, each knowing where it came from."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from domain import jdl
from domain.description import KNOWN
from domain.errors import Code, Refused
from domain.parametric import fill, is_open, numbers, sequences

STDIN = "-"
STORED = ("SB:", ":SB:", "/S3/", "LFN:")  # names of what is in a store already
LOOKS_JSON = re.compile(r"\s*(?:\{|\[\s*[\]{\"])")  # JDL may begin with a bracket too, but then an attribute follows
LOOKS_YAML = re.compile(r"(?:\s*#[^\n]*\n|\s*\n)*(?:---|- |[A-Za-z_][\w.-]*:(?:\s|$))")


class Problem(NamedTuple):
    """What is wrong where; `job` counts the jobs of the file from 1."""

    file: str
    job: int
    field: str
    problem: str


class Described(NamedTuple):
    """One description: of one job, or of many when it has parameters. `first` is its first job's place in the file."""

    file: str
    attributes: dict[str, Any]
    first: int = 1
    jobs: int = 1


class Wrong(Exception):
    """Descriptions that cannot be used."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


def read(file: str) -> list[Described]:
    """The descriptions in a file, or on stdin for `-`.

    Raises:
        Wrong: it cannot be read, with the line and column where they are known.
    """
    name = "stdin" if file == STDIN else file
    try:
        text = sys.stdin.read() if file == STDIN else Path(file).read_text()
        found = list(_attributes(text, Path(file).suffix.lower()))
    except Refused as refused:
        raise Wrong([_problem(name, refused)]) from None
    except (OSError, UnicodeError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise Wrong([Problem(name, 1, "", " ".join(str(getattr(error, "strerror", None) or error).split()))]) from None
    return list(_counted(name, found))


def _attributes(text: str, suffix: str) -> Iterator[Mapping[str, Any]]:
    if suffix == ".jdl":
        content: Any = jdl.parse(text)
    elif suffix == ".json" or (not suffix and LOOKS_JSON.match(text)):
        content = json.loads(text)
    elif suffix in (".yaml", ".yml") or LOOKS_YAML.match(text):
        content = [each for each in yaml.safe_load_all(text) if each is not None]
        content = content[0] if len(content) == 1 else content
    else:
        content = json.loads(text) if LOOKS_JSON.match(text) else jdl.parse(text)
    if isinstance(content, Mapping) and content.keys() == {"jobs"}:
        content = content["jobs"]
    for given in content if isinstance(content, list) else [content]:
        each = jdl.parse(given) if isinstance(given, str) else given
        if not isinstance(each, Mapping) or not all(isinstance(name, str) for name in each):
            raise Refused(Code.MALFORMED, problem="a job is a set of named attributes")
        yield json.loads(json.dumps(each, default=str, allow_nan=False))
    if content == []:
        raise Refused(Code.MALFORMED, problem="there is no job in it")


def _counted(file: str, found: list[Mapping[str, Any]]) -> Iterator[Described]:
    first = 1
    for attributes in found:
        jobs = len(_rows(attributes) or [None])
        yield Described(file, dict(attributes), first, jobs)
        first += jobs


def _rows(attributes: Mapping[str, Any]) -> list[Any] | None:
    """The rows of parameters; what is wrong with them the gateway says, as it does of all other fields."""
    try:
        return sequences(attributes)
    except Refused:
        return None


def _problem(file: str, refused: Refused) -> Problem:
    given = refused.parameters
    where = f"line {given['line']}, column {given['column']}" if "line" in given else str(given.get("field", ""))
    return Problem(file, 1, where, str(given.get("problem", refused.what)))


def located(described: list[Described], index: int) -> tuple[str, int]:
    """(file, job in that file) of the job at a place of the whole request."""
    for each in described:
        if index < each.jobs:
            return each.file, each.first + index
        index -= each.jobs
    return "", index + 1


def sandbox_field(attributes: Mapping[str, Any]) -> str:
    """How this description spells its input sandbox; empty when it has none."""
    return next((name for name in attributes if KNOWN.get(name.lower()) == "input_sandbox"), "")


def sandbox_names(described: Described) -> list[str]:
    """What the input sandboxes of its jobs name, with parameters filled in, each once."""
    given = described.attributes.get(sandbox_field(described.attributes), [])
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    names = [name for name in names if name and isinstance(name, str)] if isinstance(names, list) else []
    if not is_open(names):
        return list(dict.fromkeys(names))
    rows = _rows(described.attributes) or []
    filled = (fill(names, row, number) for row, number in zip(rows, numbers(len(rows)), strict=True))
    return list(dict.fromkeys(str(name) for each in filled for name in each))


def with_sandbox(described: Described, names: list[str]) -> Described:
    """The same description with this input sandbox."""
    field = sandbox_field(described.attributes)
    return described._replace(attributes=described.attributes | {field: names})


def is_stored(name: str) -> bool:
    """Whether a name in a sandbox is that of something in a store, so that there is nothing to upload."""
    return name.startswith(STORED)
