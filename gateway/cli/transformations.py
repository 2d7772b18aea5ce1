"""`spinor transformation`: define one, let it take files, see how far it is, and why it does not go on."""

import json as json_
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import Code, Refused
from domain.transformations.definition import NAME
from gateway.cli.ids import Json
from gateway.cli.lfns import parts, words
from gateway.cli.output import Column, as_json, counting, facts, json_lines, note, out, table
from gateway.cli.session import Session, connected
from gateway.cli.text import ago

ROUTE = "/api/v1/transformations"
POLL = 1.0  # seconds between two looks of somebody who follows
LIST = (
    Column("name"), Column("status"), Column("attached"), Column("unused", rank=1), Column("assigned", rank=2),
    Column("processed"), Column("quarantined", rank=1), Column("tasks", rank=3), Column("updated_at", "since", 4, ago),
)  # fmt: skip
FILES = (
    Column("lfn"),
    Column("state"),
    Column("task"),
    Column("job"),
    Column("target", rank=2),
    Column("code", rank=1),
)
TASKS = (
    Column("task"), Column("status"), Column("job"), Column("inputs"), Column("failures", rank=2),
    Column("target", rank=3), Column("code", rank=1), Column("updated_at", "since", 4, ago),
)  # fmt: skip
Name = Annotated[str, typer.Argument(metavar="NAME", help="a transformation; - reads names from stdin")]


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command("list")(list_them)
    for command in (create, show, files, why, follow, audit):
        app.command()(command)


def at(name: str) -> str:
    """The route of a transformation.

    Raises:
        Refused: TRANSFORMATION_UNKNOWN, for what cannot be the name of one.
    """
    if not NAME.fullmatch(name):
        raise Refused(Code.TRANSFORMATION_UNKNOWN, transformation=name[:64])
    return f"{ROUTE}/{name}"


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="its name, at most 32 letters, digits and ._-")],
    job: Annotated[Path, typer.Argument(metavar="FILE", help="the description of its jobs, as JSON; - reads stdin")],
    where: Annotated[list[str] | None, typer.Option("--where", "-w", help="a condition, like 'run = 7'")] = None,
    path: Annotated[str, typer.Option(help="only files below this directory")] = "",
    lfns: Annotated[Path | None, typer.Option(help="a file with names of inputs, one a line")] = None,
    plugin: Annotated[str, typer.Option(help="Standard, BySize, ByShare, Broadcast, OnePerFile")] = "Standard",
    group_size: Annotated[int, typer.Option(min=1, help="files a task; BySize: gigabytes")] = 1,
    target: Annotated[list[str] | None, typer.Option(help="a site, with Broadcast")] = None,
    share: Annotated[list[str] | None, typer.Option(help="SITE=WEIGHT, with ByShare")] = None,
    priority: Annotated[int, typer.Option(min=0, max=10, help="of its jobs")] = 1,
    max_tasks: Annotated[int, typer.Option(min=0, help="at most so many tasks; without inputs: so many")] = 0,
    retries: Annotated[int, typer.Option(min=0, help="further attempts of a task that fails")] = 2,
    split: Annotated[bool, typer.Option("--split", help="then halve its inputs, until the bad one is alone")] = False,
    start_it: Annotated[bool, typer.Option("--start", help="start it at once")] = False,
    json: Json = False,
) -> None:
    """Define a transformation: jobs over files of the catalogue, each file once. {task} in FILE is the task's number.

    \b
    Example: spinor transformation create merge-7 merge.json --where 'run = 7' --group-size 10 --start
    """
    source = "list" if lfns else None if (where or path) else "none" if max_tasks else "list"
    body = {
        "name": name, "job": _described(job), "source": source, "plugin": plugin, "group_size": group_size,
        "path": path, "conditions": where or [], "targets": target or [], "shares": _shares(share or []),
        "priority": priority, "max_tasks": max_tasks, "retries": retries, "then": "split" if split else "quarantine",
    }  # fmt: skip
    with connected() as session:
        made = session.post(ROUTE, body)
        if lfns:
            attached(session, name, words(lfns.read_text().splitlines()))
        if start_it:
            made |= session.post(f"{at(name)}/start", {})
    as_json(made) if json else out(name)


