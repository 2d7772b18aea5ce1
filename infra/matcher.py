"""Gives waiting jobs to offering pilots, as events make either appear; nobody polls, an offer that fits nothing waits.

The rule is `domain.matching.choose`. Queues are in memory, kept by events; the jobs of a queue stay in PostgreSQL. One
transaction serves every offer that waits: it claims the rows, appends `Job.Matched` with the decision, and commits.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog

from domain.errors import Code, Refused
from domain.job import Job
from domain.matching import Decision, Offer, Queue, choose
from domain.messages import Event, Origin, Recorded
from domain.values import job_stream
from infra.bus.interface import Bus
from infra.bus.messages import Envelope, now
from infra.decider import Decider
from infra.leader import leading
from infra.store import TROUBLE, Conflict, Connection, record
from infra.suspensions import Suspensions
from infra.wake import Wakes
from projections.pilot_queue import queue as queue_of

AT_ONCE = 200  # offers served by one transaction
LONGEST = 55.0  # seconds an offer may wait
BRIEFEST = 0.25  # seconds: one that does not want to wait is compared all the same with what waits for it
ASIDE = 0.01  # seconds that others get for jobs they have locked
# Everybody else locks a job's row first and then its place in the queue: whoever has one of the two is passed over.
CLAIM = """select q.queue, p.job, p.attempt, j.version, j.vo
    from unnest($1::text[], $2::int[]) q (queue, wanted)
    cross join lateral (select job, attempt from pilot_queue where queue = q.queue
                        order by priority desc, job limit q.wanted for update skip locked) p
    join jobs j on j.job = p.job for update of j skip locked"""
# One probe of the index a queue, however many jobs wait in it.
QUEUES = """with recursive best as (
        (select queue, priority from pilot_queue order by queue, priority desc limit 1)
        union all
        select n.queue, n.priority from best, lateral (
            select queue, priority from pilot_queue p where p.queue > best.queue
            order by queue, priority desc limit 1) n)
    select t.*, best.priority from best join task_queues t on t.queue = best.queue"""
NOTE = """insert into offers (vo, pilot, offer, decision, at)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
    on conflict (vo, pilot) do update set offer = excluded.offer, decision = excluded.decision, at = excluded.at"""
log_ = structlog.get_logger("spinor.matcher")


class Ask(msgspec.Struct, frozen=True):
    """What a gateway asks on behalf of a pilot; `wait` in seconds."""

    offer: Offer
    wait: float = 0.0


class Match(msgspec.Struct, frozen=True):
    """What an offer gets; `job` 0 when nothing came within the wait."""

    offer: UUID
    job: int = 0
    attempt: int = 0


class Parked:
    """An offer that waits, and who waits for the answer."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.answer: asyncio.Future[Match] = asyncio.get_running_loop().create_future()
        self.fresh = True  # not yet compared with all queues
        self.asking = 0  # a pilot whose gateway died asks again while the first question still waits
        self.decision = Decision(None, 0, {})


