"""Jobs of tasks: the template with what a task brings, submitted under the number that its claim names."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from domain.errors import Refused
from domain.limits import Limits, Rejected
from domain.messages import Command, Recorded
from domain.submission import Item
from domain.transformations.definition import Definition
from domain.transformations.names import transformation_stream
from domain.transformations.task import Task
from domain.transformations.transformation import Transformation
from gateway.intake import limits_of, numbered, understood
from gateway.ports import Principal
from infra.runtime import Runtime
from infra.store import Connection


class Author(NamedTuple):
    """Whose jobs they are, and what they are made of."""

    who: Principal
    definition: Definition
    template: Mapping[str, Any]


async def author(runtime: Runtime, connection: Connection, vo: str, name: str) -> Author:
    """Of one transformation, as its stream says."""
    stream = transformation_stream(vo, name)
    events = (await runtime.store.load(connection, Transformation.LOG, [stream]))[stream]
    await runtime.store.prepare(connection, [each.event for each in events])
    created = runtime.store.codec.unseal(events[0].event)
    assert isinstance(created, Transformation.Created)
    template = msgspec.json.decode(await runtime.store.body(created.definition.template))
    who = Principal("user", created.owner, vo, created.owner_name, created.group)
    return Author(who, created.definition, template)


def described(task: Task.Created, it: Author) -> dict[str, Any]:
    """The description of a task's job: `{task}`, `{transformation}`, `{target}`, `{job}` in any text are filled in."""
    words = {"{task}": f"{task.task:08d}", "{transformation}": task.name, "{target}": task.target,
             "{job}": str(task.job)}  # fmt: skip
    fields: dict[str, Any] = _filled(it.template, words)
    fields.setdefault("name", f"{task.name}_{task.task:08d}"[:128])
    fields.setdefault("priority", it.definition.priority)
    fields |= {"job_group": task.name, "environment": _environment(task, fields.get("environment") or {})}
    if task.lfns:
        fields["input_data"] = [f"LFN:{lfn}" for lfn in task.lfns]
    if task.target:
        fields.setdefault("sites", [task.target])
    return fields


def _environment(task: Task.Created, given: Mapping[str, Any]) -> dict[str, Any]:
    return {**given, "SPINOR_TRANSFORMATION": task.name, "SPINOR_TASK": str(task.task)}


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for word, said in words.items():
            value = value.replace(word, said)
        return value
    if isinstance(value, dict):
        return {name: _filled(each, words) for name, each in value.items()}
    return [_filled(each, words) for each in value] if isinstance(value, list) else value


async def commands(
    runtime: Runtime, connection: Connection, vo: str, tasks: Sequence[Recorded[Task.Created]]
) -> list[Command | Refused]:  # fmt: skip
    """A submission for each task of one transformation, or why its description is not accepted."""
    it = await author(runtime, connection, vo, tasks[0].event.name)
    limits = limits_of(runtime.configuration.current, vo, Limits(max_jobs=len(tasks)))
    limits = msgspec.structs.replace(limits, max_input_data=max(limits.max_input_data, 1000))
    jobs = [described(each.event, it) for each in tasks]
    accepted = await asyncio.to_thread(understood, jobs, limits, it.who)
    bodies = {digest: body.decode() for digest, body in accepted.bodies.items()}
    await runtime.store.keep_bodies(bodies)
    return [_command(each.event.job, place, it.who) for each, place in zip(tasks, accepted.places, strict=True)]


def _command(job: int, item: Item | Rejected, who: Principal) -> Command | Refused:
    return item.refusals[0] if isinstance(item, Rejected) else numbered(job, who, item)
