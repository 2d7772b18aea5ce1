"""The routes by which a pilot works: prove itself, say hello, offer, report, store outputs, say goodbye.

A pilot's token names its VO, its stamp and its incarnation; nothing in a body can widen that.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID, uuid4, uuid5

import msgspec
from fastapi import APIRouter, Depends, Request

from domain.errors import Code, Refused
from domain.job import HELD_BY_PILOT, ResumeJob
from domain.job import Status as JobStatus
from domain.matching import Offer
from domain.pilot import AdmitPilot, Pilot, PilotCommand, RetirePilot, StartPilot, Status
from domain.values import job_stream, pilot_stream
from gateway import reports, rights, stories
from gateway.auth.sources import guessing
from gateway.errors import LATER
from gateway.holding import OFFERS, Held
from gateway.pilot_bodies import Bye, Claim, Hello, Offered, OneAttempt, Output, Reports
from gateway.ports import Given, Outside, Principal, Row, World
from gateway.sandboxes import placed
from projections import jobs, pilots

router = APIRouter(prefix="/api/v1/pilot", tags=["pilot"])
TOKEN = 3600  # seconds an access token is good for
JOB_TOKEN = 1200  # the same of a running job; its pilot renews it
HEARTBEAT = 30  # seconds between two signs of life
NOT_HELD = frozenset(code.slug for code in (Code.JOB_UNKNOWN, Code.JOB_ATTEMPT, Code.PILOT_JOB))
Json = dict[str, Any]


@router.post("/token", dependencies=[Depends(rights.public)])
async def token(request: Request, outside: Outside, body: Claim) -> Json:
    """An access token for a pilot that knows its secret. The secret goes no further than this."""
    who = Principal("pilot", body.stamp, body.vo)
    process = str(body.incarnation)
    digest = sha256(body.secret.encode()).hexdigest()
    try:
        async with guessing(outside, request, "pilot-secret", body.vo, of=body.stamp):
            await _ask(outside, who, AdmitPilot(body.vo, body.stamp, digest, process))
    except Refused as refusal:
        if refusal.code not in LATER:
            outside.proved(body.vo, body.stamp, refusal.code.slug)
        raise
    outside.proved(body.vo, body.stamp)
    incarnation = await _incarnation(outside, body.vo, body.stamp, process)
    admitted = Principal("pilot", body.stamp, body.vo, incarnation=incarnation)
    access = outside.issue(admitted, TOKEN)
    return {"access_token": access, "token_type": "Bearer", "expires_in": TOKEN, "pilot": body.stamp,
            "heartbeat_seconds": HEARTBEAT}  # fmt: skip


async def _incarnation(world: World, vo: str, stamp: str, process: str) -> int:
    """The number under which this very process was admitted; another one may have come since."""
    for event in reversed(await world.history("pilots", pilot_stream(vo, stamp))):
        if isinstance(event.event, Pilot.Admitted) and event.event.process == process:
            return event.event.incarnation
    raise Refused(Code.PILOT_SECRET, pilot=stamp)


async def current(who: rights.Pilot, outside: Outside) -> Row:
    """The pilot's row, if the token's process is still the one that counts; a sign of life, too.

    Raises:
        Refused: PILOT_GONE for a process that was replaced or has ended; NO_TOKEN for one that was given up: it may
            prove itself again.
    """
    if who.kind != "pilot":
        return {}  # a generic one is no pilot of its own
    rows = await outside.read(pilots.one(who.vo, who.subject))
    if not rows or rows[0]["incarnation"] < who.incarnation:  # our own token says that there was more
        await outside.unknown(who.vo, who.subject)
    if not rows:
        raise Refused(Code.PILOT_UNKNOWN, pilot=who.subject)
    (row,) = rows
    if refusal := _over(row, who):
        outside.proved(who.vo, who.subject, refusal.code.slug)
        raise refusal
    outside.heard(pilot_stream(who.vo, who.subject))
    return row


def _over(row: Row, who: Principal) -> Refused | None:
    """Why the token of this process is good for nothing any more, if so."""
    if row["incarnation"] != who.incarnation:
        return Refused(Code.PILOT_GONE, pilot=who.subject, status="running elsewhere")
    if row["revoked_at"]:
        return Refused(Code.PILOT_GONE, pilot=who.subject, status="revoked")
    if row["status"] == Status.ABORTED:
        return Refused(Code.NO_TOKEN)
    if row["status"] != Status.RUNNING:
        return Refused(Code.PILOT_GONE, pilot=who.subject, status=row["status"])
    return None


Current = Annotated[Row, Depends(current)]


async def own(who: rights.Pilot, row: Current) -> Row:
    """The row of a pilot that speaks for itself; raises Refused(FORBIDDEN)."""
    if not row:
        raise Refused(Code.FORBIDDEN, right="the token of a pilot")
    return row


Itself = Annotated[Row, Depends(own)]


@router.post("/hello")
async def hello(who: rights.Pilot, row: Itself, outside: Outside, body: Hello) -> Json:
    """A pilot begins to work. Where it was announced for counts more than where it says it is."""
    place = {name: row[name] or getattr(body, name) for name in ("site", "ce", "queue")}
    node = body.node.model_dump(mode="json")
    await _ask(outside, who, StartPilot(who.vo, who.subject, who.incarnation, **place, version=body.version, node=node))
    return {"pilot": who.subject, "heartbeat_seconds": HEARTBEAT}


@router.post("/offer")
async def offer(who: rights.Pilot, row: Itself, outside: Outside, holding: Held, body: Offered) -> Json:
    """A job for what the pilot offers, or null after `wait` seconds. The same offer gets the same answer again."""
    rights.working(outside, who.vo)
    node = msgspec.json.decode(row["node"] or "{}")
    # An id is its pilot's own: one that another pilot made up, or read in a history, is another offer.
    id_ = uuid5(pilot_stream(who.vo, who.subject), str(body.offer))
    offered = Offer(
        id_, who.subject, who.vo, row["site"], row["ce"], node.get("platform", ""), body.processors, body.memory_mb,
        body.disk_mb, body.cpu_seconds, node.get("gpus", 0), body.tags, node.get("hostname", ""),
        node.get("processors", 0), required_tags=body.required_tags,
    )  # fmt: skip
    with holding.one(who, OFFERS):
        given = await outside.offer(offered, body.wait)
    return {"match": await _match(outside, who, given, body.offer) if given.job else None}


async def _match(world: World, who: Principal, given: Given, id_: UUID) -> Json | None:
    """Everything the pilot needs for the job; None when the job is not this pilot's any more, or was begun by it."""
    rows = await world.read(jobs.some(who.vo, [given.job]))
    if not rows or not held(rows[0], who, given.attempt) or rows[0]["status"] != JobStatus.MATCHED:
        return None
    if _barred(world, rows[0]):
        return None
    events = await stories.told(world, given.job)
    inputs = await stories.inputs(world, events)
    return {
        "job": given.job, "attempt": given.attempt, "offer": id_, "name": rows[0]["name"],
        "owner": rows[0]["owner_name"], "vo": who.vo, "inputs": inputs, "reports": {},
        "description": await stories.description(world, given.job, events), "token": _token_of(world, rows[0]),
    }  # fmt: skip