class Matcher:
    """The one that matches for the installation, while it leads."""

    def __init__(self, decider: Decider, bus: Bus, wakes: Wakes, partitions: int, barred: Suspensions) -> None:
        self.decider = decider
        self.barred = barred
        self.store = decider.store
        self.bus = bus
        self.wakes = wakes
        self.partitions = partitions
        self.queues: dict[str, Queue] = {}
        self.offers: dict[UUID, Parked] = {}
        self._changed: set[str] = set()
        self._work = asyncio.Event()
        self._reload = True
        barred.on_change(self._let_go)

    async def run(self) -> None:
        """Match while nobody else does, until cancelled; survives a database that is away for a while."""
        while True:
            try:
                async with leading(self.store.pool, "matcher") as connection, AsyncExitStack() as stack:
                    stack.push_async_callback(await self.bus.subscribe("matcher", "jobs", self.partitions, self._heard))
                    stack.push_async_callback(await self.bus.provide("match", self._asked))
                    await self._lead(connection)
            except (*TROUBLE, Refused) as fault:
                log_.warning("matcher pauses", reason=str(fault) or repr(fault))
                self._reload = True
                await asyncio.sleep(1)

    async def _lead(self, connection: Connection) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            if self._reload:
                self._reload = False
                self._take_queues(await connection.fetch(QUEUES))
            while await self._round(connection):
                pass

    async def _asked(self, body: bytes) -> bytes:
        """An offer: answered when there is a job for it, or when its wait is over."""
        ask = msgspec.json.decode(body, type=Ask)
        id_ = ask.offer.offer
        known = await self.store.pool.fetchrow(
            "select job, attempt from assignments where offer = $1 and vo = $2 and pilot = $3",
            id_, ask.offer.vo, ask.offer.pilot,
        )  # fmt: skip
        if known:
            return msgspec.json.encode(Match(id_, known["job"], known["attempt"]))
        parked = self.offers.get(id_) or Parked(ask.offer)
        self.offers[id_] = parked
        self._work.set()
        parked.asking += 1
        try:
            match = await asyncio.wait_for(asyncio.shield(parked.answer), min(max(ask.wait, BRIEFEST), LONGEST))
        except TimeoutError:
            match = parked.answer.result() if parked.answer.done() else Match(id_)
        finally:
            parked.asking -= 1
            if not parked.asking and self.offers.get(id_) is parked:
                del self.offers[id_]
        return msgspec.json.encode(match)

    async def _heard(self, envelopes: Sequence[Envelope]) -> None:
        """Queues that got work; an empty batch means that some may have been missed."""
        for envelope in envelopes:
            for event in envelope.events:
                if event.topic == Job.Queued.TOPIC:
                    facts = msgspec.json.decode(bytes(event.data), type=Job.Queued)
                    self._add(facts.queue, event.vo, facts)
        self._reload |= not envelopes
        if self.offers and (self._changed or self._reload):
            self._work.set()

    def _add(self, id_: str, vo: str, facts: Job.Queued) -> None:
        old = self.queues.get(id_)
        if old is None or facts.priority > old.priority:
            self.queues[id_] = Queue(id_, vo, facts.owner, facts.group, facts.requirements, facts.priority)
        self._changed.add(id_)

    def _take_queues(self, rows: Sequence[Any]) -> None:
        self.queues = {row["queue"]: queue_of(row) for row in rows}
        self._changed |= self.queues.keys()

    async def _round(self, connection: Connection) -> bool:
        """Serve what can be served in one transaction; whether it is worth trying again at once."""
        changed, self._changed = self._changed, set()
        chosen = self._choose(changed)
        noted = [parked for parked in self.offers.values() if parked.fresh]
        for parked in noted:
            parked.fresh = False
        if not chosen:
            await self._note(connection, noted)
            return False
        try:
            async with connection.transaction():
                served = await self._claim(connection, chosen)
                await self._note(connection, noted)
        except (Conflict, asyncpg.TransactionRollbackError):
            self._changed |= chosen.keys()
            return True
        self.wakes.wake("jobs")
        self._answer(served)
        await self._forget_empty(connection, chosen, served)
        return bool(self._changed)

    def _choose(self, changed: set[str]) -> dict[str, list[Parked]]:
        """The queue for each offer; one that waits already only looks at queues that got something new."""
        chosen: dict[str, list[Parked]] = defaultdict(list)
        news = [self.queues[id_] for id_ in changed if id_ in self.queues]
        count = 0
        for parked in self.offers.values():
            if parked.answer.done() or count >= AT_ONCE:
                continue
            queues = [q for q in (self.queues.values() if parked.fresh else news) if not self._suspended(q)]
            decision = choose(queues, parked.offer, random.getrandbits(32))
            if parked.fresh or decision.queue:
                parked.decision = decision
            if decision.queue:
                chosen[decision.queue.id].append(parked)
                count += 1
        return chosen

    def _suspended(self, queue: Queue) -> bool:
        return self.barred.of(queue.vo, queue.owner, queue.group) is not None

    def _let_go(self) -> None:
        """Somebody is suspended, or is no more: what waits is looked at again."""
        self._reload = True
        self._work.set()

    async def _claim(
        self, connection: Connection, chosen: dict[str, list[Parked]]
    ) -> list[tuple[Parked, str, Recorded[Event], int]]:
        """Take the best jobs of the chosen queues, and append that they are matched."""
        rows = await connection.fetch(CLAIM, list(chosen), [len(parked) for parked in chosen.values()])
        waiting = {id_: list(parked) for id_, parked in chosen.items()}
        served = []
        for row in rows:
            parked = waiting[row["queue"]].pop(0)
            offer = parked.offer
            event = Job.Matched(
                offer.pilot, offer.offer, row["attempt"], offer.site, offer.ce, parked.decision.fields()
            )
            origin = Origin("matcher", row["vo"], now(), correlation=offer.offer)
            matched = record(event, job_stream(row["job"]), row["version"] + 1, origin)
            served.append((parked, row["queue"], matched, row["job"]))
        await self.decider.write(connection, "jobs", [event for _, _, event, _ in served])
        return served

    def _answer(self, served: Sequence[tuple[Parked, str, Recorded[Event], int]]) -> None:
        for parked, _, event, job in served:
            self.offers.pop(parked.offer.offer, None)
            if not parked.answer.done():
                facts: Any = event.event
                parked.answer.set_result(Match(parked.offer.offer, job, facts.attempt))

    async def _forget_empty(
        self, connection: Connection, chosen: dict[str, list[Parked]], served: Sequence[tuple[Parked, str, Any, int]]
    ) -> None:
        """A queue that gave less than was asked for may be empty; its offers look at the others."""
        given = Counter(queue for _, queue, _, _ in served)
        short = [id_ for id_, parked in chosen.items() if given[id_] < len(parked)]
        if not short:
            return
        rows = await connection.fetch(
            "select q from unnest($1::text[]) q where exists (select from pilot_queue p where p.queue = q)", short
        )
        alive = {row["q"] for row in rows}
        for id_ in short:
            if id_ not in alive:
                self.queues.pop(id_, None)
            for parked in chosen[id_]:
                parked.fresh = not parked.answer.done()
        self._changed |= alive
        self._work.set()
        if alive:  # somebody else is at those jobs
            await asyncio.sleep(ASIDE)

    async def _note(self, connection: Connection, parked: Sequence[Parked]) -> None:
        """Keep what each pilot offered last and what came of it: `why` answers from this."""
        if not parked:
            return
        last = {(p.offer.vo, p.offer.pilot): p for p in parked}
        keys = sorted(last)
        encode = msgspec.json.encode
        await connection.execute(
            NOTE,
            [vo for vo, _ in keys],
            [pilot for _, pilot in keys],
            [encode(last[key].offer).decode() for key in keys],
            [encode(last[key].decision.fields()).decode() for key in keys],
            [now()] * len(keys),
        )


async def ask(bus: Bus, offer: Offer, wait: float) -> Match:
    """The answer of the matcher to an offer, within `wait` seconds; no match when no matcher answers.

    Raises:
        Refused: BUS_AWAY.
    """
    try:
        answer = await bus.call("match", msgspec.json.encode(Ask(offer, wait)), wait + 5)
    except Refused as refusal:
        if refusal.code is Code.DEADLINE:
            return Match(offer.offer)
        raise
    return msgspec.json.decode(answer, type=Match)
