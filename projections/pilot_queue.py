"""What waits for pilots: the task queues, and in each the jobs, best first."""

from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, Select, Table, Text, func, select

from domain.job import Job
from domain.matching import Queue
from domain.messages import Recorded
from domain.requirements import Requirements
from projections.jobs import metadata, of_stream
from projections.projection import Projection, Values

pilot_queue = Table(
    "pilot_queue",
    metadata,
    Column("job", BigInteger, primary_key=True),
    Column("queue", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("queued_at", DateTime(timezone=True), nullable=False),
)
Index("pilot_queue_best", pilot_queue.c.queue, pilot_queue.c.priority.desc(), pilot_queue.c.job)

task_queues = Table(
    "task_queues",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("vo", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("owner_group", Text, nullable=False),
    Column("requirements", Text, nullable=False),
)

waiting = Projection(pilot_queue, log="jobs", key=of_stream, inline=True)
queues = Projection(task_queues, log="jobs", key=lambda event: (event.event.queue,), inline=True)


@queues.creates
def described(event: Recorded[Job.Queued]) -> Values:
    facts = event.event
    wanted = msgspec.json.encode(facts.requirements).decode()
    return {"vo": event.vo, "owner": facts.owner, "owner_group": facts.group, "requirements": wanted}


@waiting.creates
def queued(event: Recorded[Job.Queued]) -> Values:
    facts = event.event
    return {"queue": facts.queue, "priority": facts.priority, "attempt": facts.attempt, "queued_at": event.at}


@waiting
def taken(event: Recorded[Job.Matched | Job.Held | Job.Killed | Job.Failed | Job.Rescheduled | Job.Deleted]) -> None:
    return None


# Queries


def all_queues() -> Select[Any]:
    """The task queues in which something waits, with how much and the best priority."""
    columns = pilot_queue.c
    counts = (
        select(columns.queue, func.count().label("waiting"), func.max(columns.priority).label("priority"),
               func.min(columns.queued_at).label("since"))
        .group_by(columns.queue)
        .subquery()
    )  # fmt: skip
    found = select(task_queues, counts.c.waiting, counts.c.priority, counts.c.since)
    return found.join(counts, counts.c.queue == task_queues.c.queue)


def of_vo(vo: str) -> Select[Any]:
    """The task queues of one VO in which something waits."""
    return all_queues().where(task_queues.c.vo == vo)


def one(vo: str, queue: str) -> Select[Any]:
    """One task queue, also when nothing waits in it."""
    return select(task_queues).where(task_queues.c.vo == vo, task_queues.c.queue == queue)


def head(queue: str) -> Select[Any]:
    """How much waits in a queue, since when, and the best priority."""
    columns = pilot_queue.c
    figures = (func.count().label("waiting"), func.max(columns.priority).label("priority"),
               func.min(columns.queued_at).label("since"))  # fmt: skip
    query: Select[Any] = select(*figures).where(columns.queue == queue)  # type: ignore[assignment]
    return query


def queue(row: Any) -> Queue:
    """The queue in a row of `all_queues`."""
    wanted = msgspec.json.decode(row["requirements"], type=Requirements)
    return Queue(row["queue"], row["vo"], row["owner"], row["owner_group"], wanted, row["priority"])
