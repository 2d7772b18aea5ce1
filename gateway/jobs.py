"""Jobs as their owners see them: lists, one job, its history, what it wrote and what it left."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse

from domain.errors import Code, Refused
from domain.job import HELD_BY_PILOT, Job
from domain.sandbox import parse_pfn
from domain.values import job_stream
from gateway.fields import After, AsOf, Filter, InPath, Page
from gateway.objects import LIFETIME
from gateway.ports import Outside, Principal, Row
from gateway.rights import User, only
from gateway.stories import description, story, told, visible
from projections import jobs

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
USED = {"stdout_tail": "", "cpu_seconds": None, "wall_seconds": None, "rss_mb": None, "disk_mb": None}
KEPT: dict[type, tuple[str, ...]] = {
    Job.Matched: ("pilot", "site", "ce"),
    Job.Started: ("host", "pid"),
    Job.Done: ("exit_code", "cpu_seconds", "wall_seconds", "max_rss_mb", "output", "missing"),
    Job.Failed: ("code", "exit_code", "cpu_seconds", "wall_seconds", "max_rss_mb", "output"),
}
GROUPINGS = {"status": "status", "owner": "owner_name", "group": "owner_group", "site": "site", "minor": "minor_status"}
Json = dict[str, Any]


@router.get("")
async def listed(
    who: User, outside: Outside, status: Filter = "", owner: Filter = "", group: Filter = "", site: Filter = "",
    name: Filter = "", minor: Filter = "", job_type: Filter = "", pilot: Filter = "", job_group: Filter = "",
    limit: Page = 100, after: After = 0,
) -> Json:  # fmt: skip
    """Jobs, newest first. The next page begins `after` the last job of this one (`next`, null at the end)."""
    wanted = {
        "status": status, "owner_name": owner, "owner_group": group, "site": site, "name": name,
        "minor_status": minor, "job_type": job_type, "pilot": pilot, "job_group": job_group,
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
async def history(
    who: User, outside: Outside, job: InPath, include_pilot: bool = False, as_of: AsOf = None
) -> Json:  # fmt: skip
    """Everything that happened to the job, a sentence each; with what happened to its pilots, if wanted."""
    await visible(outside, who, job)
    told = await story(outside, who.vo, job, include_pilot, as_of)
    return {"job": job, "lines": [line._asdict() for line in told]}


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


@router.get("/{job}/peek")
async def peek(who: User, outside: Outside, job: InPath) -> Json:
    """The end of what a job's program wrote, as its pilot said with its last sign of life (every half minute)."""
    row = await visible(outside, who, job)
    heard = await outside.last_heard([job_stream(job)])
    at, report = heard.get(job_stream(job), (None, {}))
    if row["status"] not in HELD_BY_PILOT:
        raise Refused(Code.NOT_RUNNING, job=job, status=row["status"])
    return {"job": job, "status": row["status"], "heard_at": at} | dict(USED) | report


@router.get("/{job}/parameters")
async def parameters(who: User, outside: Outside, job: InPath) -> Json:
    """What was measured or found out about the job, of each of its attempts; the newest value of each name."""
    await visible(outside, who, job)
    found: dict[int, dict[str, Any]] = {}
    attempt = 1
    for event in await told(outside, job):
        facts: Any = event.event
        attempt = getattr(facts, "attempt", attempt)
        found.setdefault(attempt, {}).update(_told(facts))
    return {"job": job, "attempts": [{"attempt": number, "values": values} for number, values in found.items()]}


def _told(facts: Any) -> dict[str, Any]:
    """The values in an event, by the names they are known by."""
    if isinstance(facts, Job.Described):
        return facts.values
    return {name: value for name in KEPT.get(type(facts), ()) if (value := getattr(facts, name)) not in ("", 0, ())}
