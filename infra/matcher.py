"""Gives waiting jobs to offering pilots, as events make either appear; nobody polls, an offer that fits nothing waits.

The rule is `domain.choice.choose`; what it depends on is in memory (`infra.match_memory`), the jobs of a queue stay in
PostgreSQL. One transaction serves every offer that waits: it claims the rows, appends `Job.Matched` with the decision,
and commits.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from uuid import UUID

import asyncpg
import msgspec
import structlog

from domain.choice import choose
from domain.errors import Refused
from domain.market import Market
from domain.match_state import Decision, State
from domain.matching import Obstacle, Offer
from domain.matching_rules import policy_of
from domain.queue_index import Kind
from domain.why import Question, explain
from infra.bus.interface import Bus
from infra.bus.messages import Envelope, WireEvent
from infra.complaints import Complaint
from infra.configuration import Configurations
from infra.decider import Decider
from infra.introduced import introduced
from infra.leader import leading
from infra.match_claim import claimed
from infra.match_guard import Guard
from infra.match_memory import News, heard, keep, left, loaded, market
from infra.offers import Ask, Chosen, Match, Parked, Served, awakened, note, repeated
from infra.store import TROUBLE, Conflict, Connection
from infra.wake import Wakes

AT_ONCE = 200  # offers served by one transaction
LONGEST = 55.0  # seconds an offer may wait
BRIEFEST = 0.25  # seconds: one that does not want to wait is compared all the same with what waits for it
KEEP_EVERY = 60.0  # seconds between notes of what everybody has had, while there are matches
ASIDE = 0.01  # seconds that others get for jobs they have locked
STOPPED = {Obstacle.RUNNING_LIMIT.value, Obstacle.MATCHING_DELAY.value, Obstacle.RESOURCE.value,
           Obstacle.FAILING.value}  # fmt: skip
OF_ONE_PILOT = {Obstacle.FAILING.value, Obstacle.RESERVED.value, Obstacle.RESOURCE.value}
# The next job of each queue, null where there is none: one probe of the index a queue.
NEXT = """select q.queue, p.priority, extract(epoch from p.queued_at)::float8 as since
    from unnest($1::text[]) q (queue) left join lateral (select priority, queued_at from pilot_queue
        where queue = q.queue order by priority desc, job limit 1) p on true"""
log_ = structlog.get_logger("spinor.matcher")


class Matcher:
    """The one that matches for the installation, while it leads."""

    def __init__(
        self, decider: Decider, bus: Bus, wakes: Wakes, partitions: int, guard: Guard, configuration: Configurations
    ) -> None:
        self.decider = decider
        self.guard = guard
        self.configuration = configuration
        self.store = decider.store
        self.bus = bus
        self.wakes = wakes
        self.partitions = partitions
        self.policy = policy_of(configuration.current)
        self.state = State(self.policy)
        self.market = Market()
        self.offers: dict[UUID, Parked] = {}
        self._news = News()
        self._meanwhile: list[WireEvent] | None = None  # what was heard while the state was read
        self._work = asyncio.Event()
        self._reload = True
        self._kept = 0.0  # when what everybody has had was noted last
        self._ready = asyncio.Event()
        self._trouble = Complaint(log_, "matcher pauses")
        guard.suspensions.on_change(self._let_go)
        guard.resources.on_change(self._look_again)

    async def run(self) -> None:
        """Match while nobody else does, until cancelled; survives a database that is away for a while."""
        while True:
            try:
                async with leading(self.store.pool, "matcher") as connection, AsyncExitStack() as stack:
                    stack.push_async_callback(await self.bus.subscribe("matcher", "jobs", self.partitions, self._heard))
                    pilots = await self.bus.subscribe("matcher-pilots", "pilots", self.partitions, self._pilots)
                    stack.push_async_callback(pilots)
                    stack.push_async_callback(await self.bus.provide("match", self._asked))
                    stack.push_async_callback(await self.bus.provide("why", self._why))
                    governing = asyncio.create_task(self._govern())
                    stack.callback(governing.cancel)
                    self._trouble.over()
                    await self._lead(connection)
            except (*TROUBLE, Refused) as fault:
                self._trouble.about(fault)
                self._reload = True
                self._ready.clear()
                await asyncio.sleep(1)

    async def _lead(self, connection: Connection) -> None:
        self.market = await market(connection)
        self._work.set()
        while True:
            await self._work.wait()
            self._work.clear()
            if self._reload:
                await self._load(connection)
            while await self._round(connection):
                pass

    async def _load(self, connection: Connection) -> None:
        """Read the state anew; what is heard meanwhile may be in what is read, or may not."""
        self._reload, self._meanwhile = False, []
        state = await loaded(connection, self.policy, time.time())
        state.govern(self.policy)  # which may have changed while it was read
        self.guard.watch(state)
        state.reserved = self.state.reserved
        heard(state, self._meanwhile, time.time(), self._news)
        self.state, self._meanwhile = state, None
        self._ready.set()
        self._look_again()

    async def _why(self, body: bytes) -> bytes:
        """What is to say of a task queue."""
        await self._ready.wait()
        queue = msgspec.json.decode(body, type=Question).queue
        return msgspec.json.encode(explain(self.state, self.market, queue, time.time()))

    async def _pilots(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            left(self.market, envelope.events)

    async def _asked(self, body: bytes) -> bytes:
        """An offer: answered when there is a job for it, or when its wait is over."""
        ask = msgspec.json.decode(body, type=Ask)
        runs = self.policy.platforms.get(ask.offer.platform, ())
        id_ = ask.offer.offer
        parked = self.offers.get(id_) or Parked(msgspec.structs.replace(ask.offer, runs=runs))
        self.offers[id_] = parked
        self.market.offered(parked.offer, time.time())
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
        """Queues that got work, jobs that ended; an empty batch means that some may have been missed."""
        moment = time.time()
        for envelope in envelopes:
            heard(self.state, envelope.events, moment, self._news)
            if self._meanwhile is not None:
                self._meanwhile += envelope.events
        self._reload |= not envelopes
        ended, self._news.left = self._news.left, []
        for taken, well in ended:
            self.guard.ended(taken, well, moment)
        if ended:
            self._look_again(STOPPED)
        if self.offers and (self._news.queues or self._reload):
            self._work.set()

    def _let_go(self) -> None:
        """Somebody is suspended, or is no more: what waits is looked at again."""
        self._reload = True
        self._work.set()

    async def _govern(self) -> None:
        """Follow the configuration: another policy is in force at once, also for what waits already."""
        while True:
            changed = self.configuration.changed
            self.policy = policy_of(self.configuration.current, lambda path: introduced(self.configuration, path))
            self.state.govern(self.policy)
            self._look_again()
            await changed.wait()

    def _look_again(self, because: set[str] | None = None) -> None:
        """Offers that wait are compared again: all, or those that were kept from something by one of these."""
        for parked in self.offers.values():
            if because is None or because & parked.decision.blocked.keys():
                parked.fresh = True
                self._work.set()

    async def _round(self, connection: Connection) -> bool:
        """Serve what can be served in one transaction; whether it is worth trying again at once."""
        await repeated(connection, self.offers.values())
        moment = time.time()
        chosen = self._choose(moment)
        noted = [parked for parked in self.offers.values() if not parked.noted]
        if not chosen:
            await note(connection, noted)
            return False
        try:
            async with connection.transaction():
                served = await claimed(connection, chosen)
                await self.decider.write(connection, "jobs", [each.event for each in served])
                await note(connection, noted)
                if moment - self._kept > KEEP_EVERY:
                    self._kept = moment
                    await keep(connection, self.state, moment)
                rest = await connection.fetch(NEXT, list({each.taken.queue.id for each in chosen}))
        except (Conflict, asyncpg.TransactionRollbackError):
            self._undo(chosen, moment)
            return True
        except BaseException:
            self._undo(chosen, moment)
            raise
        self.wakes.wake("jobs")
        self._answer(served)
        return await self._settle(chosen, served, rest, moment)

    def _undo(self, chosen: Sequence[Chosen], moment: float) -> None:
        for each in chosen:
            self.state.undo(each.taken, moment)
            each.parked.fresh = not each.parked.answer.done()

    def _choose(self, moment: float) -> list[Chosen]:
        """The queue for each offer; one that waits already only looks when a queue that fits got something new."""
        changed, self._news.queues = self._news.queues, set()
        awake = awakened(self.state, changed)
        barren: set[Kind] = set()
        chosen: list[Chosen] = []
        for parked in list(self.offers.values()):
            if parked.answer.done() or not (parked.fresh or awake(parked)):
                continue
            if len(chosen) >= AT_ONCE:
                parked.fresh = True
                continue
            kind = parked.kind = self.state.index.kind(parked.offer, parked.kind)
            if kind in barren and parked.noted:
                parked.fresh = False
                continue
            parked.fresh = False
            decision = choose(self.state, parked.offer, moment, random.getrandbits(32))
            parked.decision = decision
            if decision.queue:
                chosen.append(Chosen(parked, decision, self.state.take(decision, parked.offer, moment)))
            elif not OF_ONE_PILOT & decision.blocked.keys():
                barren.add(kind)
            self._keep_free(decision, parked.offer, moment)
        return chosen

    def _keep_free(self, decision: Decision, offer: Offer, moment: float) -> None:
        """What a choice asks for besides the match: a pilot kept free, another look when a delay is over."""
        if decision.held_for:
            self.state.reserve(decision, offer, moment)
        if decision.again:
            asyncio.get_running_loop().call_later(decision.again - moment + ASIDE, self._look_again, STOPPED)

    def _answer(self, served: Sequence[Served]) -> None:
        for (parked, _, taken), _, job, attempt in served:
            self.state.hold(job, taken)
            self.guard.began(taken)
            self.market.matched(taken.queue.id, taken.since)
            self.offers.pop(parked.offer.offer, None)
            if not parked.answer.done():
                parked.answer.set_result(Match(parked.offer.offer, job, attempt))

    async def _settle(
        self, chosen: Sequence[Chosen], served: Sequence[Served], rest: Sequence[asyncpg.Record], moment: float
    ) -> bool:
        """What is left in the queues; offers that got nothing look at the others."""
        given = {id(each.chosen.parked) for each in served}
        short = [each for each in chosen if id(each.parked) not in given]
        self._undo(short, moment)
        alive = set()
        for row in rest:
            entry = self.state.entry(row["queue"])
            if row["priority"] is None:
                self.state.empty(row["queue"])
            elif entry:
                queue = msgspec.structs.replace(entry.queue, priority=row["priority"])
                self.state.put(queue, max(entry.waiting, 1), row["since"])
                alive.add(row["queue"])
        if any(each.taken.queue.id in alive for each in short):  # somebody else is at those jobs
            await asyncio.sleep(ASIDE)
        return bool(short) or any(parked.fresh for parked in self.offers.values())
