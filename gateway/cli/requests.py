"""`data replicate`, and `request list|show|why|cancel`: what is being done with files, and what it waits for."""

from typing import Annotated, Any

import typer

from gateway.cli.ids import Json
from gateway.cli.lfns import ROUTE, Lfns, expanded, parts
from gateway.cli.output import Column, as_json, json_lines, note, out, table
from gateway.cli.session import connected
from gateway.cli.text import ago, moment

AT_ONCE = 1000  # files of one request
COLUMNS = (
    Column("request"), Column("status"), Column("what"), Column("done"), Column("files"), Column("failed", rank=2),
    Column("detail", rank=1), Column("job", rank=2), Column("updated_at", "since", rank=3, show=ago),
)  # fmt: skip
Id = Annotated[str, typer.Argument(metavar="ID", help="id of a request")]


def add(app: typer.Typer) -> None:
    """The commands of this file about files."""
    app.command()(replicate)


def add_requests(app: typer.Typer) -> None:
    """The commands of this file about requests."""
    app.command("list")(list_requests)
    for command in (show, why, cancel):
        app.command()(command)


def replicate(
    lfns: Lfns,
    to: Annotated[str, typer.Option("--to", "-t", help="storage element that gets a replica")],
    drop: Annotated[str, typer.Option("--drop", help="storage element that loses its replica afterwards")] = "",
    days: Annotated[float, typer.Option("--days", help="how long it is tried")] = 7.0,
    json: Json = False,
) -> None:
    """Have files copied to a further storage element. Prints the ids of the requests; `spinor request why ID` follows.

    \b
    Example: spinor data replicate '/demo/user/ann/*.dst' --to CERN-S3
    """
    operations = [{"verb": "replicate", "se": to}, *([{"verb": "drop", "se": drop}] if drop else [])]
    with connected() as session:
        for part in parts(expanded(session, lfns), AT_ONCE):
            body: dict[str, Any] = {"lfns": part, "operations": operations, "days": days}
            made = session.post(f"{ROUTE}/requests", body)
            json_lines([made]) if json else out(made["request"])
            for each in [] if json else made["refused"]:
                note(f"{each['lfn']}: {each['error']['detail']}")


def list_requests(
    status: Annotated[str, typer.Option("--status", help="Waiting, Done, Failed or Canceled")] = "",
    mine: Annotated[bool, typer.Option("--mine", help="only your own")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="how many at most")] = 100,
    json: Json = False,
) -> None:
    """List your requests, newest first; those of the whole VO when you manage data.

    \b
    Example: spinor request list --status Waiting
    """
    with connected() as session:
        rows = session.get(f"{ROUTE}/requests", status=status, mine=mine, limit=limit)["requests"]
    if json:
        json_lines(rows)
    else:
        table([row | {"what": _what(row)} for row in rows], COLUMNS)


def show(request: Id, json: Json = False) -> None:
    """Show one request, and everything that happened to it.

    \b
    Example: spinor request show 5f0c2d7a-9b31-4e86-a1b2-c3d4e5f60718
    """
    with connected() as session:
        found = session.get(f"{ROUTE}/requests/{request}")
    if json:
        as_json(found)
        return
    out(f"{found['status']}: {_what(found)}, {found['done']} of {found['files']} files")
    for line in found["lines"]:
        out(f"{moment(line['at'])}  {line['what']}")


def why(request: Id, json: Json = False) -> None:
    """Say what a request waits for, or why it ended as it did.

    \b
    Example: spinor request why 5f0c2d7a-9b31-4e86-a1b2-c3d4e5f60718
    """
    with connected() as session:
        found = session.get(f"{ROUTE}/requests/{request}/why")
    as_json(found) if json else out(f"{found['status']}: {found['why']}")


def cancel(request: Id, json: Json = False) -> None:
    """Cancel a request; what is done stays done.

    \b
    Example: spinor request cancel 5f0c2d7a-9b31-4e86-a1b2-c3d4e5f60718
    """
    with connected() as session:
        found = session.post(f"{ROUTE}/requests/{request}/cancel", {})
    as_json(found) if json else out(found["status"])


def _what(row: dict[str, Any]) -> str:
    return ", ".join(f"{each['verb']} {each['se']}".strip() for each in row["operations"])
