"""`pilot list`, `pilot show`, `queue list`: who runs jobs, and what waits for them."""

from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer

from domain.pilot import Status
from domain.requirements import Requirements
from gateway.cli.ids import Json, state
from gateway.cli.output import Column, as_json, facts, json_lines, note, out, table
from gateway.cli.reasons import explained
from gateway.cli.session import connected
from gateway.cli.text import ago, clean, shown

COLUMNS = (
    Column("stamp"),
    Column("status"),
    Column("site", rank=1),
    Column("ce", "computing element", rank=4),
    Column("queue", rank=5),
    Column("software", "version", rank=6),
    Column("started_at", "started", rank=3, show=ago),
    Column("updated_at", "changed", rank=2, show=ago),
)
JOBS = (Column("job"), Column("name"), Column("status"), Column("attempt", rank=2), Column("matched_at", "got", rank=1))
TOLD = ("stamp", "status", "vo", "site", "ce", "queue", "reason", "incarnation", "credential", "credential_until",
        "proved_at", "proofs")  # fmt: skip
FACTS = {name: name.replace("_", " ") for name in TOLD}
Stamp = Annotated[str, typer.Argument(metavar="STAMP")]


def add(app: typer.Typer) -> None:
    """The commands on pilots."""
    app.command("list")(list_pilots)
    app.command("show")(show)
    app.command("revoke")(revoke)


def add_queues(app: typer.Typer) -> None:
    """The commands on queues."""
    app.command("list")(queues_list)
    app.command("why")(queue_why)


def list_pilots(
    status: Annotated[str, typer.Option(help="only these: Submitted, Running, Done, Aborted")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="how many at most")] = 100,
    json: Json = False,
) -> None:
    """List pilots, newest first. With --json: one object a line.

    \b
    Example: spinor pilot list --status Running
    """
    wanted = state(status, Status)
    with connected() as session:
        rows = session.get("/api/v1/pilots", status=wanted, limit=limit)["pilots"]
    if json:
        json_lines(rows)
    else:
        table(rows, COLUMNS)


def show(stamp: Stamp, json: Json = False) -> None:
    """Show a pilot: where it is, on what machine, how it proves itself, what it was refused, its jobs.

    \b
    Example: spinor pilot show 5f0c2d7a9b31e864
    """
    with connected() as session:
        answer = session.get(f"/api/v1/pilots/{quote(stamp, safe='')}")
    if json:
        as_json(answer)
        return
    lists = {name: value for name, value in answer.items() if isinstance(value, list) and value}
    facts({name: value for name, value in answer.items() if name not in lists}, FACTS)
    for name, rows in lists.items():
        note(f"{name.replace('_', ' ')}:")
        table(rows, JOBS if name == "jobs" else [Column(each, rank=number) for number, each in enumerate(rows[0])])


def revoke(
    stamp: Stamp,
    reason: Annotated[str, typer.Option(help="kept in the pilot's history")] = "",
    json: Json = False,
) -> None:
    """Take everything from a pilot: its secret, its tokens, and the jobs it holds.

    \b
    Example: spinor pilot revoke 5f0c2d7a9b31e864 --reason "the node was broken into"
    """
    with connected() as session:
        answer = session.post(f"/api/v1/pilots/{quote(stamp, safe='')}/revoke", {"reason": reason})
    if json:
        as_json(answer)
    else:
        out(clean(answer["stamp"]))


def queues_list(json: Json = False) -> None:
    """List the task queues: jobs of one owner and group that need the same, and how many wait.

    \b
    Example: spinor queue list
    """
    with connected() as session:
        rows = session.get("/api/v1/queues")["queues"]
    if json:
        json_lines(rows)
        return
    columns = [Column("queue", rank=4, show=lambda name: shown(name)[:12]), Column("waiting"), Column("priority"),
               Column("owner_group", "group", rank=2), Column("requirements", "needs", rank=1, show=needs)]  # fmt: skip
    table(rows, columns)


def queue_why(queue: Annotated[str, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """Say why no pilot takes the jobs of a task queue: what keeps them apart, and what would not.

    \b
    Example: spinor queue why $(spinor queue list --json | head -1 | jq -r .queue)
    """
    with connected() as session:
        found = session.get(f"/api/v1/queues/{quote(queue, safe='')}/why")
    as_json(found) if json else explained(found)


def needs(given: Any) -> str:
    """Requirements as `name=value`, without those that everybody has."""
    usual = msgspec.to_builtins(msgspec.structs.asdict(Requirements()))
    asked = {name: value for name, value in given.items() if value != usual.get(name, value) and value}
    return " ".join(f"{name}={shown(value)}" for name, value in asked.items()) or "nothing special"
