"""What there is at the moment, for the question what a change of the configuration would do to it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, func, select

from domain.effects import Waits
from domain.job import FINAL
from gateway.ports import Row, World
from projections import pilot_queue
from projections.jobs import jobs
from projections.pilots import pilots

ENDED = ("Done", "Aborted")


class Known(NamedTuple):
    """Task queues with what waits in them, pilots at work by place, jobs that have not ended by owner and group."""

    waiting: Sequence[Waits]
    pilots: Sequence[Row]
    working: Sequence[Row]


async def gathered(world: World, vo: str) -> Known:
    """What there is, of one VO or (empty) of all."""
    waits = await world.read(pilot_queue.of_vo(vo) if vo else pilot_queue.all_queues())
    waiting = [Waits(pilot_queue.queue(row), row["waiting"]) for row in waits]
    return Known(waiting, await world.read(_pilots(vo)), await world.read(_working(vo)))


def _pilots(vo: str) -> Select[Any]:
    place = (pilots.c.vo, pilots.c.site, pilots.c.ce, pilots.c.queue)
    query = select(*place, func.count().label("pilots")).where(pilots.c.status.not_in(ENDED)).group_by(*place)
    return query.where(pilots.c.vo == vo) if vo else query


def _working(vo: str) -> Select[Any]:
    whose = (jobs.c.vo, jobs.c.owner, jobs.c.owner_group)
    ended = [status.value for status in FINAL]
    query = select(*whose, func.count().label("jobs")).where(jobs.c.status.not_in(ended)).group_by(*whose)
    return query.where(jobs.c.vo == vo) if vo else query
