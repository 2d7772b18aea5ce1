"""Acts on all jobs that a query finds: planned first, with their count; then confirmed; then, perhaps, undone."""

from collections import Counter
from typing import Annotated, Any
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Path
from pydantic import Field
from sqlalchemy import select

from domain.bulk_action import MOST, BulkCommand, ConfirmBulk, PlanBulk, UndoBulk, Verb
from domain.errors import Code, Refused
from domain.job import BY_OWNER, FINAL, HOLDABLE, Status
from domain.values import NAMES
from gateway.fields import Body, Text
from gateway.keys import Keyed
from gateway.ports import Outside, Principal, Row, World
from gateway.rights import ADMINISTRATORS, User
from projections import bulk_actions
from projections.jobs import jobs

router = APIRouter(prefix="/api/v1/bulk", tags=["jobs"])
LIVING = frozenset(Status) - FINAL - {Status.NEW}
STATES = {  # in which a verb means anything
    Verb.KILL: LIVING,
    Verb.RESCHEDULE: frozenset({Status.WAITING, Status.FAILED, Status.KILLED}),
    Verb.DELETE: frozenset(Status) - {Status.DELETED, Status.NEW},
    Verb.HOLD: HOLDABLE,
    Verb.RELEASE: HOLDABLE,
    Verb.PRIORITY: HOLDABLE,
}
COLUMNS = {
    "status": "status", "owner": "owner_name", "group": "owner_group", "site": "site", "name": "name",
    "minor": "minor_status", "job_type": "job_type", "job_group": "job_group", "pilot": "pilot",
}  # fmt: skip
Action = Annotated[UUID, Path(description="the action's id")]
Json = dict[str, Any]


class Where(Body):
    """Which jobs; at least one of these."""

    status: Text = ""
    owner: Text = ""
    group: Text = ""
    site: Text = ""
    name: Text = ""
    minor: Text = ""
    job_type: Text = ""
    job_group: Text = ""
    pilot: Text = ""

    def given(self) -> dict[str, str]:
        """What restricts it."""
        return {name: value for name, value in self if value}


class Plan(Body):
    """What to do to them, and why."""

    verb: Verb
    where: Where
    reason: Text = ""
    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")] = BY_OWNER
    priority: Annotated[int, Field(ge=0, le=10)] = 1


@router.post("", status_code=201)
async def plan(who: User, key: Keyed, outside: Outside, body: Plan) -> Json:
    """Find the jobs and keep the plan for an hour. Nothing happens to them before it is confirmed."""
    where = body.where.given()
    if not where:
        raise Refused(Code.MALFORMED, problem=f"where: expected at least one of {', '.join(COLUMNS)}")
    if body.code != BY_OWNER and not who.rights & ADMINISTRATORS:
        raise Refused(Code.FORBIDDEN, right="JobAdministrator")
    rows = await outside.read(_found(who, body, where))
    if len(rows) > MOST:
        raise Refused(Code.TOO_MANY, count=len(rows), things="jobs", limit=MOST)
    action = uuid5(NAMES, f"bulk/{key.id(who, 'bulk') if key.text else uuid4()}")
    query = " ".join(f"{name}={value}" for name, value in where.items())
    numbers, formers = tuple(row["job"] for row in rows), tuple(row["priority"] for row in rows)
    await _ask(outside, who, PlanBulk(action, body.verb, numbers, query, body.reason, body.code, body.priority,
                                      formers if body.verb is Verb.PRIORITY else ()))  # fmt: skip
    counts = Counter(row["status"] for row in rows)
    return {"action": action, "verb": body.verb, "jobs": len(rows), "by_status": counts, "first": numbers[:20],
            "next": f"spinor bulk confirm {action}"}  # fmt: skip


@router.get("")
async def listed(who: User, outside: Outside) -> Json:
    """Actions, newest first: one's own, or all of the VO for an administrator."""
    author = "" if who.rights & ADMINISTRATORS else who.actor
    return {"actions": await outside.read(bulk_actions.of_vo(who.vo, author))}


@router.get("/{action}")
async def one(who: User, outside: Outside, action: Action) -> Row:
    """How far an action is."""
    return await _row(outside, who, action)


@router.post("/{action}/confirm")
async def confirm(who: User, outside: Outside, action: Action) -> Row:
    """Do what was planned."""
    await _row(outside, who, action)
    await _ask(outside, who, ConfirmBulk(action))
    return await _row(outside, who, action)


@router.post("/{action}/undo")
async def undo(who: User, outside: Outside, action: Action) -> Row:
    """Take back what was done; deleting and rescheduling cannot be."""
    await _row(outside, who, action)
    await _ask(outside, who, UndoBulk(action))
    return await _row(outside, who, action)


def _found(who: Principal, body: Plan, where: dict[str, str]) -> Any:
    """The jobs, of those that `who` may act on, in states where it means something; oldest first."""
    states = [status.value for status in STATES[body.verb]]
    query = select(jobs.c.job, jobs.c.status, jobs.c.priority).where(jobs.c.vo == who.vo, jobs.c.status.in_(states))
    for name, value in where.items():
        mine = name == "owner" and value == "me"
        query = query.where(jobs.c.owner == who.subject if mine else jobs.c[COLUMNS[name]] == value)
    for column, value in _mine(who).items():
        query = query.where(jobs.c[column] == value)
    words = " " + jobs.c.held + " "
    if body.verb is Verb.HOLD:
        query = query.where(jobs.c.held.is_(None) | words.not_like(f"% {body.code} %"))
    if body.verb is Verb.RELEASE:
        query = query.where(words.like(f"% {body.code} %"))
    return query.order_by(jobs.c.job).limit(MOST + 1)


def _mine(who: Principal) -> dict[str, str]:
    """As the job itself decides: one's own, those of a sharing group, or all (DIRAC 9.1 JobPolicy)."""
    if who.rights & ADMINISTRATORS:
        return {}
    return {"owner_group": who.group} if "JobSharing" in who.rights else {"owner": who.subject}


async def _row(world: World, who: Principal, action: UUID) -> Row:
    rows = await world.read(bulk_actions.one(who.vo, action))
    if not rows or (rows[0]["author"] != who.actor and not who.rights & ADMINISTRATORS):
        raise Refused(Code.NOT_FOUND, thing="bulk action", name=str(action))
    return rows[0]


async def _ask(world: World, who: Principal, command: BulkCommand) -> None:
    (answer,) = await world.ask(who, [(uuid4(), command)])
    if answer.refusal:
        raise answer.refusal
