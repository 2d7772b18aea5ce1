"""One job as several routes need it: its row, what was submitted, its history, who was involved."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from pydantic import ValidationError

from domain.description import DEFAULTS
from domain.errors import Code, Refused
from domain.job import Job
from domain.messages import Event, Recorded
from domain.parametric import fill
from domain.sandbox import parse_pfn
from domain.submission import render
from domain.values import job_stream, pilot_stream
from gateway.objects import LIFETIME
from gateway.ports import Principal, Row, World
from gateway.rights import sees
from projections import assignments, jobs
from projections.history import Line, around, lines


async def visible(world: World, who: Principal, job: int) -> Row:
    """The job's row; raises Refused(JOB_UNKNOWN) or Refused(JOB_NOT_YOURS)."""
    rows = await world.read(jobs.one(who.vo, job))
    if not rows:
        raise Refused(Code.JOB_UNKNOWN, job=job)
    if not sees(who, rows[0]["owner"], rows[0]["owner_group"]):
        raise Refused(Code.JOB_NOT_YOURS, job=job)
    return rows[0]


async def told(world: World, job: int) -> list[Recorded[Event]]:
    """A job's own history; raises Refused(JOB_UNKNOWN)."""
    events = await world.history("jobs", job_stream(job))
    if not events:
        raise Refused(Code.JOB_UNKNOWN, job=job)
    return events


async def description(world: World, job: int, events: Sequence[Recorded[Event]]) -> dict[str, Any]:
    """What the job's owner described, with every placeholder filled in and every default written out."""
    facts = submitted(events)
    body = await world.body(facts.description)
    try:
        return render(body, facts.parameters, facts.number, job).model_dump(mode="json")
    except ValidationError:  # a job number can make a text longer than a description may hold it: it runs as it is
        return {**DEFAULTS, **fill(msgspec.json.decode(body), facts.parameters, facts.number, job)}


async def inputs(world: World, events: Sequence[Recorded[Event]]) -> list[dict[str, Any]]:
    """The job's input sandboxes, and where each can be fetched from for a few minutes."""
    names = [parse_pfn(name) for name in submitted(events).sandboxes]
    return [
        {"pfn": str(pfn), "url": await world.objects.download_url(pfn.key, LIFETIME), "sha256": pfn.checksum,
         "size": None}
        for pfn in names
    ]  # fmt: skip


def submitted(events: Sequence[Recorded[Event]]) -> Job.Submitted:
    """The first fact of every job."""
    first = events[0].event
    if not isinstance(first, Job.Submitted):
        raise Refused(Code.JOB_UNKNOWN, job="?")
    return first


async def story(
    world: World, vo: str, job: int, include_pilot: bool = False, upto: datetime | None = None
) -> list[Line]:
    """The job's history in sentences; with the histories of its pilots, for the time they had it, if wanted.

    `upto` cuts it at a moment; a job that was not submitted by then has none.
    """
    events = await world.history("jobs", job_stream(job), upto)
    if not events:
        return []
    facts = submitted(events)
    every = list(events)
    if include_pilot:
        every += await _of_pilots(world, vo, job, events, upto)
    return lines(every, {facts.owner: facts.owner_name})


async def _of_pilots(
    world: World, vo: str, job: int, events: Sequence[Recorded[Event]], upto: datetime | None
) -> list[Recorded[Event]]:
    given = await world.read(assignments.of_job(vo, job))
    found: dict[Any, Recorded[Event]] = {}
    for number, row in enumerate(given):
        last = given[number + 1]["matched_at"] if number + 1 < len(given) else _end(events)
        history = await world.history("pilots", pilot_stream(vo, row["pilot"]), upto)
        found |= {event.id: event for event in around(history, row["matched_at"], last)}
    return list(found.values())


def _end(events: Sequence[Recorded[Event]]) -> Any:
    """When the job's last attempt was over; None while it is not. What came of a lost pilot is part of it."""
    last = events[-1]
    return last.at if isinstance(last.event, Job.Done | Job.Failed | Job.Killed | Job.Deleted) else None
