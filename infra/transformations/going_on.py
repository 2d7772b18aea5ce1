"""What follows from the events of transformations: jobs of new tasks, and timers for what is done in parts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from domain.errors import Refused
from domain.messages import Event, Recorded
from domain.transformations.task import EndTask, Task
from handlers.transformations.going_on import parts, policy
from infra.consumers import Batches, origin_of
from infra.decider import Ask
from infra.runtime import Runtime
from infra.store import Connection
from infra.timers import set_timers
from infra.transformations.submitting import commands
from infra.transformations.work import LOG, locked

# Tasks that were cancelled meanwhile get no job; whoever cancels one waits until its job is there to be killed.
WANTED = """select t.job from transformation_tasks t join unnest($1::text[], $2::text[], $3::int[])
    u (vo, name, task) on (t.vo, t.name, t.task) = (u.vo, u.name, u.task) where t.status = 'Open'
    order by t.vo, t.name, t.task for share of t"""


def going_on(runtime: Runtime) -> Batches:
    """The work of the policy."""

    async def work(connection: Connection, events: Sequence[Recorded[Event]]) -> Iterable[str]:
        laters = [(event, later) for event in events for later in parts(event)]
        await set_timers(connection, laters, runtime.store)
        created: list[Recorded[Any]] = [event for event in events if isinstance(event.event, Task.Created)]
        if created:
            await _submit(runtime, connection, created)
        return [*(["timers"] if laters else []), *(["jobs", LOG] if created else [])]

    return work


async def _submit(runtime: Runtime, connection: Connection, created: Sequence[Recorded[Task.Created]]) -> None:
    by_name: dict[tuple[str, str], list[Recorded[Task.Created]]] = defaultdict(list)
    for event in created:
        by_name[event.vo, event.event.name].append(event)
    asks: list[tuple[int, Ask]] = []
    wrong: list[Ask] = []
    for (vo, name), tasks in sorted(by_name.items()):
        for event, command in zip(tasks, await commands(runtime, connection, vo, tasks), strict=True):
            origin = origin_of(policy.name, event)
            if isinstance(command, Refused):
                task, code = event.event, command.code.slug
                end = EndTask(vo, name, task.task, task.job, 0, code=code, detail=command.what, final=True)
                wrong.append(Ask(end, origin))
            else:
                asks.append((event.event.job, Ask(command, origin)))
    if wrong:
        await locked(connection, by_name)
    columns = [list(column) for column in zip(*((e.vo, e.event.name, e.event.task) for e in created), strict=True)]
    jobs = {row["job"] for row in await connection.fetch(WANTED, *columns)}
    await runtime.decider.decide(connection, [ask for job, ask in asks if job in jobs])
    await runtime.decider.decide(connection, wrong)