def _barred(world: World, row: Row) -> bool:
    """Whether the job was matched while its owner, their group or VO was being suspended: then it is not started."""
    return world.suspended(row["vo"], row["owner"], row["owner_group"]) is not None


def _strange(world: World, who: Principal, job: int) -> Refused:
    """The refusal for an attempt that is not in this pilot's hands; it is counted."""
    world.proved(who.vo, who.subject, Code.PILOT_JOB.slug)
    return Refused(Code.PILOT_JOB, job=job, pilot=who.subject)


def held(row: Row | None, who: Principal, attempt: Any) -> bool:
    """Whether this attempt of a job is in this pilot's hands."""
    pilot = reports.speaks_as(who, row) if row else ""
    return row is not None and bool(pilot) and (row["pilot"], row["attempt"]) == (pilot, attempt) and (
        row["status"] in HELD_BY_PILOT
    )  # fmt: skip


@router.post("/reports")
async def report(who: rights.Pilot, row: Current, outside: Outside, body: Reports) -> Json:
    """Reports and signs of life; a result for each report, and which attempts to kill."""
    batch = reports.Batch(body.reports, who, await _rows(outside, who, body.reports))
    answers = await outside.ask(who, batch.commands) if batch.commands else []
    results = batch.results(answers)
    alive = [item for item in body.alive if isinstance(item, dict)]
    rows = await _rows(outside, who, alive)
    await _resume(outside, who, rows.values())
    commands = [kill for item in alive for kill in _lives(outside, who, rows, item)]
    strange = [each for each in results if each["code"] in NOT_HELD] + commands
    for each in strange:
        outside.proved(who.vo, who.subject, each.get("code", Code.PILOT_JOB.slug))
    attempts = [named for each in strange if (named := reports.named(each))]
    if attempts and who.kind == "pilot":
        await outside.unknown(who.vo, who.subject, attempts)
    return {"results": results, "commands": commands}


