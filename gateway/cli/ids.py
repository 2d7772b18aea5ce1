"""Ids in, ids out: what names the jobs of a command, and what it says about each of them."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any

import typer

from domain.errors import Code, Refused
from domain.values import MAX_JOB
from gateway.cli.output import as_json, note, out
from gateway.cli.session import Session, connected, refused
from gateway.cli.text import clean

SOME_FAILED = 3
AT_ONCE = 10_000  # jobs that the gateway takes in one request
EVERY = {Code.GATEWAY_AWAY, Code.NO_TOKEN, Code.BUS_AWAY, Code.DATABASE_AWAY, Code.OBJECTS_AWAY}  # not of one job

Ids = Annotated[list[str], typer.Argument(metavar="ID", help="job ids; - reads them from stdin")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


def numbers(given: Sequence[str]) -> list[int]:
    """The jobs that arguments name, each once; `-` stands for the ids on stdin.

    Raises:
        typer.BadParameter: something is not the id of a job.
    """
    found = dict.fromkeys(_number(word) for word in _words(given))
    if not found:
        raise typer.BadParameter("no job ids came on stdin")
    return list(found)


def _words(given: Iterable[str]) -> Iterator[str]:
    for word in given:
        if word == "-":
            for line in sys.stdin:
                yield from line.replace(",", " ").split()
        else:
            yield from word.replace(",", " ").split()


def _number(word: str) -> int:
    if word.isascii() and word.isdecimal() and len(word) < 16 and 0 < int(word) <= MAX_JOB:
        return int(word)
    raise typer.BadParameter(f"{clean(word)[:40]!r} is not a job id, expected a whole number above 0")


def state(given: str, states: Iterable[str]) -> str:
    """The state that a user named in whatever case; empty for none.

    Raises:
        typer.BadParameter: there is no such state.
    """
    known = {each.lower(): each for each in states if each}
    if given and given.lower() not in known:
        raise typer.BadParameter(f"there is no state {clean(given)[:40]!r}; there are: {', '.join(known.values())}")
    return known.get(given.lower(), "")


def parts(jobs: Sequence[int]) -> Iterator[list[int]]:
    """The jobs in parts that the gateway takes at once."""
    for start in range(0, len(jobs), AT_ONCE):
        yield list(jobs[start : start + AT_ONCE])


def report(results: Sequence[dict[str, Any]], json: bool) -> None:
    """Print the ids that went well on stdout, what was refused on stderr, and exit accordingly.

    Raises:
        Refused: the only one was refused.
        typer.Exit: 1 when all were refused, 3 when some were.
    """
    bad = [result for result in results if result.get("error")]
    if json:
        for result in results:
            as_json(result)
    elif len(results) == len(bad) == 1:
        raise _refusal(bad[0])
    else:
        for result in results:
            _tell(result["job"], _refusal(result) if result.get("error") else None)
    _end(len(bad), len(results))


def told_each(jobs: Sequence[int], tell: Callable[[Session, int], None], json: bool) -> None:
    """Have something told of each job; what is refused of some is said, and the others are told all the same.

    Raises:
        Refused: the only one was refused, or the gateway does not serve us at all.
        typer.Exit: 1 when all were refused, 3 when some were.
    """
    bad = 0
    with connected() as session:
        for job in jobs:
            try:
                tell(session, job)
            except Refused as refusal:
                if len(jobs) == 1 or refusal.code in EVERY:
                    raise
                bad += 1
                if json:
                    as_json({"job": job, "error": fields(refusal)})
                else:
                    _tell(job, refusal)
    _end(bad, len(jobs))


def fields(refusal: Refused) -> dict[str, Any]:
    """A refusal as fields."""
    return refusal.parameters | {
        "code": refusal.code.slug,
        "detail": refusal.what,
        "who": refusal.code.value.who.value,
        "next": refusal.next,
    }


def _refusal(result: dict[str, Any]) -> Refused:
    return refused(result["error"] | {"job": result["job"]})


def _tell(job: int, refusal: Refused | None) -> None:
    if refusal:
        note(f"{job}: {refusal.what}; next: {refusal.next}")
    else:
        out(str(job))


def _end(bad: int, every: int) -> None:
    if bad:
        raise typer.Exit(1 if bad == every else SOME_FAILED)
