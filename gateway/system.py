"""How the system is, what goes on in it, and what waits for an operator."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import Field
from sqlalchemy import select

from domain.requirements import Requirements
from gateway.errors import explained
from gateway.fields import Body, Page
from gateway.ports import Outside, Row
from gateway.rights import Operator, Resident, User, only, public
from projections import pilot_queue, refusals
from projections.activity import since
from projections.pilots import pilots

router = APIRouter(prefix="/api/v1", tags=["system"])
MOST_LETTERS = 1000
Days = Annotated[int, Query(ge=1, le=400)]
Minutes = Annotated[int, Query(ge=1, le=1440)]
Json = dict[str, Any]


class Letters(Body):
    """Dead letters to be sent again."""

    letters: Annotated[list[UUID], Field(min_length=1, max_length=MOST_LETTERS)]


@router.get("/status")
async def status(who: User, outside: Outside) -> Json:
    """Bus, database, consumers and their lag, timers, dead letters."""
    return await outside.status()


@router.get("/queues")
async def queues(who: User, outside: Outside) -> Json:
    """The task queues in which jobs wait that the asker may see: whose, asking for what, how many."""
    query = pilot_queue.of_vo(who.vo)
    for column, value in only(who).items():
        query = query.where(pilot_queue.task_queues.c[column] == value)
    rows = await outside.read(query)
    return {"queues": [_queue(row) for row in rows]}


def _queue(row: Row) -> Json:
    wanted = msgspec.json.decode(row["requirements"], type=Requirements)
    return dict(row) | {"requirements": msgspec.structs.asdict(wanted)}


@router.get("/activity")
async def activity(who: User, outside: Outside, minutes: Minutes = 60) -> Json:
    """How many events of each topic the VO had, by the minute."""
    begin = datetime.now(UTC) - timedelta(minutes=minutes)
    return {"activity": await outside.read(since(who.vo, begin))}


@router.get("/refusals")
async def refused(who: Operator, outside: Outside, days: Days = 7) -> Json:
    """How often commands of each kind were refused, by day and code; of the operator's own VO."""
    first = (datetime.now(UTC) - timedelta(days=days - 1)).date()
    return {"refusals": await outside.read(refusals.since(who.vo, first))}


@router.get("/dead-letters")
async def dead_letters(who: Operator, outside: Outside, limit: Page = 100) -> Json:
    """What could not be handled, newest first, with its reason; of the operator's own VO."""
    return {"dead_letters": await outside.dead_letters(who.vo, limit)}


@router.post("/dead-letters/send-again")
async def send_again(who: Operator, outside: Outside, body: Letters) -> Json:
    """Send dead letters again; each has its own result."""
    answers = await outside.send_again(who.vo, body.letters)
    return {"results": [{"id": it.id, "error": explained(it.refusal) if it.refusal else None} for it in answers]}


@router.get("/whoami")
async def whoami(who: Resident) -> Json:
    """Who the token speaks for."""
    return {"subject": who.subject, "name": who.name, "vo": who.vo, "group": who.group, "rights": sorted(who.rights)}


@router.get("/health/live", dependencies=[Depends(public)])
async def live() -> Json:
    """This process answers."""
    return {"ok": True}


@router.get("/health/ready", dependencies=[Depends(public)])
async def ready(outside: Outside) -> Json:
    """This process can do its work: the database answers. VOs whose configuration cannot be read are named; the others
    work."""
    await outside.read(select(pilots.c.stamp).limit(1))
    return {"ok": True, "broken": sorted(outside.configuration().broken.keys() - {""})}
