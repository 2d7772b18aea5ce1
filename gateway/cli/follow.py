"""`log tail`: the events of the VO as they happen; and what happens to some jobs until they have ended."""

import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

import typer

from domain.errors import Code, Refused
from gateway.cli.ids import Json
from gateway.cli.output import as_json, out
from gateway.cli.session import PAUSES, Session, connected
from gateway.cli.sse import Message, messages
from gateway.cli.text import moment

ROUTE = "/api/v1/events"
ENDS = frozenset({"job.done", "job.failed", "job.settled", "job.killed", "job.deleted"})
QUIET = 3.0  # seconds without a word after which the past is over, when its last event is not for our eyes
PULSE = 60.0  # seconds without even a sign of life after which a stream is dead
MOST_PAST = 500


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command()(tail)
    app.callback()(lambda: None)  # keeps `tail` a command of its own, although it is the only one


def tail(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until Ctrl-C")] = False,
    topic: Annotated[str, typer.Option(metavar="PATTERN", help="only topics like job.* or job.failed")] = "*",
    number: Annotated[int, typer.Option("-n", min=0, max=MOST_PAST, help="past events to begin with")] = 20,
    json: Json = False,
) -> None:
    """Print the newest events of the VO's jobs, as far as you may see them. With --json: one object a line.

    \b
    Example: spinor log tail --follow --topic "job.*"
    """
    with connected() as session:
        found = unending(session, 0, number) if follow else past(session, number)
        for message in found:
            if fnmatchcase(str(message.data.get("topic", "")), topic):
                tell(message.data, json)


def follow_jobs(session: Session, jobs: Sequence[int], since: int, json: bool) -> None:
    """Print what happens to jobs after the position `since` of the log, until all have ended."""
    living = set(jobs)
    if not living:
        return
    for message in unending(session, since, MOST_PAST):
        job, topic = message.data.get("job"), message.data.get("topic")
        if job not in jobs:
            continue
        tell(message.data, json)
        if topic in ENDS:
            living.discard(job)
        elif topic == "job.rescheduled":
            living.add(job)
        if not living:
            return


def head(session: Session) -> int:
    """The position up to which the log of jobs is filled."""
    logs = session.get("/api/v1/status").get("logs", {})
    return int(logs.get("jobs", {}).get("position") or 0)


def tell(event: dict[str, Any], json: bool) -> None:
    """One event in one line."""
    if json:
        as_json(event)
    else:
        who = "" if event["what"].startswith(f"{event['actor']} ") else f"{event['actor']}: "
        out(f"{moment(str(event['at']))}  {event['job']:>6}  {who}{event['what']} ({event['because']})")


def past(session: Session, number: int) -> Iterator[Message]:
    """The newest events, without waiting for more."""
    last = head(session)
    for message in messages(session.lines(ROUTE, {}, QUIET, end_when_quiet=True, backlog=number)) if number else ():
        yield message
        if message.id.isdecimal() and int(message.id) >= last:
            return


def unending(session: Session, after: int, backlog: int) -> Iterator[Message]:
    """Events after a position (0: the last few), then all that come; an interrupted stream is taken up again.

    Raises:
        Refused: the gateway stays away, or does not let us listen.
    """
    pauses = iter(PAUSES)
    while True:
        resume = {"Last-Event-ID": str(after)} if after else {}
        try:
            for message in messages(session.lines(ROUTE, resume, PULSE, backlog=backlog)):
                after = int(message.id) if message.id.isdecimal() else after
                pauses = iter(PAUSES)
                yield message
        except Refused as refusal:
            if refusal.code is not Code.GATEWAY_AWAY or (pause := next(pauses, None)) is None:
                raise
            time.sleep(pause)
        else:
            time.sleep(PAUSES[0])  # the gateway ended the stream: it restarts