async def _resume(world: World, who: Principal, rows: Iterable[Row]) -> None:
    """Stalled jobs of which a pilot says that they live run again."""
    held_ = [row for row in rows if row["pilot"] and row["pilot"] == reports.speaks_as(who, row)]
    stalled = [row for row in held_ if row["status"] == JobStatus.STALLED]
    if stalled:
        await world.ask(who, [(uuid4(), ResumeJob(row["job"], row["attempt"], row["pilot"])) for row in stalled])


async def _rows(world: World, who: Principal, items: Sequence[Any]) -> Mapping[int, Row]:
    wanted = reports.numbers(items)
    return {row["job"]: row for row in await world.read(jobs.some(who.vo, wanted))} if wanted else {}


def _lives(world: World, who: Principal, rows: Mapping[int, Row], item: Json) -> list[Json]:
    """Note that a job lives, or say that it should not."""
    if (named := reports.named(item)) is None:
        return []
    job, attempt = named
    if not held(rows.get(job), who, attempt):
        return [{"job": job, "attempt": attempt, "command": "kill"}]
    world.heard(job_stream(job), reports.signs(item))
    return []


@router.post("/job-token")
async def job_token(who: rights.Pilot, row: Current, outside: Outside, body: OneAttempt) -> Json:
    """A fresh token for a job that the pilot holds, on the owner's behalf: for the payload, not for the pilot."""
    rows = await outside.read(jobs.some(who.vo, [body.job]))
    if not rows or not held(rows[0], who, body.attempt):
        raise _strange(outside, who, body.job)
    return _token_of(outside, rows[0])


def _token_of(world: World, row: Row) -> Json:
    """A token with which a job speaks for itself; it carries none of its owner's rights.

    Raises:
        Refused: SUSPENDED, its owner, their group or VO.
    """
    if refusal := world.suspended(row["vo"], row["owner"], row["owner_group"]):
        raise refusal
    owner = Principal("job", row["owner"], row["vo"], row["owner_name"], row["owner_group"], job=row["job"],
                      attempt=row["attempt"], pilot=row["pilot"])  # fmt: skip
    return {"access_token": world.issue(owner, JOB_TOKEN), "token_type": "Bearer", "expires_in": JOB_TOKEN}


@router.post("/sandbox")
async def sandbox(who: rights.Pilot, row: Current, outside: Outside, body: Output) -> Json:
    """Where to put the output of a job that the pilot holds; it belongs to the job's owner."""
    rows = await outside.read(jobs.some(who.vo, [body.job]))
    if not rows or not held(rows[0], who, body.attempt):
        raise _strange(outside, who, body.job)
    return await placed(outside, who, body, rows[0]["owner_group"], rows[0]["owner"])


@router.post("/bye")
async def bye(who: rights.Pilot, outside: Outside, body: Bye) -> Json:
    """The pilot ends by itself; saying so twice is no fault."""
    if who.kind != "pilot":
        raise Refused(Code.FORBIDDEN, right="the token of a pilot")
    await _ask(outside, who, RetirePilot(who.vo, who.subject, who.incarnation, body.reason[:64], body.jobs_run))
    return {}


async def _ask(world: World, who: Principal, command: PilotCommand) -> None:
    (answer,) = await world.ask(who, [(uuid4(), command)])
    if answer.refusal:
        raise answer.refusal
