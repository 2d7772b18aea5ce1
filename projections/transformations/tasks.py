"""The tasks of transformations, each with its job; and the inputs that they have claimed."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    Uuid,
    case,
    select,
    tuple_,
)

from domain.messages import Recorded
from domain.transformations.task import ENDS, Status, Task
from projections.jobs import metadata
from projections.projection import Key, Projection, Values

tasks = Table(
    "transformation_tasks",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("task", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("job", BigInteger, nullable=False),
    Column("inputs", Integer, nullable=False),
    Column("target", Text),
    Column("parent", Integer),
    Column("failures", Integer, nullable=False),
    Column("code", Text),
    Column("detail", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("transformation_tasks_by_job", "job"),
    Index("transformation_tasks_by_status", "vo", "name", "status", "task"),
    postgresql_with={"fillfactor": 80},
)
# A table of the append transaction, see infra/schema/0140_transformations.sql: it is no view, for its key decides.
inputs = Table(
    "transformation_inputs",
    MetaData(),
    Column("transformation", Uuid, primary_key=True),
    Column("file", Uuid, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("lfn", Text, nullable=False),
    Column("task", Integer),
)


def of_task(event: Recorded[Any]) -> Key:
    """The row of the task whose event it is."""
    return (event.vo, event.event.name, event.event.task)


projection = Projection(tasks, log="transformations", key=of_task, inline=True)


@projection.creates
def created(event: Recorded[Task.Created]) -> Values:
    facts = event.event
    return {
        "status": Status.OPEN.value,
        "job": facts.job,
        "inputs": len(facts.lfns),
        "target": facts.target or None,
        "parent": facts.parent or None,
        "failures": 0,
        "created_at": event.at,
        "updated_at": event.at,
    }


@projection
def retried(event: Recorded[Task.Retried]) -> Values:
    facts = event.event
    return {"failures": facts.failures, "code": facts.code, "detail": facts.detail, "updated_at": event.at}


@projection
def ended(event: Recorded[Task.Done | Task.Quarantined | Task.Split | Task.Cancelled]) -> Values:
    facts = event.event
    why = {"code": facts.code, "detail": facts.detail} if isinstance(facts, Task.Quarantined | Task.Split) else {}
    return {"status": ENDS[type(facts)].value, "updated_at": event.at} | why


# Queries

INPUT_STATES = {
    Status.OPEN: "Assigned", Status.DONE: "Processed", Status.QUARANTINED: "Quarantined", Status.CANCELLED: "Cancelled",
    Status.SPLIT: "Assigned",
}  # fmt: skip
UNUSED = "Unused"


def of_transformation(vo: str, name: str, *, status: str = "", after: int = 0, limit: int = 100) -> Select[Any]:
    """The tasks of a transformation by number."""
    query = select(tasks).where(tasks.c.vo == vo, tasks.c.name == name, tasks.c.task > after)
    query = query.where(tasks.c.status == status) if status else query
    return query.order_by(tasks.c.task).limit(limit)


def input_states(vo: str, name: str, transformation: UUID) -> Select[Any]:
    """The inputs of a transformation, each with what became of it."""
    whens = [(tasks.c.status == status.value, said) for status, said in INPUT_STATES.items()]
    state = case((inputs.c.task.is_(None), UNUSED), *whens, else_="Assigned").label("state")
    joined = (tasks.c.vo == vo) & (tasks.c.name == name) & (tasks.c.task == inputs.c.task)
    query = select(inputs.c.file, inputs.c.lfn, inputs.c.target, inputs.c.task, state, tasks.c.job, tasks.c.code)
    return query.outerjoin_from(inputs, tasks, joined).where(inputs.c.transformation == transformation)


def page_of_inputs(
    vo: str, name: str, transformation: UUID, *, state: str = "", file: UUID | None = None,
    after: tuple[UUID, str] | None = None, limit: int = 1000,
) -> Select[Any]:  # fmt: skip
    """A page of them in the order of their files and targets; or those of one file."""
    query = input_states(vo, name, transformation)
    wanted = [status.value for status, said in INPUT_STATES.items() if said == state]
    if state == UNUSED:
        query = query.where(inputs.c.task.is_(None))
    elif state:
        query = query.where(tasks.c.status.in_(wanted))
    if file is not None:
        query = query.where(inputs.c.file == file)
    query = query.where(tuple_(inputs.c.file, inputs.c.target) > after) if after else query
    return query.order_by(inputs.c.file, inputs.c.target).limit(limit)
