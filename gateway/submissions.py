"""POST /jobs: one request becomes jobs, all or none, once however often it is sent."""

import asyncio
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Annotated, Any, NamedTuple
from uuid import UUID, uuid5

import msgspec
from fastapi import APIRouter, Query, Request, Response

from domain.errors import Code, Refused
from domain.job import Status, SubmitJob
from domain.limits import Limits, Rejected
from domain.sandbox import parse_pfn
from domain.submission import Item, Source, Submission, read
from gateway.errors import LATER, explained, problem
from gateway.keys import Keyed
from gateway.ports import Answer, Outside, Principal, World
from gateway.rights import ADMINISTRATORS, User
from projections.jobs import some

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
AT_ONCE = 2000  # commands in one question
ASIDE = 64 * 1024  # bytes of a body that are read beside the event loop: others must not wait for it
JSON, TEXTS = "application/json", ("text/plain", "application/jdl")
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"type": "object", "properties": {"jobs": {"type": "array", "items": {"type": "object"}},
                                                               "jdl": {"type": "string"}}}},
            "text/plain": {"schema": {"type": "string", "description": "JDL"}},
        },
    }
}  # fmt: skip


class Accepted(NamedTuple):
    """The jobs of a request that can be submitted, and all places of the request in order."""

    jobs: list[Item]
    places: list[Item | Rejected]
    bodies: dict[str, bytes]

    @property
    def rejected(self) -> int:
        """How many cannot."""
        return len(self.places) - len(self.jobs)


@router.post("", status_code=201, openapi_extra=BODY)
async def submit(
    who: User, key: Keyed, request: Request, outside: Outside, partial: Annotated[bool, Query()] = False
) -> Response:
    """Submit jobs: `{"jobs": [description, …]}`, `{"jdl": "…"}`, or JDL as text/plain.

    When one description is wrong nothing is submitted, unless `partial` is true. The same request with the same
    `Idempotency-Key` (or `x-ms-client-request-id`) gives the same jobs again; with another body it is refused. The
    answer comes when every job is recorded, also with `Prefer: respond-async`.
    """
    body = await request.body()
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    accepted = await _read(body, kind, _limits(request.app.state.limits, who), who)
    if accepted.rejected and (not partial or not accepted.jobs):
        return _rejection(accepted)
    submission = key.id(who, "submission")
    digest = sha256(b"\0".join((kind.encode(), body))).hexdigest()
    answer = await _submit(outside, who, submission, digest, accepted)
    return Response(msgspec.json.encode(answer, enc_hook=str), 201, media_type=JSON)


def _limits(limits: Limits, who: Principal) -> Limits:
    return msgspec.structs.replace(limits, owner=who.name, owner_group=who.group, vo=who.vo)


async def _read(body: bytes, kind: str, limits: Limits, who: Principal) -> Accepted:
    if len(body) < ASIDE:
        return _understood(body, kind, limits, who)
    return await asyncio.to_thread(_understood, body, kind, limits, who)


def _understood(body: bytes, kind: str, limits: Limits, who: Principal) -> Accepted:
    found: Submission = read(_source(body, kind), limits)
    places = [_checked(job, who) for job in found.jobs]
    return Accepted([job for job in places if isinstance(job, Item)], places, found.bodies)


def _source(body: bytes, kind: str) -> Source:
    try:
        if kind in TEXTS:
            return body.decode()
        if kind != JSON:
            raise Refused(Code.MEDIA_TYPE, given=kind[:100], accepted=f"{JSON} and {TEXTS[0]}")
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Refused(Code.MALFORMED, problem=str(fault)[:200]) from None
    if isinstance(content, list):
        return content
    match content:
        case {"jobs": list(jobs), **others} if not others:
            return jobs
        case {"jdl": str(jdl), **others} if not others:
            return jdl
    raise Refused(Code.MALFORMED, problem='expected {"jobs": [description, …]} or {"jdl": "text"}')


