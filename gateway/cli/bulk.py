"""`bulk`: one act on all jobs that a query finds; first counted, then done, and undone where there is a way back."""

import time
from typing import Annotated, Any

import typer

from domain.bulk_action import Status, Verb
from domain.job import Status as JobStatus
from gateway.cli.ids import Json, state
from gateway.cli.output import Column, as_json, counting, facts, note, out, table
from gateway.cli.session import Session, connected
from gateway.cli.text import ago

ROUTE = "/api/v1/bulk"
PAUSE = 0.5  # seconds between two looks at how far it is
COLUMNS = (Column("action"), Column("verb"), Column("query", wrap=True), Column("jobs"), Column("acted", rank=1),
           Column("status"), Column("planned_at", "planned", rank=2, show=ago))  # fmt: skip
Action = Annotated[str, typer.Argument(metavar="ACTION", help="the id that the plan has")]
Filter = Annotated[str, typer.Option(help="only these")]


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command("list")(list_actions)
    for command in (plan, confirm, undo, show):
        app.command()(command)


def plan(
    verb: Annotated[Verb, typer.Argument()],
    status: Annotated[str, typer.Option(help="only in this state")] = "",
    owner: Annotated[str, typer.Option(help="only of this user; `me` is you")] = "",
    group: Filter = "",
    site: Filter = "",
    name: Filter = "",
    minor: Filter = "",
    job_type: Annotated[str, typer.Option("--type", help="only of this type")] = "",
    job_group: Filter = "",
    reason: Annotated[str, typer.Option(help="kept in the history of each job")] = "",
    priority: Annotated[int, typer.Option(min=0, max=10, help="for the verb `priority`")] = 1,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do it at once, without asking for a confirmation")] = False,
    json: Json = False,
) -> None:
    """Count the jobs that an act would concern, and keep the plan for an hour; its id comes out.

    \b
    Example: spinor bulk plan kill --owner me --status Waiting
             spinor bulk plan hold --name fit --reason "wrong calibration" --yes
    """
    where = {"status": state(status, JobStatus), "owner": owner, "group": group, "site": site, "name": name,
             "minor": minor, "job_type": job_type, "job_group": job_group}  # fmt: skip
    body = {"verb": verb.value, "where": where, "reason": reason, "priority": priority}
    with connected() as session:
        answer = session.post(ROUTE, body)
        if yes:
            answer |= _through(session, answer["action"], "confirm")
    if json:
        as_json(answer)
        return
    out(str(answer["action"]))
    counts = ", ".join(f"{count} {status}" for status, count in sorted(answer["by_status"].items()))
    note(f"{answer['jobs']} jobs ({counts})" + ("" if yes else f"; nothing was done yet, next: {answer['next']}"))


def confirm(action: Action, json: Json = False) -> None:
    """Do what was planned, and wait until it is done.

    \b
    Example: spinor bulk confirm 6c4d6f1e-1d0c-5f43-9d3c-0c6f2b8a0a11
    """
    _do(action, "confirm", json)


def undo(action: Action, json: Json = False) -> None:
    """Take back what was done: what was held is released, what was killed runs again, priorities are what they were.

    \b
    Example: spinor bulk undo 6c4d6f1e-1d0c-5f43-9d3c-0c6f2b8a0a11
    """
    _do(action, "undo", json)


def show(action: Action, json: Json = False) -> None:
    """Show an act on many jobs: what was meant, and how far it is.

    \b
    Example: spinor bulk show 6c4d6f1e-1d0c-5f43-9d3c-0c6f2b8a0a11
    """
    with connected() as session:
        row = session.get(f"{ROUTE}/{action}")
    as_json(row) if json else facts(row)


def list_actions(json: Json = False) -> None:
    """List acts on many jobs, newest first.

    \b
    Example: spinor bulk list
    """
    with connected() as session:
        rows = session.get(ROUTE)["actions"]
    as_json(rows) if json else table(rows, COLUMNS)


def _do(action: str, verb: str, json: bool) -> None:
    with connected() as session:
        row = _through(session, action, verb)
    as_json(row) if json else note(f"{row['acted']} of {row['jobs']} jobs: {row['status']}")


def _through(session: Session, action: str, verb: str) -> dict[str, Any]:
    """Ask for it, and wait until every job was acted upon."""
    row: dict[str, Any] = session.post(f"{ROUTE}/{action}/{verb}", {})
    with counting() as bar:
        task = bar.add_task(verb, total=row["jobs"])
        while row["status"] in (Status.RUNNING, Status.UNDOING):
            time.sleep(PAUSE)
            row = session.get(f"{ROUTE}/{action}")
            bar.update(task, completed=row["acted"])
    return row
