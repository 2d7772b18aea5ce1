"""What the matcher knows, read from the views when it begins to lead, and kept by events from then on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from math import exp
from typing import Any

import msgspec

from domain.job import HELD_BY_PILOT, Job
from domain.market import Market
from domain.match_policy import MatchingDelay, MatchPolicy
from domain.match_state import State, Taken
from domain.matching import Offer, Queue
from domain.pilot import Pilot
from domain.requirements import Requirements
from domain.shares import Person
from domain.values import job_number
from infra.bus.messages import WireEvent
from infra.store import Connection

REMEMBERED = 4  # half-lives of ended jobs that are read again; what is older weighs less than a sixteenth
QUEUES = """select t.*, q.waiting, q.priority, q.since from (
        select queue, count(*) as waiting, max(priority) as priority,
            extract(epoch from min(queued_at))::float8 as since
        from pilot_queue group by queue) q
    join task_queues t on t.queue = q.queue"""
HELD = """select j.job, j.site, j.ce, j.pilot, a.processors, a.host, a.platform,
        extract(epoch from a.matched_at)::float8 as since,
        t.queue, t.vo, t.owner, t.owner_group, t.requirements, j.priority
    from jobs j join assignments a on a.job = j.job and a.attempt = j.attempt and a.pilot = j.pilot
    join task_queues t on t.queue = j.queue
    where j.status = any($1::text[]) or j.leaving order by a.matched_at"""
# A killed job holds its place until its pilot has said that it is gone.
ENDED = (Job.Released, Job.Done, Job.Completed, Job.Failed, Job.Vacated, Job.Rescheduled, Job.Deleted)
# What an hour of a core leaves after it has faded: the integral from the match to the end.
USED = """select j.vo, j.owner_group, j.owner, sum(a.processors / $1::float8 * (
            exp(-$1::float8 * ($2::float8 - extract(epoch from j.ended_at)::float8))
            - exp(-$1::float8 * ($2::float8 - extract(epoch from a.matched_at)::float8)))) as used
    from jobs j join assignments a on a.job = j.job and a.attempt = j.attempt
    where j.ended_at > to_timestamp($2::float8 - $3::float8) and j.ended_at > a.matched_at
    group by 1, 2, 3"""
ENDINGS = frozenset(event.TOPIC for event in ENDED)
KEPT = """insert into share_use (at, half_life, used) values ($1, $2, $3)
    on conflict (one) do update set at = excluded.at, half_life = excluded.half_life, used = excluded.used"""
FRESH = 3600.0  # seconds for which what was kept of use is good enough; jobs that ended since are not counted for them
SLICE = 250  # queues and jobs that are read without letting anybody else work
WELL = {Job.Done.TOPIC: True, Job.Completed.TOPIC: True, Job.Failed.TOPIC: False}
OFFERS = """select o.offer, extract(epoch from o.at)::float8 as at from offers o
    join pilots p on p.vo = o.vo and p.stamp = o.pilot where p.status = 'Running'"""
GONE = frozenset({Pilot.Retired.TOPIC, Pilot.Lost.TOPIC})


async def market(connection: Connection) -> Market:
    """What pilots that work offered last."""
    found = Market()
    for row in await connection.fetch(OFFERS):
        found.offered(msgspec.json.decode(row["offer"], type=Offer), row["at"])
    return found


def left(market: Market, events: Sequence[WireEvent]) -> None:
    """Pilots that have ended offer nothing."""
    for event in events:
        if event.topic in GONE:
            market.gone(event.vo, msgspec.json.decode(bytes(event.data))["stamp"])


async def loaded(connection: Connection, policy: MatchPolicy, now: float) -> State:
    """The state as the views have it."""
    state = State(policy)
    async for row in _sliced(await connection.fetch(QUEUES)):
        state.put(_queue(row), row["waiting"], row["since"])
    begun = await _used(connection, state, now)
    async for row in _sliced(await connection.fetch(HELD, [status.value for status in HELD_BY_PILOT])):
        _held(state, row, begun)
    return state


async def _sliced(rows: Sequence[Any]) -> AsyncIterator[Any]:
    for number, row in enumerate(rows):
        if number % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        yield row


async def _used(connection: Connection, state: State, now: float) -> float:
    """Read what everybody has had, as it was kept not long ago or of the jobs that ended; up to when that goes."""
    shares, half_life = state.shares, state.policy.half_life
    shares.fade(now)
    kept = await connection.fetchrow(
        "select at, used from share_use where half_life = $1 and at between $2 and $3", half_life, now - FRESH, now
    )
    if kept:
        for vo, group, owner, used in msgspec.json.decode(kept["used"]):
            shares.charge(Person(vo, group, owner), used * exp(-shares.rate * (now - kept["at"])), now)
        return float(kept["at"])
    for row in await connection.fetch(USED, shares.rate, now, REMEMBERED * half_life):
        shares.charge(Person(row["vo"], row["owner_group"], row["owner"]), row["used"], now)
    return 0.0


async def keep(connection: Connection, state: State, now: float) -> None:
    """Note what everybody has had, for whoever matches next."""
    owners = [path for path, _ in state.shares.known() if len(path) == len(Person._fields)]
    used = [(*path, use) for path in owners if (use := state.shares.used(path, now)) >= 1]
    await connection.execute(KEPT, now, state.policy.half_life, msgspec.json.encode(used).decode())


def _held(state: State, row: Any, begun: float) -> None:
    """A job that a pilot has: since then it uses its cores, counts in its limits, and has taken its tokens."""
    where = {"site": row["site"], "ce": row["ce"] or "", "platform": row["platform"]}
    taken = Taken(_queue(row), where, row["processors"], row["pilot"], row["host"],
                  row["since"])  # fmt: skip
    state.occupy(taken, max(row["since"], begun))
    for rule in state.rules(where, taken.queue):
        if isinstance(rule, MatchingDelay):
            state.spend(rule, taken, row["since"])
    state.hold(row["job"], taken)


def _queue(row: Any) -> Queue:
    return Queue(row["queue"], row["vo"], row["owner"], row["owner_group"], _wanted(row["requirements"]),
                 row["priority"])  # fmt: skip


@lru_cache(maxsize=65_536)
def _wanted(text: str) -> Requirements:
    return msgspec.json.decode(text, type=Requirements)


class News:
    """What a batch of events means for those who wait: queues that got work, and jobs that left their places.

    `left` says of each whether it ended well; None where it neither did nor failed.
    """

    def __init__(self) -> None:
        self.queues: set[str] = set()
        self.left: list[tuple[Taken, bool | None]] = []


def heard(state: State, events: Sequence[WireEvent], now: float, news: News) -> None:
    """Keep the state as events say."""
    for event in events:
        if event.topic == Job.Queued.TOPIC:
            facts = msgspec.json.decode(bytes(event.data), type=Job.Queued)
            queue = Queue(facts.queue, event.vo, facts.owner, facts.group, facts.requirements, facts.priority)
            state.more(queue, event.at.timestamp())
            news.queues.add(facts.queue)
        elif event.topic in ENDINGS and (taken := state.release(job_number(event.stream), now)):
            news.left.append((taken, WELL.get(event.topic)))
