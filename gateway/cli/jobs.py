"""What there is to know of jobs: `job list`, `show`, `why`, `description`, `summary`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from domain import jdl
from domain.description import JobDescription, canonical, spelled
from domain.job import Status
from gateway.cli.ids import Ids, Json, numbers, state, told_each
from gateway.cli.output import Column, Row, as_json, facts, json_lines, out, table
from gateway.cli.reasons import explained
from gateway.cli.session import Session, connected
from gateway.cli.text import ago, to_json

PAGE = 1000
OUTPUTS = "UploadedOutputData"  # the value of a job that names its output files
ROUTE = "/api/v1/jobs"
COLUMNS = (
    Column("job"),
    Column("name", rank=1),
    Column("status"),
    Column("minor_status", "minor status", rank=4),
    Column("site", rank=2),
    Column("owner_name", "owner", rank=3),
    Column("job_type", "type", rank=7),
    Column("attempt", "try", rank=6),
    Column("updated_at", "since", rank=5, show=ago),
)
FACTS = {
    "job": "job", "name": "name", "status": "status", "minor_status": "minor status",
    "application_status": "application", "owner_name": "owner", "owner": "subject", "owner_group": "group",
    "vo": "VO", "site": "site",
    "held": "held by", "held_detail": "held because",
    "ce": "computing element", "pilot": "pilot", "attempt": "attempt", "submitted_at": "submitted",
    "started_at": "started", "ended_at": "ended", "exit_code": "exit code",
    "output_data": "output data",
}  # fmt: skip
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="how many at most")]
Filter = Annotated[str, typer.Option(help="only these")]


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command("list")(list_jobs)
    for command in (show, why, description, summary):
        app.command()(command)


def list_jobs(
    status: Annotated[str, typer.Option(help="only in this state, for example Waiting or failed")] = "",
    owner: Annotated[str, typer.Option(help="only of this user; `me` is you")] = "",
    group: Filter = "",
    site: Filter = "",
    name: Filter = "",
    minor: Annotated[str, typer.Option(help="only of this minor status")] = "",
    job_type: Annotated[str, typer.Option("--type", help="only of this type")] = "",
    pilot: Annotated[str, typer.Option(help="only what this pilot had")] = "",
    job_group: Annotated[str, typer.Option(help="only of this job group")] = "",
    limit: Limit = 100,
    ids: Annotated[bool, typer.Option("--ids", help="print nothing but ids")] = False,
    json: Json = False,
) -> None:
    """List jobs, newest first. With --json: one object a line.

    \b
    Example: spinor job list --status Failed --owner me
             spinor job list --status Waiting --ids -n 10000 | spinor job kill -
    """
    wanted = {"status": state(status, Status), "owner": owner, "group": group, "site": site, "name": name,
              "minor": minor, "job_type": job_type, "pilot": pilot, "job_group": job_group}  # fmt: skip
    with connected() as session:
        rows = pages(session, limit, wanted)
        if json:
            json_lines(rows)
        elif ids:
            for row in rows:
                out(str(row["job"]))
        else:
            table(list(rows), COLUMNS)


def pages(session: Session, limit: int, wanted: Mapping[str, str] | None = None, after: int = 0) -> Iterator[Row]:
    """Jobs, newest first, as many as there are up to `limit`; `after` begins below that number."""
    while limit > 0:
        answer = session.get(ROUTE, limit=min(limit, PAGE), after=after or None, **(wanted or {}))
        yield from answer["jobs"]
        limit -= len(answer["jobs"])
        after = answer["next"]
        if not after:
            return


def show(ids: Ids, json: Json = False) -> None:
    """Show everything known of jobs.

    \b
    Example: spinor job show 42
             spinor job show 42 43 44 --json
    """

    def each(session: Session, job: int) -> None:
        row = session.get(f"{ROUTE}/{job}")
        for attempt in session.get(f"{ROUTE}/{job}/parameters")["attempts"]:
            row |= {"output_data": names} if (names := attempt["values"].get(OUTPUTS)) else {}
        as_json(row) if json else facts(row | {"output_data": ", ".join(row.get("output_data", ()))}, FACTS)

    told_each(numbers(ids), each, json)


def why(ids: Ids, json: Json = False) -> None:
    """Say why jobs are where they are: what they wait for, why they failed, who must act.

    \b
    Example: spinor job why 42
    """

    def each(session: Session, job: int) -> None:
        answer = session.get(f"{ROUTE}/{job}/why")
        as_json(answer) if json else explained(answer)

    told_each(numbers(ids), each, json)


def description(
    job: Annotated[str, typer.Argument(metavar="ID")],
    as_jdl: Annotated[bool, typer.Option("--jdl", help="as JDL instead of JSON")] = False,
    json: Json = False,
) -> None:
    """Print what was submitted, with placeholders filled in, in a form that can be submitted again.

    With --json: everything, defaults too.

    \b
    Example: spinor job description 42 > again.json
    """
    (number,) = _single(job)
    with connected() as session:
        answer = session.get(f"{ROUTE}/{number}/description")
    if json:
        as_json(answer)
        return
    described = _usable(answer)
    written = jdl.write(spelled(described)) if as_jdl and described else to_json(_short(answer, described), indent=2)
    for line in written.splitlines():
        out(line)


def _usable(answer: dict[str, Any]) -> JobDescription | None:
    """The description; None for one that the rules of today do not accept any more."""
    try:
        return JobDescription.model_validate({name: value for name, value in answer.items() if value is not None})
    except ValueError:
        return None


def _short(answer: dict[str, Any], described: JobDescription | None) -> dict[str, Any]:
    """What differs from the defaults."""
    told = canonical(described) if described else answer
    return {name: told[name] for name in answer if name in told}


def _single(job: str) -> Sequence[int]:
    found = numbers([job])
    if len(found) != 1:
        raise typer.BadParameter("expected one job id")
    return found


def summary(
    by: Annotated[str, typer.Option(help="some of status, owner, group, site, minor")] = "status", json: Json = False
) -> None:
    """Count jobs.

    \b
    Example: spinor job summary --by status,site
    """
    with connected() as session:
        answer = session.get(f"{ROUTE}/summary", by=by)
    if json:
        as_json(answer)
    else:
        table(answer["counts"], [Column(name) for name in (*answer["by"], "count")])