def _described(path: Path) -> Any:
    try:
        found = json_.loads(sys.stdin.read() if str(path) == "-" else path.read_text())
    except ValueError as error:
        raise Refused(Code.FILE, path=str(path), problem=f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refused(Code.FILE, path=str(path), problem="the description of one job is expected")
    return found


def _shares(given: list[str]) -> dict[str, float]:
    try:
        return {site: float(weight) for site, _, weight in (each.partition("=") for each in given)}
    except ValueError:
        raise typer.BadParameter("a share is SITE=WEIGHT, like LCG.CERN.cern=3") from None


def attached(session: Session, name: str, lfns: list[str]) -> list[dict[str, Any]]:
    """Attach files by name, with a bar; the result of each."""
    results: list[dict[str, Any]] = []
    with counting() as bar:
        task = bar.add_task("files attached", total=len(lfns))
        for part in parts(lfns):
            results += session.post(f"{at(name)}/inputs", {"lfns": part})["results"]
            bar.advance(task, len(part))
    for each in results:
        if each.get("error"):
            note(f"{each['lfn']}: {each['error']['detail']}")
    return results


def list_them(
    status: Annotated[str, typer.Option(help="only those in this state")] = "",
    mine: Annotated[bool, typer.Option("--mine", help="only your own")] = False,
    names: Annotated[bool, typer.Option("--ids", help="names only, one a line")] = False,
    json: Json = False,
) -> None:
    """List transformations, with how far they are.

    \b
    Example: spinor transformation list --status Active
    """
    rows: list[dict[str, Any]] = []
    with connected() as session:
        after: str | None = ""
        while after is not None:
            page = session.get(ROUTE, status=status.capitalize(), mine=mine or None, after=after, limit=1000)
            rows, after = rows + page["transformations"], page["next"]
    if json:
        json_lines(rows)
    elif names:
        for row in rows:
            out(row["name"])
    else:
        table(rows, LIST)


def show(
    name: Name,
    tasks: Annotated[bool, typer.Option("--tasks", help="its tasks instead, with their jobs")] = False,
    status: Annotated[str, typer.Option(help="only tasks in this state")] = "",
    json: Json = False,
) -> None:
    """Show one: what it does and how far it is; or its tasks.

    \b
    Example: spinor transformation show merge-7 --tasks --status Quarantined
    """
    with connected() as session:
        for each in words([name]):
            if tasks:
                _pages(session, f"{at(each)}/tasks", "tasks", TASKS, json, status=status.capitalize(), limit=1000)
                continue
            found = session.get(at(each))
            if json:
                as_json(found)
            else:
                found["owner"] = found.pop("owner_name")
                facts({**found, "may_become": ", ".join(found["may_become"])})


def files(
    name: Name,
    state: Annotated[str, typer.Option(help="Unused, Assigned, Processed, Quarantined or Cancelled")] = "",
    json: Json = False,
) -> None:
    """List its inputs, each with its state, task and job.

    \b
    Example: spinor transformation files merge-7 --state Quarantined
    """
    with connected() as session:
        for each in words([name]):
            _pages(session, f"{at(each)}/files", "files", FILES, json, state=state.capitalize(), limit=1000)


def _pages(session: Session, path: str, what: str, columns: tuple[Column, ...], json: bool, **more: Any) -> None:
    """All pages, each shown as it comes."""
    after: Any = ""
    first = True
    while after is not None:
        page = session.get(path, after=after, **more)
        if json:
            json_lines(page[what])
        elif first or page[what]:
            table(page[what], columns)
        after, first = page["next"], False


def why(
    name: Name,
    lfn: Annotated[str, typer.Argument(metavar="LFN", help="what became of this file")] = "",
    json: Json = False,
) -> None:
    """Say why it does not go on, or what became of one file.

    \b
    Example: spinor transformation why merge-7 /demo/data/run7/a.dst
    """
    with connected() as session:
        for each in words([name]):
            found = session.get(f"{at(each)}/why", lfn=lfn)
            if json:
                as_json(found)
                continue
            out(f"{each} is {found['status']}")
            for reason in found["reasons"]:
                said = {key: value for key, value in reason.items() if key not in ("next", "error", "lfn")}
                out("  " + "  ".join(f"{key}: {value}" for key, value in said.items()))
                if reason.get("next"):
                    note(f"  next: {reason['next']}")


def follow(name: Annotated[str, typer.Argument(metavar="NAME", help="a transformation")], json: Json = False) -> None:
    """Follow it until it has ended, with a bar of its inputs; --json prints a line whenever something changes.

    \b
    Example: spinor transformation follow merge-7
    """
    last: Any = None
    with connected() as session, counting() as bar:
        task = bar.add_task(name, total=None)
        while True:
            found = session.get(at(name))
            if json and found["updated_at"] != last:
                as_json(found)
            last = found["updated_at"]
            ended = found["processed"] + found["quarantined"]
            bar.update(task, total=found["attached"], completed=ended, description=f"{name} {found['status']}")
            if found["status"] in ("Completed", "Cleaned") and not found["open_tasks"]:
                break
            time.sleep(POLL)
    if not json:
        out(f"{name} {found['status']}: {found['processed']} processed, {found['quarantined']} quarantined")


def audit(name: Name, json: Json = False) -> None:
    """Prove from the log that every input is claimed once or not at all; exits with 1 where that is not so.

    \b
    Example: spinor transformation audit merge-7
    """
    good = True
    with connected() as session:
        for each in words([name]):
            found = session.post(f"{at(each)}/audit", {})
            good = good and found["holds"]
            if json:
                as_json(found)
                continue
            counts = f"{found['inputs']} inputs, {found['claimed']} claimed, {found['processed']} processed"
            told = "every input once or not at all" if found["holds"] else "NOT SO"
            out(f"{each}: {told}; {counts}, {found['tasks']} tasks, {found['events']} events read")
            for problem, those in found["problems"].items():
                note(f"  {problem}: {those['count']}, first {', '.join(those['first'])}")
    if not good:
        raise typer.Exit(1)
