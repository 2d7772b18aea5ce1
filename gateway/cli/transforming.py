"""What is done with a transformation: start, pause, drain, extend, retry, complete, clean."""

from typing import Annotated, Any

import typer

from gateway.cli.ids import Json
from gateway.cli.lfns import report, words
from gateway.cli.output import as_json, out
from gateway.cli.session import connected
from gateway.cli.transformations import Name, at, attached


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    for command in (start, pause, drain, extend, retry, complete, clean):
        app.command()(command)


def _acted(name: str, verb: str, json: bool, **body: Any) -> None:
    with connected() as session:
        for each in words([name]):
            answer = session.post(f"{at(each)}/{verb}", body)
            as_json(answer) if json else out(each)


def start(name: Name, json: Json = False) -> None:
    """Let it take inputs and make tasks.

    \b
    Example: spinor transformation list --status New --ids | spinor transformation start -
    """
    _acted(name, "start", json)


def pause(name: Name, json: Json = False) -> None:
    """Make no more tasks for now; files that fit are attached all the same, and what runs goes on.

    \b
    Example: spinor transformation pause merge-7
    """
    _acted(name, "pause", json)


def drain(name: Name, json: Json = False) -> None:
    """Take no more inputs, make tasks of what is left even if groups are not full, complete when all have ended.

    \b
    Example: spinor transformation drain merge-7
    """
    _acted(name, "drain", json)


def complete(name: Name, json: Json = False) -> None:
    """Make no more tasks; those that run are counted to their end.

    \b
    Example: spinor transformation complete merge-7
    """
    _acted(name, "complete", json)


def clean(name: Name, json: Json = False) -> None:
    """Kill what runs and be done with it for ever. Its files stay: spinor data rm.

    \b
    Example: spinor transformation clean merge-7
    """
    _acted(name, "clean", json)


def extend(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a transformation")],
    lfns: Annotated[list[str] | None, typer.Argument(metavar="LFN", help="more inputs; - reads stdin")] = None,
    max_tasks: Annotated[int | None, typer.Option(min=0, help="allow so many tasks; 0: as inputs make")] = None,
    json: Json = False,
) -> None:
    """Give it more inputs, or allow more tasks; one with a query looks for inputs again.

    \b
    Example: spinor transformation extend merge-7 /demo/data/late.dst
    """
    with connected() as session:
        if lfns:
            report(attached(session, name, words(lfns)), json)
        if max_tasks is not None or not lfns:
            most = session.get(at(name))["max_tasks"] if max_tasks is None else max_tasks
            answer = session.post(f"{at(name)}/extend", {"max_tasks": most})
            as_json(answer) if json else out(name)


def retry(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a transformation")],
    tasks: Annotated[list[int] | None, typer.Argument(metavar="TASK", help="only these quarantined tasks")] = None,
    json: Json = False,
) -> None:
    """Give the inputs of quarantined tasks to new ones.

    \b
    Example: spinor transformation retry merge-7 12 13
    """
    count = 0
    with connected() as session:
        more = True
        while more:
            answer = session.post(f"{at(name)}/retry", {"tasks": tasks or []})
            count, more = count + answer["retried"], answer["more"] and bool(answer["retried"]) and not tasks
    as_json({"retried": count}) if json else out(f"{count} tasks")
