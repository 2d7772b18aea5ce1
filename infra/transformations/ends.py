"""What follows from the end of a job that works on a task."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, cast

from msgspec.structs import replace

from domain.data.names import file_stream
from domain.job import MAX_RESCHEDULES, DeleteJob, Job, ResetJob
from domain.messages import Command, Event, Origin, Recorded
from domain.taxonomy import PASSING
from domain.transformations.definition import Definition
from domain.transformations.names import task_stream
from domain.transformations.packing import Candidate, Group, halves
from domain.transformations.task import EndTask, PackInputs, Task
from domain.transformations.transformation import Status
from domain.values import job_number
from handlers.transformations.ends import policy
from infra.consumers import Batches, origin_of
from infra.decider import Ask, Verdict
from infra.runtime import Runtime
from infra.store import Connection
from infra.transformations.work import LOG, Part, create, definition, locked

TASKS = """select t.vo, t.name, t.task, t.job, j.status as job_status, j.reschedules from transformation_tasks t
    left join jobs j on j.job = t.job where t.job = any($1::bigint[]) and t.status in ('Open', 'Quarantined')"""
RIGHTS = frozenset({"JobAdministrator"})


def ends(runtime: Runtime) -> Batches:
    """The work of the policy."""

    async def work(connection: Connection, events: Sequence[Recorded[Event]]) -> Iterable[str]:
        found = await connection.fetch(TASKS, [job_number(event.stream) for event in events])
        tasks = {row["job"]: row for row in found}
        if not tasks:
            return ()
        rows = await locked(connection, {(row["vo"], row["name"]) for row in tasks.values()})
        asks = []
        for event in events:
            task = tasks.get(job_number(event.stream))
            row = rows.get((task["vo"], task["name"])) if task else None
            if task and row and (end := _end(event, task, definition(row))):
                asks.append(Ask(end, origin_of(policy.name, event)))
        verdicts = await runtime.decider.decide(connection, asks)
        await _follow(runtime, connection, rows, asks, verdicts)
        return (LOG, "jobs", "timers")

    return work


def _end(event: Recorded[Any], task: Any, it: Definition) -> Command | None:
    """What the end of a job means for its task; none while the job itself is going to be tried again."""
    facts = event.event
    end = EndTask(task["vo"], task["name"], task["task"], task["job"], it.retries, it.then)
    match facts:
        case Job.Done():
            return end
        case Job.Settled():
            return replace(end, code=facts.code, detail=facts.detail) if facts.code else end
        case Job.Failed():
            passing = facts.code in PASSING and task["reschedules"] is not None
            if passing and (task["job_status"] != "Failed" or task["reschedules"] < MAX_RESCHEDULES):
                return None
            return replace(end, code=facts.code or "failed", detail=facts.detail)
    return replace(end, code="killed" if isinstance(facts, Job.Killed) else "deleted", final=True)


async def _follow(
    runtime: Runtime, connection: Connection, rows: dict[tuple[str, str], Any], asks: Sequence[Ask],
    verdicts: Sequence[Verdict],
) -> None:  # fmt: skip
    """Another attempt for what is tried again, tasks for the halves of what was split, and the end of what drains."""
    resets: list[Ask] = []
    splits: list[Recorded[Any]] = []
    for ask, verdict in zip(asks, verdicts, strict=True):
        for event in cast(Sequence[Recorded[Any]], verdict.events):
            if isinstance(event.event, Task.Retried):
                job = cast(EndTask, ask.command).job
                resets.append(Ask(ResetJob(job, "retried for its task"), _because_of(event)))
            elif isinstance(event.event, Task.Split):
                splits.append(event)
    await runtime.decider.decide(connection, resets)
    made: dict[tuple[str, str], int] = defaultdict(int)
    for event in splits:
        key = (event.vo, event.event.name)
        part, first = Part(runtime, connection, _because_of(event)), rows[key]["tasks"] + 1 + made[key]
        made[key] += await split(part, rows[key], event.event.task, first, whole=False)
    ended = {(ask.origin.vo, cast(EndTask, ask.command).name): ask.origin for ask in asks}
    for (vo, name), origin in ended.items():
        if rows[vo, name]["status"] == Status.DRAINING:
            await Part(runtime, connection, origin).again("pack", PackInputs(vo, name))


def _because_of(event: Recorded[Event]) -> Origin:
    return replace(origin_of(policy.name, event), rights=RIGHTS)


async def created_of(runtime: Runtime, connection: Connection, vo: str, name: str, task: int) -> Task.Created:
    """How a task was created."""
    stream = task_stream(vo, name, task)
    first = (await runtime.store.load(connection, LOG, [stream]))[stream][0].event
    assert isinstance(first, Task.Created)
    return first


async def split(part: Part, row: Any, task: int, first: int, *, whole: bool) -> int:
    """New tasks for the inputs of one that was split: its halves, or all of it; how many. Its job cannot run again."""
    created = await created_of(part.runtime, part.connection, row["vo"], row["name"], task)
    lfns = [created.lfns] if whole else halves(created.lfns)
    broadcast = definition(row).targets
    target = created.target if broadcast else ""
    groups = [Group(tuple(Candidate(file_stream(lfn), lfn, 0, (), target) for lfn in half), created.target)
              for half in lfns]  # fmt: skip
    made = await create(part, row, groups, first, task)
    await part.decide([DeleteJob(created.job)])
    return len(made)
