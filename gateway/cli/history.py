"""`history`: the whole life of one thing, a sentence for each event, with who did it and because of what."""

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from gateway.cli.ids import Ids, Json, numbers, told_each
from gateway.cli.output import Column, console, json_lines, out, room, table
from gateway.cli.session import Session, connected
from gateway.cli.text import clean, time_of

COLUMNS = (
    Column("at", "time"),
    Column("actor", "who", rank=2),
    Column("what", least=30, wrap=True),
    Column("because", rank=3, least=20, wrap=True),
)
AsOf = Annotated[
    str, typer.Option("--as-of", metavar="TIME", help="only what was known then: 2026-11-21T09:30, or 09:30 of today")
]

WithPilot = Annotated[bool, typer.Option("--pilot", help="with what happened to its pilots")]


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command("job")(of_job)
    app.command("pilot")(of_pilot)


def of_job(
    ids: Ids,
    as_of: AsOf = "",
    pilot: WithPilot = False,
    json: Json = False,
) -> None:
    """Tell the history of jobs: time, actor, what happened, because of what. With --json: one event a line.

    \b
    Example: spinor history job 42
             spinor history job 42 --as-of 2026-11-21T09:30
    """
    jobs, until = numbers(ids), moment_given(as_of)

    def each(session: Session, job: int) -> None:
        answer = session.get(f"/api/v1/jobs/{job}/history", include_pilot="true" if pilot else None, as_of=until)
        if len(jobs) > 1 and not json:
            out(f"job {job}", style="bold")
        tell([{"job": job} | line for line in answer["lines"]], json)

    told_each(jobs, each, json)


def of_pilot(stamp: Annotated[str, typer.Argument(metavar="STAMP")], as_of: AsOf = "", json: Json = False) -> None:
    """Tell the history of a pilot.

    \b
    Example: spinor history pilot 5f0c2d7a9b31e864
    """
    until = moment_given(as_of)
    with connected() as session:
        tell(session.get(f"/api/v1/pilots/{quote(stamp, safe='')}/history", as_of=until)["lines"], json)


def tell(kept: Sequence[dict[str, Any]], json: bool) -> None:
    """Print lines of a history."""
    width = room(sys.stdout)
    if json:
        json_lines(kept)
    elif width is None or not kept:
        table(kept, COLUMNS)
    else:
        for line in story(kept, width):
            console(sys.stdout).print(line)


def story(lines: Sequence[Mapping[str, Any]], width: int, fine: bool = False) -> Iterator[Text]:
    """A history for a terminal: when and what, below it who and because of what, folded; `fine` tells milliseconds."""
    for line in lines:
        at = time_of(line["at"])
        time = "" if not at else f"{at.astimezone():%H:%M:%S.%f}"[:-3] if fine else f"{at.astimezone():%F %T}"
        left = max(width - len(time) - 2, 20)
        for number, part in enumerate(textwrap.wrap(clean(line["what"]), left)):
            yield Text(" " * len(time) if number else time, "dim").append(f"  {part}", "not dim")
        for number, part in enumerate(textwrap.wrap(_by(line), left - 2)):
            yield Text(" " * (len(time) + 2) + ("  " if number else "└ ") + part, "dim")


def _by(line: Mapping[str, Any]) -> str:
    """Who did it because of what, each said once."""
    actor, because = clean(line["actor"]), clean(line.get("because") or "")
    if because.startswith(actor) or (because and line["what"].startswith(f"{actor} ")):
        return because
    return f"{actor}: {because}" if because else actor


def moment_given(text: str) -> str:
    """The moment a user named, as the gateway reads it; without a zone it is that of this machine.

    Raises:
        typer.BadParameter: it is none.
    """
    if not text:
        return ""
    try:
        if len(text) <= 8 and ":" in text:
            text = f"{datetime.now().astimezone():%Y-%m-%d}T{text}"
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text[:40]!r} is no time, expected for example 2026-11-21T09:30") from None
