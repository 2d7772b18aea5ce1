"""What is done with a transformation: start, pause, drain, extend, complete, clean, retry; and inputs by name."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from domain.transformations.inputs import AddInputs
from domain.transformations.task import AuditTransformation, RetryTasks
from domain.transformations.transformation import (
    CleanTransformation,
    CompleteTransformation,
    DrainTransformation,
    ExtendTransformation,
    PauseTransformation,
    StartTransformation,
    TransformationCommand,
)
from gateway.data.fields import Some, fast, told
from gateway.fields import Body
from gateway.keys import Key, Keyed
from gateway.ports import Outside, Principal, World
from gateway.rights import User
from gateway.transformations.fields import NameInPath, Tasks, asked, manages, visible

router = APIRouter(prefix="/api/v1/transformations", tags=["transformations"])


class Extension(Body):
    """How many tasks there may be; 0: as many as the inputs make."""

    max_tasks: Annotated[int, Field(ge=0, le=10_000_000)] = 0


class Again(Body):
    """Tasks to try again; all that are quarantined when none are named."""

    tasks: Tasks = ()


async def _acted(world: World, who: Principal, key: Key, verb: str, command: TransformationCommand) -> Response:
    await asked(world, who, key, verb, command)
    row = await visible(world, who, command.name)
    return fast({"name": row["name"], "status": row["status"]})


@router.post("/{name}/start")
async def start(who: User, key: Keyed, outside: Outside, name: NameInPath) -> Response:
    """Take inputs and make tasks, from now on."""
    return await _acted(outside, who, key, "start", StartTransformation(who.vo, name))


@router.post("/{name}/pause")
async def pause(who: User, key: Keyed, outside: Outside, name: NameInPath) -> Response:
    """Make no tasks for now; inputs are attached all the same, what runs goes on."""
    return await _acted(outside, who, key, "pause", PauseTransformation(who.vo, name))


@router.post("/{name}/drain")
async def drain(who: User, key: Keyed, outside: Outside, name: NameInPath) -> Response:
    """Take no more inputs, make tasks of what is left, complete when all have ended."""
    return await _acted(outside, who, key, "drain", DrainTransformation(who.vo, name))


@router.post("/{name}/extend")
async def extend(who: User, key: Keyed, outside: Outside, name: NameInPath, body: Extension) -> Response:
    """Allow more tasks, and look for inputs again."""
    return await _acted(outside, who, key, "extend", ExtendTransformation(who.vo, name, body.max_tasks))


@router.post("/{name}/complete")
async def complete(who: User, key: Keyed, outside: Outside, name: NameInPath) -> Response:
    """Make no more tasks; those that run are counted to their end."""
    return await _acted(outside, who, key, "complete", CompleteTransformation(who.vo, name))


@router.post("/{name}/clean")
async def clean(who: User, key: Keyed, outside: Outside, name: NameInPath) -> Response:
    """Kill what runs and be done with it for ever. Files stay: spinor data rm."""
    return await _acted(outside, who, key, "clean", CleanTransformation(who.vo, name))


@router.post("/{name}/inputs")
async def add(who: User, key: Keyed, outside: Outside, name: NameInPath, body: Some) -> Response:
    """Attach files by name; the same again is no news. Each has its own result."""
    command = AddInputs(who.vo, name, who.subject, who.group, tuple(body.lfns))
    answer = await asked(outside, who, key, "inputs", command)
    return fast(told(answer, body.lfns) | {"attached": answer.told["attached"]})


@router.post("/{name}/retry")
async def retry(who: User, key: Keyed, outside: Outside, name: NameInPath, body: Again) -> Response:
    """New tasks for the inputs of quarantined ones, at most 500; `more` says whether some are left."""
    await visible(outside, who, name)
    command = RetryTasks(who.vo, name, who.subject, manages(who), body.tasks)
    return fast(dict((await asked(outside, who, key, "retry", command)).told))


@router.post("/{name}/audit")
async def audit(who: User, key: Keyed, outside: Outside, name: NameInPath) -> Response:
    """Prove from the log that every input is claimed once or not at all."""
    await visible(outside, who, name)
    return fast(dict((await asked(outside, who, key, "audit", AuditTransformation(who.vo, name))).told))
