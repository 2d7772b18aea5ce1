"""`job wait`: until jobs have ended, as the event stream tells it; now and then a look at all of them, to be sure."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from itertools import takewhile
from typing import Annotated, Any

import typer
from rich.status import Status as Spinner

from domain.errors import Code, Refused
from domain.job import FINAL, Status
from gateway.cli.follow import ENDS, head
from gateway.cli.follow import ROUTE as EVENTS
from gateway.cli.ids import SOME_FAILED, Ids, Json, numbers
from gateway.cli.jobs import PAGE, ROUTE, pages
from gateway.cli.output import Row, as_json, console, note, out
from gateway.cli.session import Session, connected
from gateway.cli.sse import messages

AGAIN = "job.rescheduled"
FEW = 20  # jobs that are asked for one by one
FIRST_PAUSE, LONGEST_PAUSE = 0.3, 5.0  # seconds between looks when there is no stream
LOOK = 30.0  # seconds between looks at jobs of which the stream tells nothing
QUIET = 2.0  # seconds without a word after which a listener who must be in time looks at the clock


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command()(wait)


def wait(
    ids: Ids, timeout: Annotated[float, typer.Option(min=0, help="seconds; 0 waits for ever")] = 0, json: Json = False
) -> None:
    """Wait until jobs have ended. The ids of those that are Done come out; the others are told on stderr.

    Exits with 0 when all are Done, 3 when some are not, 1 when none is or the time is over.

    \b
    Example: spinor job submit production.jdl | spinor job wait - | spinor job output -
    """
    jobs = numbers(ids)
    with connected() as session:
        outcome(wait_for(session, jobs, timeout), json, ids=True)


def wait_for(session: Session, jobs: Sequence[int], timeout: float = 0) -> list[Row]:
    """The rows of jobs that have ended, in the order of `jobs`.

    Raises:
        Refused: JOB_UNKNOWN, or NOT_ENDED after `timeout` seconds (0: never).
    """
    started, pause, since = time.monotonic(), FIRST_PAUSE, head(session)
    ended: dict[int, Row] = {}
    with Spinner("", console=console(sys.stderr)) as spinner:
        while left := [job for job in jobs if job not in ended]:
            seen = rows_of(session, left)
            ended |= {job: row for job, row in seen.items() if Status(row["status"]) in FINAL}
            spinner.update(f"{len(ended)} of {len(jobs)} ended: {_counted([*ended.values(), *seen.values()])}")
            if len(ended) == len(jobs):
                break
            over = time.monotonic() - started
            if timeout and over >= timeout:
                still = next(job for job in jobs if job not in ended)
                raise Refused(Code.NOT_ENDED, left=len(jobs) - len(ended), jobs=len(jobs), seconds=timeout, job=still)
            rest = timeout - over if timeout else LOOK
            try:
                since, pause = listen(session, jobs, ended, since, min(rest, LOOK), bool(timeout)), FIRST_PAUSE
            except Refused:  # there is no stream for us at the moment; when the gateway is away, the next look says so
                time.sleep(min(pause, rest))
                pause = min(pause * 1.4, LONGEST_PAUSE)
    return [ended[job] for job in jobs]


def listen(
    session: Session, jobs: Sequence[int], ended: Mapping[int, Row], since: int, seconds: float, timely: bool
) -> int:
    """Listen until all jobs are said to have ended, or for so many seconds; the position up to which we heard.

    Raises:
        Refused: the gateway does not let us listen.
    """
    every, end = set(jobs), time.monotonic() + seconds
    living = every - ended.keys()
    silence = min(seconds, QUIET) if timely else seconds
    with closing(session.lines(EVENTS, {"Last-Event-ID": str(since)}, silence, end_when_quiet=True)) as lines:
        for message in messages(takewhile(lambda _: time.monotonic() < end, lines)):
            since = int(message.id) if message.id.isdecimal() else since
            job, topic = message.data.get("job"), message.data.get("topic")
            living = living - {job} if topic in ENDS else living | ({job} & every if topic == AGAIN else set())
            if not living:
                break
    return since


def rows_of(session: Session, jobs: Sequence[int]) -> dict[int, Row]:
    """Rows by job. Many jobs that lie close together are read as pages of the list, others one by one.

    Raises:
        Refused: JOB_UNKNOWN, JOB_NOT_YOURS.
    """
    low, high, found = min(jobs), max(jobs), {}
    wanted = set(jobs)
    if len(wanted) > FEW and high - low < 5 * len(wanted) + PAGE:
        for row in pages(session, high - low + 1, after=high + 1):
            if row["job"] < low:
                break
            if row["job"] in wanted:
                found[row["job"]] = row
    for job in wanted - found.keys():  # the list does not show those that were deleted
        found[job] = session.get(f"{ROUTE}/{job}")
    return found


def outcome(rows: Sequence[Row], json: bool, ids: bool = False) -> None:
    """Say how jobs ended; with `ids` print those that are Done.

    Raises:
        typer.Exit: 1 when none is Done, 3 when some are not.
    """
    bad = [row for row in rows if row["status"] != Status.DONE]
    for row in rows if json else ():
        as_json(row)
    for row in rows if ids and not json else ():
        if row["status"] == Status.DONE:
            out(str(row["job"]))
    for row in bad:
        note(f"{row['job']}: {row['status']}, {row['minor_status']}; next: spinor job why {row['job']}")
    if not json:
        note(f"{len(rows)} ended: {_counted(rows)}")
    if bad:
        raise typer.Exit(1 if len(bad) == len(rows) else SOME_FAILED)


def _counted(rows: Iterable[Mapping[str, Any]]) -> str:
    latest = {row["job"]: row["status"] for row in rows}
    return ", ".join(f"{count} {status}" for status, count in sorted(Counter(latest.values()).items()))
