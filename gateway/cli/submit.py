"""`job submit` and `job plan`: descriptions become jobs, and everything that is wrong with them is told at once."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from domain.description import JobDescription
from domain.errors import Code, Refused
from domain.limits import Rejected
from domain.submission import Item
from domain.submission import read as understood
from gateway.cli import sources
from gateway.cli.follow import follow_jobs, head
from gateway.cli.ids import SOME_FAILED, Json
from gateway.cli.output import Column, as_json, asked, note, out, table
from gateway.cli.session import Session, connected
from gateway.cli.sources import Described, Problem, Wrong, located
from gateway.cli.text import duration, to_json
from gateway.cli.upload import local_files, uploaded
from gateway.cli.wait import outcome, wait_for

Files = Annotated[list[str], typer.Argument(metavar="FILE", help="JDL, JSON or YAML; - reads stdin")]
Partial = Annotated[bool, typer.Option("--partial", help="submit what is right, even when other jobs are wrong")]
COLUMNS = (Column("file", rank=1), Column("job"), Column("field"), Column("problem", wrap=True, least=30))


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command("submit")(submit)
    app.command("plan")(plan)
    app.command("schema")(schema)


def submit(
    files: Files,
    wait: Annotated[bool, typer.Option("--wait", help="until every job has ended")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="print what happens until every job has ended")] = False,
    partial: Partial = False,
    json: Json = False,
) -> None:
    """Submit jobs; their ids come out, one a line.

    Files that an InputSandbox names (beside the description, or here) are uploaded. A description with Parameters
    stays one submission. When anything is wrong, nothing is submitted, unless --partial is given.

    \b
    Example: spinor job submit production.jdl --wait
             spinor job submit - < one.json | spinor job wait -
    """
    with connected() as session:
        found, problems = _read(files)
        if problems and not (partial and found):
            reject(problems)
        try:
            found = uploaded(session, found, quiet=json)
        except Wrong as wrong:
            reject(problems + wrong.problems)
        since = head(session) if follow else 0
        answer = _posted(session, found, partial, problems)
        jobs = [each["job"] for each in answer["jobs"] if "job" in each and "error" not in each]
        problems += _problems(found, enumerate(answer["jobs"]))
        _print(answer, jobs, problems, json)
        if follow:
            follow_jobs(session, jobs, since, json)
        if wait or follow:
            outcome(wait_for(session, jobs), json=False)
        if problems:
            raise typer.Exit(SOME_FAILED)


def plan(files: Files, json: Json = False) -> None:
    """Check descriptions without submitting them: what is wrong, or what would become of them.

    Where they could run now, what keeps them from the pilots that were seen, how many jobs come first, and how long
    jobs like them waited. Without a gateway only the descriptions are checked.

    \b
    Example: spinor job plan production.jdl
    """
    found, problems = _read(files)
    rows = []
    for described in found:
        try:
            paths = local_files(described)
        except Wrong as wrong:
            problems += wrong.problems
            continue
        jobs = understood(described.attributes).jobs
        problems += _refused(described, jobs)
        good = [job for job in jobs if isinstance(job, Item)]
        name = " … ".join(dict.fromkeys([good[0].name, good[-1].name])) if good else ""
        rows.append({"file": described.file, "jobs": len(good), "name": name, "upload": [path.name for path in paths]})
    if problems:
        reject(problems)
    planned = _planned(found)
    if json:
        as_json({"files": rows} | (planned or {"kinds": None}))
        return
    table(rows, [Column(name) for name in ("file", "jobs", "name", "upload")])
    for kind in planned["kinds"] if planned else ():
        _foresee(kind)


def _planned(found: list[Described]) -> dict[str, Any] | None:
    """What the gateway foresees; None without one. Raises Refused for what only the gateway knows to be wrong."""
    try:
        with connected() as session:
            answer: dict[str, Any] = session.post("/api/v1/jobs/plan", {"jobs": [each.attributes for each in found]})
    except Refused as refused:
        if refused.code in (Code.NO_INSTALLATION, Code.GATEWAY_AWAY):
            note("no gateway was asked: only the descriptions were checked")
            return None
        raise
    if answer["errors"]:
        reject(_problems(found, ((each["index"], each) for each in answer["errors"])))
    return answer


def _foresee(kind: dict[str, Any]) -> None:
    """What would become of jobs with the same needs, in a few lines."""
    out("")
    out(f"{kind['jobs']} jobs of priority {kind['priority']}", style="bold")
    if kind["fitting"]:
        out(f"  could run now: {kind['fitting']} of {kind['pilots']} pilots fit, at {', '.join(kind['sites'])}")
    elif kind["pilots"]:
        out(f"  could not run now: none of {kind['pilots']} pilots fits")
    else:
        out("  could not run now: no pilot offered anything in the last hour")
    for reason in kind["reasons"][:5]:
        out(f"  kept away: {reason['what']}")
    if kind["ahead"]:
        out(f"  served before: {kind['ahead']} jobs")
    if waited := kind["waited"]:
        half, most = duration(waited["half"]), duration(waited["most"])
        out(f"  waited: of {waited['jobs']} jobs with {waited['like']} half up to {half}, most up to {most}")


def schema(json: Json = False) -> None:
    """Print all fields of a job description, their types and limits, as JSON Schema.

    \b
    Example: spinor job schema > job.schema.json
    """
    for line in to_json(JobDescription.model_json_schema(), indent=None if json else 2).splitlines():
        out(line)


def reject(problems: Sequence[Problem]) -> None:
    """Show what is wrong as a table, and end.

    Raises:
        Refused: DESCRIPTION with the problems, which --json shows.
    """
    _show(problems)
    first = problems[0]
    raise Refused(
        Code.DESCRIPTIONS, count=len(problems), files=" ".join(dict.fromkeys(each.file for each in problems)),
        errors=[each._asdict() for each in problems], field=first.field, problem=first.problem,
    )  # fmt: skip


def _read(files: Sequence[str]) -> tuple[list[Described], list[Problem]]:
    found: list[Described] = []
    problems: list[Problem] = []
    for file, times in Counter(files).items():
        if times > 1:
            note(f"{file} is named {times} times and submitted once")
        try:
            found += sources.read(file)
        except Wrong as wrong:
            problems += wrong.problems
    return found, problems


def _posted(session: Session, found: list[Described], partial: bool, problems: list[Problem]) -> dict[str, Any]:
    try:
        body = {"jobs": [each.attributes for each in found]}
        answer: dict[str, Any] = session.post("/api/v1/jobs", body, partial=partial)
        return answer
    except Refused as refused:
        rejected = refused.parameters.get("jobs")
        if not isinstance(rejected, list):
            raise
        reject(problems + _problems(found, ((each["index"], each) for each in rejected)))
        raise


def _problems(found: list[Described], answers: Any) -> list[Problem]:
    """The errors of an answer, at the places where the user finds them: (index, {"errors" or "error"})."""
    problems = []
    for index, answer in answers:
        single = [answer["error"]] if "error" in answer else []
        for error in answer.get("errors") or single:
            problem = error.get("problem") or error.get("detail") or error.get("code")
            problems.append(Problem(*located(found, index), error.get("field", ""), problem))
    return problems


def _refused(described: Described, jobs: Sequence[Item | Rejected]) -> list[Problem]:
    return [
        Problem(described.file, described.first + number, str(each.parameters.get("field", "")),
                str(each.parameters.get("problem", each.what)))
        for number, job in enumerate(jobs) if isinstance(job, Rejected) for each in job.refusals
    ]  # fmt: skip


def _show(problems: Sequence[Problem]) -> None:
    if not asked.json:
        table([each._asdict() for each in problems], COLUMNS, sys.stderr)


def _print(answer: Mapping[str, Any], jobs: Sequence[int], problems: Sequence[Problem], json: bool) -> None:
    if json:
        as_json(answer)
        return
    for job in jobs:
        out(str(job))
    if problems:
        _show(problems)
    many = f"{len(jobs)} jobs" if len(jobs) != 1 else "1 job"
    wrong = f", {len(problems)} to correct" if problems else ""
    note(f"{many} submitted{wrong} (submission {answer.get('submission')})")
