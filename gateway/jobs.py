"""Jobs as their owners see them: lists, one job, its history and output, and what may be done to it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse

from domain.errors import Code, Refused
from domain.job import DeleteJob, JobCommand, KillJob, RescheduleJob
from domain.sandbox import parse_pfn
from gateway.errors import LATER, explained
from gateway.fields import After, Filter, InPath, Jobs, Page, Reason
from gateway.keys import Key, Keyed
from gateway.objects import LIFETIME
from gateway.ports import Answer, Outside, Principal, Row, World
from gateway.rights import User, only
from gateway.stories import description, story, told, visible
from projections import jobs

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
AT_ONCE = 2000  # commands in one question
GROUPINGS = {"status": "status", "owner": "owner_name", "group": "owner_group", "site": "site", "minor": "minor_status"}
Make = Callable[[int], JobCommand]
Json = dict[str, Any]


@router.get("")
async def listed(
    who: User, outside: Outside, status: Filter = "", owner: Filter = "", group: Filter = "", site: Filter = "",
    name: Filter = "", minor: Filter = "", job_type: Filter = "", pilot: Filter = "", limit: Page = 100,
    after: After = 0,
) -> Json:  # fmt: skip
    """Jobs, newest first. The next page begins `after` the last job of this one (`next`, null at the end)."""
    wanted = {
        "status": status, "owner_name": owner, "owner_group": group, "site": site, "name": name,
        "minor_status": minor, "job_type": job_type, "pilot": pilot,
    }  # fmt: skip
    if owner == "me":
        wanted |= {"owner_name": "", "owner": who.subject}
    rows = await outside.read(_restricted(who, jobs.of_vo(who.vo, after=after, limit=limit, **wanted)))
    return {"jobs": rows, "next": rows[-1]["job"] if len(rows) == limit else None}


@router.get("/summary")
async def summary(who: User, outside: Outside, by: Annotated[str, Query(max_length=100)] = "status") -> Json:
    """How many jobs there are, by one or several of status, owner, group, site, minor."""
    names = [name for name in by.split(",") if name]
    if not names or not set(names) <= GROUPINGS.keys():
        raise Refused(Code.MALFORMED, problem=f"by: expected some of {', '.join(GROUPINGS)}")
    rows = await outside.read(_restricted(who, jobs.summary(who.vo, *(GROUPINGS[name] for name in names))))
    return {"by": names, "counts": [{n: row[GROUPINGS[n]] for n in names} | {"count": row["count"]} for row in rows]}


def _restricted(who: Principal, query: Any) -> Any:
    """What somebody may read; added to any query of jobs."""
    for column, value in only(who).items():
        query = query.where(jobs.jobs.c[column] == value)
    return query


@router.get("/{job}")
async def one(who: User, outside: Outside, job: InPath) -> Row:
    """One job."""
    return await visible(outside, who, job)


@router.get("/{job}/description")
async def described(who: User, outside: Outside, job: InPath) -> Json:
    """What was submitted, with placeholders filled in."""
    await visible(outside, who, job)
    return await description(outside, job, await told(outside, job))


@router.get("/{job}/history")
async def history(who: User, outside: Outside, job: InPath, include_pilot: bool = False) -> Json:
    """Everything that happened to the job, a sentence each; with what happened to its pilots, if wanted."""
    await visible(outside, who, job)
    return {"job": job, "lines": [line._asdict() for line in await story(outside, who.vo, job, include_pilot)]}


@router.get("/{job}/output", status_code=307)
async def output(who: User, outside: Outside, job: InPath) -> RedirectResponse:
    """Where the job's output sandbox can be fetched from for a few minutes, without a token."""
    row = await visible(outside, who, job)
    if not row["output"]:
        raise Refused(Code.NO_OUTPUT, job=job, status=row["status"])
    pfn = parse_pfn(row["output"])
    if (pfn.vo, pfn.owner) != (row["vo"], row["owner"]) or not await outside.objects.exists(pfn.key):
        raise Refused(Code.SANDBOX_UNKNOWN, pfn=row["output"])
    url = await outside.objects.download_url(pfn.key, LIFETIME)
    return RedirectResponse(url, headers={"Cache-Control": "no-store"})


@router.post("/kill")
async def kill_some(who: User, key: Keyed, outside: Outside, body: Jobs) -> Json:
    """Kill jobs; each has its own result."""
    return await _some(outside, who, key, "kill", body.jobs, lambda job: KillJob(job, body.reason))


@router.post("/reschedule")
async def reschedule_some(who: User, key: Keyed, outside: Outside, body: Jobs) -> Json:
    """Run jobs again; each has its own result."""
    return await _some(outside, who, key, "reschedule", body.jobs, lambda job: RescheduleJob(job, body.reason))


@router.post("/delete")
async def delete_some(who: User, key: Keyed, outside: Outside, body: Jobs) -> Json:
    """Delete jobs; each has its own result."""
    return await _some(outside, who, key, "delete", body.jobs, DeleteJob)


@router.post("/{job}/kill")
async def kill(who: User, key: Keyed, outside: Outside, job: InPath, body: Reason | None = None) -> Json:
    """End a job that has not ended."""
    reason = body.reason if body else ""
    return await _one(outside, who, key, "kill", KillJob(job, reason))


@router.post("/{job}/reschedule")
async def reschedule(who: User, key: Keyed, outside: Outside, job: InPath, body: Reason | None = None) -> Json:
    """Run a failed or killed job again."""
    reason = body.reason if body else ""
    return await _one(outside, who, key, "reschedule", RescheduleJob(job, reason))


@router.post("/{job}/delete")
async def delete(who: User, key: Keyed, outside: Outside, job: InPath) -> Json:
    """Take a job out of the lists; one that still lives is killed."""
    return await _one(outside, who, key, "delete", DeleteJob(job))


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
