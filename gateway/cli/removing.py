"""`data rm`, `data undo`, `data removals`: nothing is removed before it was shown, and all of it can come back."""

import sys
from typing import Annotated, Any

import typer

from domain.errors import Code, Refused
from gateway.cli.ids import Json
from gateway.cli.lfns import ROUTE, Lfns, expanded
from gateway.cli.output import Column, as_json, json_lines, note, out, table
from gateway.cli.session import connected
from gateway.cli.text import ago

COLUMNS = (
    Column("removal"), Column("status"), Column("files"), Column("size", "bytes"), Column("lost_files", "lost", rank=2),
    Column("reason", rank=1), Column("updated_at", "since", rank=3, show=ago),
)  # fmt: skip


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    for name, command in (("rm", remove), ("undo", undo), ("removals", removals)):
        app.command(name)(command)


def remove(
    paths: Lfns,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="the names are directories: all below")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="show what would go, and stop")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    reason: Annotated[str, typer.Option(help="why, for the history")] = "",
    json: Json = False,
) -> None:
    """Remove files: shows what goes, asks, and can be undone for a week. Prints the id of the removal.

    \b
    Example: spinor data rm -r /demo/user/ann/old --reason "superseded"
    """
    with connected() as session:
        names = expanded(session, paths)
        body: dict[str, Any] = {"below" if recursive else "lfns": names, "reason": reason}
        planned = session.post(f"{ROUTE}/removals", body)
        id_ = planned["removal"]
        if not json:
            _previewed(planned)
        if not plan and (yes or json or _agreed(planned["files"])):
            done = session.post(f"{ROUTE}/removals/{id_}/carry-out", {})
            planned |= {"status": "Removed", "removed": done["files"], "refused": done["refused"]}
            for each in [] if json else done["refused"]:
                note(f"{each['lfn']}: {each['code']}")
    as_json(planned) if json else out(id_)


def _previewed(planned: dict[str, Any]) -> None:
    note(f"{planned['files']} files, {planned['size']} bytes")
    for se, count in planned["elements"].items():
        note(f"  {se}: {count['replicas']} replicas, {count['bytes']} bytes")
    for file in planned["first"]:
        note(f"  {file['lfn']}")
    if planned["files"] > len(planned["first"]):
        note(f"  and {planned['files'] - len(planned['first'])} more")
    if planned["forbidden"]:
        note(f"{planned['forbidden']} more may not be removed by you")


def _agreed(files: int) -> bool:
    """Whether the user wants it. Without a terminal nobody can be asked: --yes has to say so.

    Raises:
        typer.Abort: no.
    """
    if not sys.stdin.isatty():
        raise Refused(Code.FORBIDDEN, right="--yes, since nobody can be asked here")
    return typer.confirm(f"Remove {files} files?", abort=True, err=True)


def undo(removal: Annotated[str, typer.Argument(metavar="ID", help="id of a removal")], json: Json = False) -> None:
    """Put back what a removal took away. What storage has lost in the meantime is told by name.

    \b
    Example: spinor data undo 5f0c2d7a-9b31-4e86-a1b2-c3d4e5f60718
    """
    with connected() as session:
        answer = session.post(f"{ROUTE}/removals/{removal}/undo", {})
    if json:
        as_json(answer)
        return
    out(f"{answer['files']} files are back")
    for lfn in answer["lost"]:
        note(f"{lfn}: storage has lost replicas of it")


def removals(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="how many at most")] = 100,
    json: Json = False,
) -> None:
    """List removals, newest first.

    \b
    Example: spinor data removals
    """
    with connected() as session:
        rows = session.get(f"{ROUTE}/removals", limit=limit)["removals"]
    if json:
        json_lines(rows)
    else:
        table(rows, COLUMNS)
