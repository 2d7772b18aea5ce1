"""What can be done to jobs: kill, reschedule, reset, delete, hold, release, priority; and fetching what they left."""

from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import Code, Refused
from gateway.cli.ids import Ids, Json, numbers, parts, report, told_each
from gateway.cli.output import as_json, counting, note, out, progress
from gateway.cli.sandbox import download
from gateway.cli.session import Session, connected
from gateway.cli.text import clean

ROUTE = "/api/v1/jobs"
HoldCode = Annotated[str, typer.Option(help="what holds them; codes other than `user` are for administrators")]
Reason = Annotated[str, typer.Option(help="kept in the history of each job")]


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    for command in (kill, reschedule, reset, delete, hold, release, priority, output):
        app.command()(command)
    app.command("get")(get)


def kill(ids: Ids, reason: Reason = "", json: Json = False) -> None:
    """End jobs that have not ended. The ids of those that were killed come out.

    \b
    Example: spinor job kill 42 43 --reason "wrong calibration"
             spinor job list --status Waiting --ids | spinor job kill -
    """
    _act("kill", ids, {"reason": reason}, json)


def reschedule(ids: Ids, reason: Reason = "", json: Json = False) -> None:
    """Run failed or killed jobs again, as new attempts.

    \b
    Example: spinor job list --status Failed --ids | spinor job reschedule -
    """
    _act("reschedule", ids, {"reason": reason}, json)


def delete(ids: Ids, json: Json = False) -> None:
    """Take jobs out of the lists; those that still live are killed. Their history stays.

    \b
    Example: spinor job delete 42
    """
    _act("delete", ids, {}, json)


def reset(ids: Ids, reason: Reason = "", json: Json = False) -> None:
    """Run jobs again as if they had never been rescheduled; for administrators.

    \b
    Example: spinor job reset 42
    """
    _act("reset", ids, {"reason": reason}, json)


def hold(ids: Ids, reason: Reason = "", code: HoldCode = "user", json: Json = False) -> None:
    """Keep jobs from pilots until they are released. Several codes may hold a job at once.

    \b
    Example: spinor job hold 42 --reason "wait for the new calibration"
             spinor job list --status Waiting --ids | spinor job hold -
    """
    _act("hold", ids, {"reason": reason, "code": code}, json)


def release(ids: Ids, code: HoldCode = "user", json: Json = False) -> None:
    """Let held jobs go on, where no other code holds them.

    \b
    Example: spinor job release 42
    """
    _act("release", ids, {"code": code}, json)


def priority(
    priority: Annotated[int, typer.Argument(min=0, max=10, metavar="PRIORITY")], ids: Ids, json: Json = False
) -> None:
    """Give jobs that no pilot has yet another priority, 0 (last) to 10 (first).

    \b
    Example: spinor job priority 9 42 43
             spinor job list --status Waiting --ids | spinor job priority 2 -
    """
    _act("priority", ids, {"priority": priority}, json)


def _act(verb: str, ids: list[str], more: dict[str, Any], json: bool) -> None:
    results: list[dict[str, Any]] = []
    jobs = numbers(ids)
    with connected() as session, counting() as bar:
        task = bar.add_task(verb, total=len(jobs))
        for part in parts(jobs):
            results += session.post(f"{ROUTE}/{verb}", {"jobs": part} | more)["jobs"]
            bar.update(task, completed=len(results))
    report(results, json)


To = Annotated[Path, typer.Option(metavar="DIR", help="where; each job gets a directory of its id there")]


def get(ids: Ids, to: To = Path(), json: Json = False) -> None:
    """Download the output of jobs, as `spinor job output` does.

    \b
    Example: spinor job get 42 --to results
             spinor job submit production.jdl | spinor job wait - | spinor job get -
    """
    output(ids, to, json)


def output(ids: Ids, to: To = Path(), json: Json = False) -> None:
    """Download the output of jobs and unpack it into DIR/ID; the paths of the files come out.

    \b
    Example: spinor job output 42 --to results
    """

    def each(session: Session, job: int) -> None:
        row = session.get(f"{ROUTE}/{job}")
        if not row["output"]:
            raise Refused(Code.NO_OUTPUT, job=job, status=row["status"])
        folder = to / str(job)
        with progress() as bar:
            task = bar.add_task(f"output of job {job}", total=None)
            got = download(session.http, row["output"], folder,
                           lambda done, total: bar.update(task, completed=done, total=total or None))  # fmt: skip
        files = sorted(str(folder / path.relative_to(folder.resolve())) for path in got.files)
        if json:
            as_json({"job": job, "directory": str(folder), "files": files, "skipped": got.skipped})
        for name in () if json else files:
            out(clean(name))
        for name in () if json else got.skipped:
            note(f"{job}: {name} is neither a file nor a directory and was left out")

    told_each(numbers(ids), each, json)