def _checked(job: Item | Rejected, who: Principal) -> Item | Rejected:
    """Sandboxes in a job's input are given to its pilot: only those of who submits."""
    if isinstance(job, Rejected):
        return job
    try:
        for name in sandboxes_in(job.input_sandbox):
            pfn = parse_pfn(name)
            if pfn.vo != who.vo or (pfn.owner != who.subject and not who.rights & ADMINISTRATORS):
                raise Refused(Code.SANDBOX_UNKNOWN, pfn=name)
    except Refused as refused:
        return Rejected([refused])
    return job


def sandboxes_in(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that are pfns of sandboxes; others are files that somebody else brings."""
    return tuple(name for name in names if name.startswith(("SB:", ":SB:", "/S3/")))


def _rejection(accepted: Accepted) -> Response:
    """Nothing was submitted: the first fault as the refusal, all of them by their place in the request."""
    rejected = [(n, job) for n, job in enumerate(accepted.places) if isinstance(job, Rejected)]
    jobs = [{"index": n, "errors": [explained(each) for each in job.refusals]} for n, job in rejected[:1000]]
    first = rejected[0][1].refusals[0]
    return problem(first, 422, jobs=jobs, rejected=len(rejected), accepted=len(accepted.jobs))


async def _submit(world: World, who: Principal, submission: UUID, digest: str, accepted: Accepted) -> dict[str, Any]:
    """Number the jobs and have them accepted; numbers of a repeated request are those of the first one."""
    await world.keep_bodies(accepted.bodies)
    reserved = await world.reserve(submission, who.vo, digest, len(accepted.jobs))
    if reserved.jobs != len(accepted.jobs):  # never touch numbers that are not this submission's
        raise Refused(Code.KEY_REUSED, key=str(submission))
    commands = [
        (uuid5(submission, str(number)), _command(number, who, job))
        for number, job in enumerate(accepted.jobs, reserved.first)
    ]
    answers: list[Answer] = []
    for start in range(0, len(commands), AT_ONCE):
        answers += await world.ask(who, commands[start : start + AT_ONCE])
    there = await _there(world, who, reserved.first, accepted.jobs, answers)
    results = iter(_results(reserved.first, answers, there))
    return {
        "submission": submission,
        "jobs": [next(results) if isinstance(job, Item) else _errors(job) for job in accepted.places],
    }


def _command(number: int, who: Principal, job: Item) -> SubmitJob:
    return SubmitJob(
        number, who.subject, who.name or who.subject, who.group, job.description, job.requirements, job.name,
        job.job_type, job.job_group, job.priority, job.parameters, job.number, sandboxes_in(job.input_sandbox),
    )  # fmt: skip


async def _there(
    world: World, who: Principal, first: int, jobs: Sequence[Item], answers: Sequence[Answer]
) -> frozenset[int]:
    """The numbers that exist because this very submission came before, or comes twice at this moment."""
    exist = [n for n, each in enumerate(answers, first) if each.refusal and each.refusal.code is Code.JOB_EXISTS]
    rows = await world.read(some(who.vo, exist)) if exist else []
    return frozenset(
        row["job"]
        for row in rows
        if (row["owner"], row["description"]) == (who.subject, jobs[row["job"] - first].description)
    )


def _results(first: int, answers: Sequence[Answer], there: frozenset[int]) -> Iterable[dict[str, Any]]:
    """What became of each; raises Refused when one may still become something, so that the client asks again."""
    for number, answer in enumerate(answers, first):
        refusal = answer.refusal
        if refusal is None or number in there:
            yield {"job": number, "status": Status.RECEIVED.value}
        elif refusal.code in LATER:
            raise refusal
        else:
            yield {"job": number, "error": explained(refusal)}


def _errors(job: Rejected) -> dict[str, Any]:
    return {"error": explained(job.refusals[0]), "errors": [explained(each) for each in job.refusals]}
