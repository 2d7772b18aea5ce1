"""Tasks that are cancelled, and those that somebody tries again: a part in each transaction."""

from typing import Any

from domain.errors import Code, Refused
from domain.job import KillJob
from domain.transformations.task import CancelTask, CancelTasks, ReplaceTask, RetryTasks
from domain.transformations.transformation import PACKING, CleanTransformation, Status
from infra.front import Service
from infra.runtime import Runtime
from infra.transformations.ends import split
from infra.transformations.work import Part, Told, held, service

PART = 500  # tasks of one transaction
TASKS = """select task, job from transformation_tasks where vo = $1 and name = $2 and status = $3
    and (cardinality($4::int[]) = 0 or task = any($4)) order by task limit $5 for update"""


def cancelling(runtime: Runtime) -> Service:
    """`transformation.cancel`: what is open when a transformation is cleaned."""
    return service(runtime, CancelTasks, _cancel)


def retrying(runtime: Runtime) -> Service:
    """`transformation.retry`: what was kept aside."""
    return service(runtime, RetryTasks, _retry)


async def _cancel(part: Part, command: CancelTasks) -> Told:
    row = await held(part.connection, command.vo, command.name)
    if row["status"] != Status.CLEANING:
        return {"tasks": 0}
    tasks = await part.connection.fetch(TASKS, command.vo, command.name, "Open", [], PART)
    await part.decide([CancelTask(command.vo, command.name, each["task"]) for each in tasks])
    await part.decide([KillJob(each["job"], f"transformation {command.name} is cleaned") for each in tasks])
    if len(tasks) == PART:
        await part.again("cancel", command)
    else:
        await part.decide([CleanTransformation(command.vo, command.name, finished=True)])
    return {"tasks": len(tasks)}


async def _retry(part: Part, command: RetryTasks) -> Told:
    row = await held(part.connection, command.vo, command.name)
    if command.owner != row["owner"] and not command.manages:
        raise Refused(Code.FORBIDDEN, right="to be its owner, or ProductionManagement")
    if row["status"] not in PACKING and row["status"] != Status.COMPLETED:
        raise Refused(Code.TRANSFORMATION_STATE, transformation=command.name, status=row["status"], verb="retry",
                      possible="whatever start makes of it")  # fmt: skip
    tasks = await part.connection.fetch(TASKS, command.vo, command.name, "Quarantined", list(command.tasks), PART)
    made = 0
    for each in tasks:
        made += await _replaced(part, row, each, row["tasks"] + 1 + made)
    return {"retried": made, "more": len(tasks) == PART}


async def _replaced(part: Part, row: Any, task: Any, first: int) -> int:
    (verdict,) = await part.decide([ReplaceTask(row["vo"], row["name"], task["task"])])
    return 0 if verdict.refusal else await split(part, row, task["task"], first, whole=True)
