"""What the parts of a transformation share: the row that they take turns at, the claims, the services that retry."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.messages import Command, Origin
from domain.transformations.definition import Definition, Plugin
from domain.transformations.inputs import BATCH, AttachInputs
from domain.transformations.packing import Group
from domain.transformations.task import CreateTask
from domain.transformations.transformation import Transformation
from infra.bus.messages import Outcome, Request, now
from infra.decider import Ask, Verdict
from infra.front import Service
from infra.runtime import Runtime
from infra.store import AWAY, Conflict, Connection

LOG = Transformation.LOG
# Whoever attaches inputs to a transformation or claims some takes its row first: they take turns, in one order.
LOCK = """select t.* from transformations t join unnest($1::text[], $2::text[]) u (vo, name)
    on t.vo = u.vo and t.name = u.name order by t.vo, t.name for update of t"""
ATTACH = """insert into transformation_inputs (transformation, file, target, lfn)
    select $1, f, t, l from unnest($2::uuid[], $3::text[]) u (f, l) cross join unnest($4::text[]) t
    on conflict do nothing returning lfn"""
CLAIM = """update transformation_inputs i set task = u.task from unnest($2::uuid[], $3::text[], $4::int[]) u
    (file, target, task) where i.transformation = $1 and i.file = u.file and i.target = u.target
    and i.task is not distinct from nullif($5::int, 0)"""
NUMBERS = "update job_numbers set last = last + $1 returning last - $1 + 1"
AGAIN = """insert into timers (stream_id, name, due, topic, data, vo, cause_id, correlation_id)
    values ($1, $2, now(), $3, $4, $5, $6, $7) on conflict (stream_id, name) do update set due = excluded.due,
    topic = excluded.topic, data = excluded.data, cause_id = excluded.cause_id, correlation_id = excluded.correlation_id
    """
C = TypeVar("C", bound=Command)
Told = dict[str, Any]


class Part(NamedTuple):
    """A part of some work, in one transaction."""

    runtime: Runtime
    connection: Connection
    origin: Origin

    async def decide(self, commands: Sequence[Command], fresh: Iterable[UUID] = ()) -> list[Verdict]:
        """The verdicts, in order; nothing is loaded of streams that are `fresh`."""
        asks = [Ask(command, self.origin) for command in commands]
        return await self.runtime.decider.decide(self.connection, asks, {stream: () for stream in fresh})

    async def again(self, name: str, command: Command) -> None:
        """Go on with this in a transaction of its own, as soon as this one is committed."""
        data, origin = self.runtime.store.codec.encode(command), self.origin
        await self.connection.execute(
            AGAIN, command.stream, name, command.TOPIC, data, origin.vo, origin.cause, origin.correlation
        )


def service(runtime: Runtime, kind: type[C], work: Callable[[Part, C], Awaitable[Told]]) -> Service:
    """A service that does such work in one transaction; a conflict is tried again."""

    async def serve(request: Request) -> Outcome:
        command = runtime.store.codec.command(request.topic, request.data)
        assert isinstance(command, kind)
        if getattr(command, "vo", "") != request.vo:
            raise Refused(Code.FORBIDDEN, right="a token of that VO")
        try:
            told = await _retried(runtime, request, lambda part: work(part, command))
        except AWAY as fault:
            raise Refused(Code.DATABASE_AWAY) from fault
        for name in (LOG, "jobs", "timers"):
            runtime.wakes.wake(name)
        return Outcome(request.id, True, parameters=told)

    return serve


async def _retried(runtime: Runtime, request: Request, work: Callable[[Part], Awaitable[Told]]) -> Told:
    async def part(connection: Connection) -> Told:
        origin = Origin(request.actor, request.vo, now(), request.cause or request.id,
                        request.correlation or request.id, frozenset(request.rights), request.token)  # fmt: skip
        return await work(Part(runtime, connection, origin))

    return await runtime.store.retried(part)


async def locked(connection: Connection, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """The rows of transformations by VO and name, held until the transaction ends."""
    wanted = sorted(set(names))
    rows = await connection.fetch(LOCK, [vo for vo, _ in wanted], [name for _, name in wanted]) if wanted else []
    return {(row["vo"], row["name"]): row for row in rows}


async def held(connection: Connection, vo: str, name: str) -> Any:
    """One of them.

    Raises:
        Refused: TRANSFORMATION_UNKNOWN.
    """
    row = (await locked(connection, [(vo, name)])).get((vo, name))
    if row is None:
        raise Refused(Code.TRANSFORMATION_UNKNOWN, transformation=name)
    return row


def definition(row: Any) -> Definition:
    """What a transformation is to do, as it was extended."""
    found = msgspec.json.decode(row["definition"], type=Definition)
    return replace(found, max_tasks=row["max_tasks"])


async def attach(part: Part, row: Any, files: dict[UUID, str]) -> int:
    """Attach those files that are new to a transformation whose row is held; how many were."""
    it = definition(row)
    targets = list(it.targets) if it.plugin is Plugin.BROADCAST else [""]
    names = sorted(files.items())
    new = await part.connection.fetch(ATTACH, row["stream"], [f for f, _ in names], [n for _, n in names], targets)
    lfns = sorted({each["lfn"] for each in new})
    commands = [
        AttachInputs(row["vo"], row["name"], row["batches"] + number, tuple(lfns[start : start + BATCH]),
                     len(lfns[start : start + BATCH]) * len(targets))
        for number, start in enumerate(range(0, len(lfns), BATCH), 1)
    ]  # fmt: skip
    await part.decide(commands, [command.stream for command in commands])
    return len(lfns)


async def create(part: Part, row: Any, groups: Sequence[Group], first: int, parent: int = 0) -> list[CreateTask]:
    """Claim each group for a new task, beginning with number `first`; the number of its job is part of the claim.

    Raises:
        Conflict: somebody has claimed one of them. Nobody should, with the row held.
    """
    if not groups:
        return []
    jobs = await numbers(part.runtime, len(groups))
    commands = [
        CreateTask(row["vo"], row["name"], first + n, jobs + n, tuple(each.lfn for each in group.inputs), group.target,
                   parent)
        for n, group in enumerate(groups)
    ]  # fmt: skip
    claims = [(each.file, each.target, first + n) for n, group in enumerate(groups) for each in group.inputs]
    if claims:
        columns = [list(column) for column in zip(*sorted(claims), strict=True)]
        done = await part.connection.execute(CLAIM, row["stream"], *columns, parent)
        if int(done.split()[-1]) != len(claims):
            raise Conflict("an input was claimed elsewhere")
    await part.decide(commands, [command.stream for command in commands])
    return commands


async def numbers(runtime: Runtime, count: int) -> int:
    """The first of so many numbers of jobs. Those that are not used in the end are left out for ever."""
    first = int(await runtime.store.aside.fetchval(NUMBERS, count))
    await runtime.store.make_room(first + count)
    return first
