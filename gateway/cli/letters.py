"""`dead-letters`: messages that could not be handled, why, and sending them again once the cause is gone."""

from typing import Annotated
from uuid import UUID

import typer

from gateway.cli.ids import SOME_FAILED, Json
from gateway.cli.output import Column, as_json, json_lines, note, out, table
from gateway.cli.session import connected
from gateway.cli.text import ago, clean

ROUTE = "/api/v1/dead-letters"
COLUMNS = (
    Column("id"),
    Column("topic"),
    Column("reason"),
    Column("source", rank=2),
    Column("detail", rank=1),
    Column("attempts", "tries", rank=3),
    Column("at", "since", rank=4, show=ago),
)


def add_refusals(app: typer.Typer) -> None:
    """The command that counts what was refused."""
    app.command()(refusals)


def refusals(days: Annotated[int, typer.Option(min=1, max=400, help="how far back")] = 7, json: Json = False) -> None:
    """Count what was refused in the VO, by day, command and code.

    \b
    Example: spinor refusals --days 1
    """
    with connected() as session:
        rows = session.get("/api/v1/refusals", days=days)["refusals"]
    if json:
        json_lines(rows)
    else:
        table(rows, [Column(name) for name in ("day", "topic", "code", "count")])


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command("list")(list_letters)
    app.command("send-again")(send_again)


def list_letters(json: Json = False) -> None:
    """List what could not be handled, newest first.

    \b
    Example: spinor dead-letters list
    """
    with connected() as session:
        rows = session.get(ROUTE)["dead_letters"]
    if json:
        json_lines(rows)
    else:
        table(rows, COLUMNS)


def send_again(
    ids: Annotated[list[UUID], typer.Argument(metavar="ID", help="as dead-letters list shows them")],
    json: Json = False,
) -> None:
    """Send dead letters again; the ids of those that were sent come out.

    \b
    Example: spinor dead-letters send-again 0f8fad5b-d9cb-469f-a165-70867728950e
    """
    with connected() as session:
        results = session.post(f"{ROUTE}/send-again", {"letters": [str(id_) for id_ in ids]})["results"]
    refused = [result for result in results if result.get("error")]
    for result in results:
        if json:
            as_json(result)
        elif result.get("error"):
            note(f"{result['id']}:", clean(result["error"].get("detail")))
        else:
            out(str(result["id"]))
    if refused:
        raise typer.Exit(1 if len(refused) == len(results) else SOME_FAILED)
