"""Logical names in, results out: what names the files of a command, and what it says about each."""

import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

import typer

from gateway.cli.ids import SOME_FAILED
from gateway.cli.output import as_json, note, out
from gateway.cli.session import Session, refused

AT_ONCE = 1000
ROUTE = "/api/v1/data"
Lfns = Annotated[list[str], typer.Argument(metavar="LFN", help="names, with * and ? in the last part; - reads stdin")]
Json = dict[str, Any]


def words(given: Sequence[str]) -> list[str]:
    """The names that arguments give, each once; `-` stands for the lines on stdin.

    Raises:
        typer.BadParameter: there are none.
    """
    found = dict.fromkeys(word.removeprefix("LFN:") for word in _words(given) if word)
    if not found:
        raise typer.BadParameter("no names came on stdin")
    return list(found)


def expanded(session: Session, given: Sequence[str]) -> list[str]:
    """The names, patterns replaced by the files that fit them."""
    found: dict[str, None] = {}
    for word in words(given):
        path, _, name = word.rpartition("/")
        if not set(name) & set("*?["):
            found[word] = None
            continue
        found |= {file["lfn"]: None for file in files_in(session, path) if fnmatchcase(_name(file), name)}
    return list(found)


def files_in(session: Session, path: str, recursive: bool = False) -> Iterator[Json]:
    """The files of a directory, or of all below it."""
    after: str | None = ""
    while after is not None:
        page = session.get(f"{ROUTE}/list", path=path, after=after, recursive=recursive or None)
        yield from page["files"]
        after = page["next"]


def parts(items: Sequence[Any], size: int = AT_ONCE) -> Iterator[list[Any]]:
    """Items in parts that the gateway takes at once."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def report(results: Sequence[Json], json: bool, name: str = "lfn") -> None:
    """Print what went well on stdout, what was refused on stderr, and exit accordingly.

    Raises:
        Refused: the only one was refused.
        typer.Exit: 1 when all were refused, 3 when some were.
    """
    bad = [result for result in results if result.get("error")]
    if json:
        for result in results:
            as_json(result)
    elif len(results) == len(bad) == 1:
        raise refused(bad[0]["error"])
    else:
        for result in results:
            _tell(result[name], result.get("error"))
    if bad:
        raise typer.Exit(1 if len(bad) == len(results) else SOME_FAILED)


def _tell(name: str, error: Json | None) -> None:
    if error:
        refusal = refused(error)
        note(f"{name}: {refusal.what}; next: {refusal.next}")
    else:
        out(name)


def _name(file: Json) -> str:
    return str(file["lfn"]).rpartition("/")[2]


def _words(given: Sequence[str]) -> Iterator[str]:
    for word in given:
        if word == "-":
            yield from (line.strip() for line in sys.stdin)
        else:
            yield word.rstrip("/") or word
