"""What jobs write and what happens to them: `job logs`, `peek`, `parameters`, `follow`, `history`."""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from domain.errors import Code, Refused
from domain.job import FINAL, Status
from gateway.cli import history as histories
from gateway.cli.follow import follow_jobs, head
from gateway.cli.history import AsOf
from gateway.cli.ids import Ids, Json, numbers, told_each
from gateway.cli.output import Row, as_json, facts, note, out
from gateway.cli.sandbox import download
from gateway.cli.session import Session, connected
from gateway.cli.text import ago, clean
from gateway.cli.wait import outcome, rows_of

ROUTE = "/api/v1/jobs"
PAUSE = 5.0  # seconds between two looks at what a program writes; its pilot tells it every half minute
USED = ("cpu_seconds", "wall_seconds", "rss_mb", "disk_mb")
OVERLAP = 200  # characters by which an old tail is found again in a new one


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    for command in (logs, peek, parameters, follow):
        app.command()(command)
    app.command("history")(history)


def logs(
    ids: Ids,
    error: Annotated[bool, typer.Option("--error", "-e", help="what went to its standard error")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on while its program runs")] = False,
    json: Json = False,
) -> None:
    """Print what jobs wrote: of one that runs the end, as its pilot told it last, of one that ended everything.

    \b
    Example: spinor job logs 42 --follow
    """

    def each(session: Session, job: int) -> None:
        text = _running(session, job, follow and not json) if not error else ""
        row = session.get(f"{ROUTE}/{job}")
        ended = Status(row["status"]) in FINAL
        text = _kept(session, row, error) if ended and row["output"] else text
        if not text and not ended:
            note(f"{job}: its program has not written anything that is known here yet")
        as_json({"job": job, "status": row["status"], "text": text}) if json else _print(text)

    told_each(numbers(ids), each, json)


def _running(session: Session, job: int, on: bool) -> str:
    """The last words of a job that runs; with `on` they are printed as they come, until it has ended."""
    said = ""
    while True:
        try:
            tail = str(session.get(f"{ROUTE}/{job}/peek")["stdout_tail"])
        except Refused as refusal:
            if refusal.code is Code.NOT_RUNNING:
                return said
            raise
        if not on:
            return tail
        _print(fresh(said, tail))
        said = tail
        time.sleep(PAUSE)


def fresh(old: str, new: str) -> str:
    """What a new tail says that the old one did not."""
    known = old[-OVERLAP:]
    place = new.rfind(known) if known else -1
    return new[place + len(known) :] if place >= 0 else new


def _kept(session: Session, row: Row, error: bool) -> str:
    """The file in the output sandbox of a job that has ended."""
    described = session.get(f"{ROUTE}/{row['job']}/description")
    name = described["std_error" if error else "std_output"]
    with tempfile.TemporaryDirectory() as folder:
        got = download(session.http, row["output"], Path(folder))
        found = [path for path in got.files if path.name == Path(name).name]
        if not found:
            raise Refused(Code.NOT_FOUND, thing="file", name=f"{name} in the output of job {row['job']}")
        return found[0].read_text(errors="replace")


def _print(text: str) -> None:
    for line in text.splitlines():
        out(clean(line))


def peek(ids: Ids, json: Json = False) -> None:
    """Print the end of what running jobs wrote, and what they use.

    \b
    Example: spinor job peek 42
    """

    def each(session: Session, job: int) -> None:
        answer = session.get(f"{ROUTE}/{job}/peek")
        if json:
            as_json(answer)
            return
        text = answer.pop("stdout_tail")
        used = ", ".join(f"{name} {value}" for name, value in answer.items() if name in USED and value is not None)
        note(
            f"{job}: {answer['status']}, heard of {ago(answer['heard_at']) or 'never'} ago{', ' if used else ''}{used}"
        )
        _print(text)

    told_each(numbers(ids), each, json)


def parameters(ids: Ids, json: Json = False) -> None:
    """Print what was measured or found out about jobs, of each attempt.

    \b
    Example: spinor job parameters 42
    """

    def each(session: Session, job: int) -> None:
        answer = session.get(f"{ROUTE}/{job}/parameters")
        if json:
            as_json(answer)
            return
        for attempt in answer["attempts"]:
            out(f"job {job}, attempt {attempt['attempt']}", style="bold")
            facts(attempt["values"])

    told_each(numbers(ids), each, json)


def follow(ids: Ids, json: Json = False) -> None:
    """Print what happens to jobs until all have ended. Exits as `spinor job wait`.

    \b
    Example: spinor job follow 42
             spinor job submit production.jdl | spinor job follow -
    """
    jobs = numbers(ids)
    with connected() as session:
        since = head(session)
        living = [job for job, row in rows_of(session, jobs).items() if Status(row["status"]) not in FINAL]
        follow_jobs(session, living, since, json)
        rows = rows_of(session, jobs)
        outcome([rows[job] for job in jobs], json=False)


def history(ids: Ids, as_of: AsOf = "", pilot: histories.WithPilot = False, json: Json = False) -> None:
    """Tell the history of jobs, as `spinor history job` does.

    \b
    Example: spinor job history 42
    """
    histories.of_job(ids, as_of, pilot, json)
