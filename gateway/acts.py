"""What may be done to jobs: one, or many at once, each with its own result."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from domain.job import (
    BY_OWNER,
    DeleteJob,
    FreeJob,
    HoldJob,
    JobCommand,
    KillJob,
    PrioritiseJob,
    RescheduleJob,
    ResetJob,
)
from gateway.errors import LATER, explained
from gateway.fields import Body, InPath, Jobs, Text
from gateway.keys import Key, Keyed
from gateway.ports import Answer, Outside, Principal, World
from gateway.rights import User
from projections import jobs

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
AT_ONCE = 2000  # commands in one question
Make = Callable[[int], JobCommand]
Json = dict[str, Any]


class Act(Body):
    """Why, and with what; each act uses some of it. `code` names the reason of a hold, `attempt` the one meant."""

    reason: Text = ""
    code: Annotated[str, Field(max_length=64)] = BY_OWNER
    priority: Annotated[int, Field(ge=0, le=10)] = 1
    attempt: Annotated[int, Field(ge=0, le=10**6)] = 0


class Acts(Act, Jobs):
    """The same for some jobs."""


ACTS: dict[str, Callable[[int, Act], JobCommand]] = {
    "kill": lambda job, act: KillJob(job, act.reason, act.attempt),
    "reschedule": lambda job, act: RescheduleJob(job, act.reason, act.attempt),
    "reset": lambda job, act: ResetJob(job, act.reason),
    "delete": lambda job, act: DeleteJob(job),
    "hold": lambda job, act: HoldJob(job, act.code, act.reason),
    "release": lambda job, act: FreeJob(job, act.code),
    "priority": lambda job, act: PrioritiseJob(job, act.priority),
}
ABOUT = {
    "kill": "End jobs that have not ended.",
    "reschedule": "Run failed, killed or waiting jobs again, as new attempts.",
    "reset": "Run jobs again as if they had never been rescheduled (JobAdministrator).",
    "delete": "Take jobs out of the lists; those that still live are killed.",
    "hold": "Keep jobs from pilots for the reason `code`; administrators have codes of their own.",
    "release": "Take the reason `code` away; a job is queued again when it was the last one.",
    "priority": "Give jobs that no pilot has yet another priority, 0 to 10.",
}


def _routes(verb: str, about: str) -> None:
    async def some(who: User, key: Keyed, outside: Outside, body: Acts) -> Json:
        return await _some(outside, who, key, verb, body.jobs, lambda job: ACTS[verb](job, body))

    async def single(who: User, key: Keyed, outside: Outside, job: InPath, body: Act | None = None) -> Json:
        return await _one(outside, who, key, verb, ACTS[verb](job, body or Act()))

    router.add_api_route(f"/{verb}", some, methods=["POST"], name=f"{verb}_some", summary=f"{about} Each has a result.")
    router.add_api_route(f"/{{job}}/{verb}", single, methods=["POST"], name=verb, summary=about)


for _verb, _about in ABOUT.items():
    _routes(_verb, _about)


async def _one(world: World, who: Principal, key: Key, verb: str, command: JobCommand) -> Json:
    (answer,) = await world.ask(who, [(key.id(who, verb, command.job), command)])
    if answer.refusal:
        raise answer.refusal
    rows = await world.read(jobs.some(who.vo, [command.job]))
    return {"job": command.job, "status": rows[0]["status"] if rows else ""}


async def _some(world: World, who: Principal, key: Key, verb: str, numbers: Sequence[int], make: Make) -> Json:
    """Results in the order of the request; the same job named twice is one command."""
    wanted = list(dict.fromkeys(numbers))
    answers: list[Answer] = []
    for start in range(0, len(wanted), AT_ONCE):
        part = wanted[start : start + AT_ONCE]
        answers += await world.ask(who, [(key.id(who, verb, job), make(job)) for job in part])
    states = {row["job"]: row["status"] for row in await world.read(jobs.some(who.vo, wanted))}
    results = [_result(job, states, answer) for job, answer in zip(wanted, answers, strict=True)]
    return {"jobs": results, "counts": Counter("refused" if "error" in each else "done" for each in results)}


def _result(job: int, states: dict[int, str], answer: Answer) -> Json:
    if answer.refusal is None:
        return {"job": job, "status": states.get(job, "")}
    if answer.refusal.code in LATER:
        raise answer.refusal
    return {"job": job, "error": explained(answer.refusal)}
