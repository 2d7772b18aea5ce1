"""Who is suspended and was: why, by whom, until when, and how many jobs that has touched."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    Select,
    Table,
    Text,
    and_,
    any_,
    false,
    func,
    literal,
    or_,
    select,
    union_all,
)

from domain.job import HELD_BY_PILOT, HOLDABLE
from domain.messages import Recorded
from domain.suspension import PART, Kind, Running, Suspension, hold_code
from domain.values import job_number
from projections.jobs import jobs, metadata
from projections.projection import Add, Key, Projection, Values
from projections.sessions import sessions

MOST_SESSIONS = 10_000  # ended in one transaction; what is left ends with the next part
suspensions = Table(
    "suspensions",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("label", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("until", DateTime(timezone=True)),
    Column("running", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("author", Text, nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("ended_by", Text),
    Column("jobs", BigInteger, nullable=False),
    Column("swept", Boolean, nullable=False),
)


def of_whom(event: Recorded[Any]) -> Key:
    """The row of whose suspension it is."""
    return (event.vo, event.event.kind.value, event.event.name)


projection = Projection(suspensions, log="identity", key=of_whom, inline=True)


@projection.creates
def suspended(event: Recorded[Suspension.Suspended]) -> Values:
    facts = event.event
    told = {"round": facts.round, "label": facts.label, "reason": facts.reason, "until": facts.until}
    begun = {"active": True, "since": event.at, "author": event.actor, "jobs": 0, "swept": False}
    return told | begun | {"running": facts.running.value, "ended_at": None, "ended_by": None}


@projection
def resumed(event: Recorded[Suspension.Resumed]) -> Values:
    ended = {"ended_at": event.at, "ended_by": event.actor}
    return {"round": event.event.round, "active": False, "jobs": 0, "swept": False} | ended


@projection
def swept(event: Recorded[Suspension.Swept]) -> Values:
    return {"jobs": Add(event.event.jobs), "swept": event.event.done}


def in_force() -> Select[Any]:
    """What every process must know: all that is suspended, in every VO."""
    columns = [suspensions.c[name] for name in ("vo", "kind", "name", "reason", "label", "until")]
    return select(*columns).where(suspensions.c.active)


def of_vo(vo: str, *, every: bool = False) -> Select[Any]:
    """The suspensions of a VO, newest first; `every`: also those that have ended."""
    query = select(suspensions).where(suspensions.c.vo == vo).order_by(suspensions.c.since.desc()).limit(1000)
    return query if every else query.where(suspensions.c.active)


def one(vo: str, kind: str, name: str) -> Select[Any]:
    """One of them."""
    table = suspensions.c
    return select(suspensions).where(table.vo == vo, table.kind == kind, table.name == name)


# Look-ups of policies


def next_jobs(event: Recorded[Any]) -> Select[Any]:
    """The next jobs to be held, killed or freed because of this part of a suspension, in order of their numbers."""
    facts = event.event
    told = suspensions.c
    columns = (jobs.c.job, jobs.c.attempt, jobs.c.status, told.reason)
    whose = and_(told.vo == event.vo, told.kind == facts.kind.value, told.name == facts.name)
    if getattr(facts, "done", False):
        return select(*columns).where(false())
    freeing = isinstance(facts, Suspension.Resumed) or getattr(facts, "freeing", False)
    states = HOLDABLE | (HELD_BY_PILOT if not freeing and facts.running is Running.KILL else frozenset())
    held = literal(hold_code(facts.kind)) == any_(func.string_to_array(jobs.c.held, " "))
    some = [
        select(*columns)
        .join_from(jobs, suspensions, whose)
        .where(jobs.c.vo == event.vo, _theirs(facts.kind, facts.name), jobs.c.status == status.value)
        .where(jobs.c.job > getattr(facts, "after", 0), held if freeing else or_(jobs.c.held.is_(None), ~held))
        .order_by(jobs.c.job)
        .limit(PART)
        .subquery()
        for status in sorted(states)
    ]  # one walk along the index of each status, none further than a part
    every = union_all(*(select(one) for one in some)).subquery()
    return select(every).order_by(every.c.job).limit(PART)


def sessions_of(event: Recorded[Any]) -> Select[Any]:
    """The sessions that live and belong to whoever is suspended; whoever suspends a VO keeps theirs, to resume it."""
    facts, told, whose = event.event, suspensions.c, sessions.c
    if getattr(facts, "freeing", False):
        return select(whose.session).where(false())
    theirs = {Kind.USER: whose.subject, Kind.GROUP: whose.group_name, Kind.VO: whose.vo}[facts.kind] == facts.name
    row = and_(told.vo == event.vo, told.kind == facts.kind.value, told.name == facts.name)
    query = select(whose.session).join_from(sessions, suspensions, row).where(whose.vo == event.vo, theirs)
    alive = query.where(whose.ended_at.is_(None), whose.until > event.at)
    return alive.where(literal("user:") + whose.subject != told.author).order_by(whose.session).limit(MOST_SESSIONS)


def of_job(event: Recorded[Any]) -> Select[Any]:
    """What keeps the owner, the group and the VO of this job from going on."""
    told = suspensions.c
    names = ((Kind.USER, jobs.c.owner), (Kind.GROUP, jobs.c.owner_group), (Kind.VO, jobs.c.vo))
    whose = or_(*(and_(told.kind == kind.value, told.name == column) for kind, column in names))
    joined = jobs.join(suspensions, and_(told.vo == jobs.c.vo, told.active, whose))
    return select(told.kind, told.reason).select_from(joined).where(jobs.c.job == job_number(event.stream))


def _theirs(kind: Kind, name: str) -> Any:
    return {Kind.USER: jobs.c.owner == name, Kind.GROUP: jobs.c.owner_group == name, Kind.VO: jobs.c.vo == name}[kind]
