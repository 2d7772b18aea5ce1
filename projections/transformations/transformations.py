"""The transformations: what each is to do, and how far it is. The counts are kept with the events, never counted."""

from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, DateTime, Index, Integer, Select, Table, Text, Uuid, select, text

from domain.messages import Recorded
from domain.transformations.inputs import Inputs
from domain.transformations.task import Status as TaskStatus
from domain.transformations.task import Task
from domain.transformations.transformation import BECOMES, Status, Transformation
from projections.jobs import metadata
from projections.projection import Add, Key, Projection, Values


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


transformations = Table(
    "transformations",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("stream", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("owner_name", Text, nullable=False),
    Column("owner_group", Text, nullable=False),
    Column("reads_all", Boolean, nullable=False),  # its owner has the care of all data of the VO
    Column("source", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("max_tasks", Integer, nullable=False),
    _count("batches"),  # of inputs, ever attached: the number of the last one
    _count("tasks"),  # ever made: the number of the last one
    _count("attached"),  # inputs
    _count("assigned"),
    _count("processed"),
    _count("quarantined"),
    _count("open_tasks"),
    _count("done_tasks"),
    _count("quarantined_tasks"),
    _count("retries"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("transformations_fed", "vo", postgresql_where=text("source = 'query' and status in ('Active', 'Paused')")),
    postgresql_with={"fillfactor": 50},  # its rows are written often, and in place
)
SHOWN = (
    "name", "status", "owner", "owner_name", "owner_group", "source", "max_tasks", "tasks", "attached", "assigned",
    "processed", "quarantined", "open_tasks", "done_tasks", "quarantined_tasks", "retries", "created_at", "updated_at",
)  # fmt: skip


def of_transformation(event: Recorded[Any]) -> Key:
    """The row of the transformation whose event it is, or that of its task or inputs."""
    return (event.vo, event.event.name)


projection = Projection(transformations, log="transformations", key=of_transformation, inline=True)


@projection.creates
def created(event: Recorded[Transformation.Created]) -> Values:
    facts = event.event
    return {
        "stream": event.stream,
        "status": Status.NEW.value,
        "owner": facts.owner,
        "owner_name": facts.owner_name,
        "owner_group": facts.group,
        "reads_all": facts.reads_all,
        "source": facts.definition.source.value,
        "definition": msgspec.json.encode(facts.definition).decode(),
        "max_tasks": facts.definition.max_tasks,
        "created_at": event.at,
        "updated_at": event.at,
    }


@projection
def moved(
    event: Recorded[
        Transformation.Started
        | Transformation.Paused
        | Transformation.Draining
        | Transformation.Completed
        | Transformation.Cleaning
        | Transformation.Cleaned
    ],
) -> Values:
    return {"status": BECOMES[type(event.event)].value, "updated_at": event.at}


@projection
def extended(event: Recorded[Transformation.Extended]) -> Values:
    return {"max_tasks": event.event.max_tasks, "updated_at": event.at}


@projection
def attached(event: Recorded[Inputs.Attached]) -> Values:
    return {"batches": Add(1), "attached": Add(event.event.inputs), "updated_at": event.at}


@projection
def claimed(event: Recorded[Task.Created]) -> Values:
    more = {"tasks": Add(1), "open_tasks": Add(1), "assigned": Add(len(event.event.lfns))}
    return more | {"updated_at": event.at}


@projection
def retried(event: Recorded[Task.Retried]) -> Values:
    return {"retries": Add(1), "updated_at": event.at}


@projection
def done(event: Recorded[Task.Done]) -> Values:
    news = {"done_tasks": Add(1), "processed": Add(event.event.inputs)}
    return _left(event, event.event.former, event.event.inputs) | news


@projection
def quarantined(event: Recorded[Task.Quarantined]) -> Values:
    news = {"quarantined_tasks": Add(1), "quarantined": Add(event.event.inputs)}
    return _left(event, TaskStatus.OPEN.value, event.event.inputs) | news


@projection
def split(event: Recorded[Task.Split | Task.Cancelled]) -> Values:
    return _left(event, event.event.former, event.event.inputs)


def _left(event: Recorded[Any], former: str, inputs: int) -> Values:
    """A task leaves its former state, and its inputs with it."""
    if former == TaskStatus.QUARANTINED.value:
        counts = {"quarantined_tasks": Add(-1), "quarantined": Add(-inputs)}
    else:
        counts = {"open_tasks": Add(-1), "assigned": Add(-inputs)}
    return counts | {"updated_at": event.at}


# Queries


def of_vo(vo: str, *, status: str = "", owner: str = "", after: str = "", limit: int = 100) -> Select[Any]:
    """The transformations of a VO by name."""
    query = select(transformations).where(transformations.c.vo == vo, transformations.c.name > after)
    for column, value in (("status", status), ("owner", owner)):
        query = query.where(transformations.c[column] == value) if value else query
    return query.order_by(transformations.c.name).limit(limit)


def one(vo: str, name: str) -> Select[Any]:
    """One transformation."""
    return select(transformations).where(transformations.c.vo == vo, transformations.c.name == name)
