"""The gateway's world, made of the runtime: the bus for commands, PostgreSQL for rows, the object store for bytes."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import InterfaceError as EngineAway
from sqlalchemy.exc import TimeoutError as EngineBusy
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import Code, Refused
from domain.matching import Offer, Queue
from domain.messages import Command, Event, Recorded
from domain.schema import Configuration
from domain.why import Explanation
from gateway.data.places import Storages
from gateway.edge import correlation
from gateway.identity import Identity
from gateway.objects import Objects
from gateway.ports import Answer, Given, Principal, Reservation, Row
from infra import audit, cuts, deadletters, epoch, intake, offers, status
from infra.bus.messages import Outcome, Request
from infra.runtime import Runtime
from infra.store import AWAY, SELECT, table
from infra.tokens import Tokens
from projections.audit import Sought

ANSWER = 30.0  # seconds a command, or what is read of the database, may take
CHUNK = 2000
MOST_OFFERS = 10_000  # that are read for one question
PAGE = 500  # events a listener gets at once
LOOK = 5.0  # seconds between looks of a listener whom nobody wakes


@asynccontextmanager
async def _database() -> AsyncIterator[None]:
    """No request waits for ever: for a connection that others have, for a lock, for a server that hangs."""
    try:
        async with asyncio.timeout(ANSWER):
            yield
    except (*AWAY, DBAPIError, EngineAway, EngineBusy) as fault:
        raise Refused(Code.DATABASE_AWAY) from fault


class RuntimeWorld:
    """`gateway.ports.World` on a runtime."""

    def __init__(
        self, runtime: Runtime, engine: AsyncEngine, objects: Objects, tokens: Tokens, identity: Identity,
        storages: Storages,
    ) -> None:  # fmt: skip
        self.objects = objects
        self.identity = identity
        self.storages = storages
        self._runtime = runtime
        self._engine = engine
        self._tokens = tokens
        self._encode = msgspec.json.Encoder().encode
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Let go of everybody who is held: offers and listeners."""
        self._closing.set()

    async def _or_closing(self, task: asyncio.Task[Any], longest: float | None = None) -> None:
        """Wait for the task, for the end of the gateway, or for so many seconds."""
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait([task, closing], timeout=longest, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
            if not task.done() and longest:
                task.cancel()

    async def ask(self, who: Principal, commands: Sequence[tuple[UUID, Command]], vo: str = "") -> list[Answer]:
        rights, vo = sorted(who.rights), vo or who.vo
        requests = [
            Request(id=id_, topic=command.TOPIC, data=msgspec.Raw(self._encode(command)), vo=vo, actor=who.actor,
                    rights=rights, token=who.token, group=who.group, correlation=correlation.get())
            for id_, command in commands
        ]  # fmt: skip
        answers: list[Answer] = []
        for start in range(0, len(requests), CHUNK):
            outcomes = await self._runtime.bus.request(requests[start : start + CHUNK], ANSWER)
            answers += [_answer(outcome) for outcome in outcomes]
        return answers

    async def read(self, query: Select[Any]) -> list[Row]:
        async with _database():
            async with self._engine.connect() as connection:
                return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def history(self, log: str, stream: UUID, upto: datetime | None = None) -> list[Recorded[Event]]:
        async with _database():
            events = await self._runtime.store.history(log, stream)
            return await cuts.known(self._runtime.pool, log, events, upto) if upto else events

    async def recent(self, vo: str, after: int, limit: int) -> list[Recorded[Event]]:
        log = table("jobs")
        order = "position > $2 order by position" if after else "$2::bigint = 0 order by position desc"
        async with _database():
            rows = await self._runtime.pool.fetch(
                f"{SELECT.format(log=log)} where vo = $1 and {order} limit $3", vo, after, limit
            )
            events = [self._runtime.store.recorded(row) for row in rows]
        return events if after else events[::-1]

    async def audit(self, sought: Sought, wait: float = 0) -> list[Recorded[Event]]:
        woken = self._runtime.wakes.event("identity.final")
        try:
            async with _database():
                events = await audit.found(self._runtime.store, sought)
            if events or not wait:
                return events
            await self._or_closing(asyncio.create_task(woken.wait()), wait)
            async with _database():
                return await audit.found(self._runtime.store, sought)
        finally:
            self._runtime.wakes.drop("identity.final", woken)

    async def follow(self, vo: str) -> AsyncIterator[Recorded[Event]]:
        woken = self._runtime.wakes.event("jobs.final")
        try:
            last = await self._head()
            while not self._closing.is_set():
                woken.clear()
                head = await self._head()
                events = [e for e in await self.recent(vo, last or -1, PAGE) if e.position <= head]
                for event in events:
                    yield event
                last = events[-1].position if len(events) == PAGE else max(last, head)
                if not events:
                    await self._or_closing(asyncio.create_task(woken.wait()), LOOK)
        finally:
            self._runtime.wakes.drop("jobs.final", woken)

    async def _head(self) -> int:
        """How far the log of jobs is final."""
        async with _database():
            found = await self._runtime.pool.fetchval("select position from log_heads where log = $1", table("jobs"))
        return int(found)

    async def body(self, digest: str) -> bytes:
        async with _database():
            return (await self._runtime.store.body(digest)).encode()

    async def keep_bodies(self, bodies: Mapping[str, bytes]) -> None:
        async with _database():
            await intake.keep_bodies(self._runtime.store, bodies)

    async def reserve(self, submission: UUID, vo: str, digest: str, count: int) -> Reservation:
        async with _database():
            return await intake.reserve(self._runtime.store, submission, vo, digest, count)

    async def offer(self, offer: Offer, wait: float) -> Given:
        asking = asyncio.create_task(offers.ask(self._runtime.bus, offer, wait))
        await self._or_closing(asking)
        if not asking.done():  # the pilot asks again with the same offer, and gets what was decided meanwhile
            asking.cancel()
            return Given(0, 0)
        match = asking.result()
        return Given(match.job, match.attempt)

    async def explain(self, queue: Queue) -> Explanation:
        return await offers.why(self._runtime.bus, queue)

    async def offers(self, vo: str, status: str = "Running") -> list[tuple[Offer, datetime, dict[str, Any]]]:
        async with _database():
            rows = await self._runtime.pool.fetch(
                "select o.offer, o.decision, o.at from offers o join pilots p on p.vo = o.vo and p.stamp = o.pilot "
                "where o.vo = $1 and p.status = $2 limit $3",
                vo,
                status,
                MOST_OFFERS,
            )
        decode = msgspec.json.decode
        return [(decode(row["offer"], type=Offer), row["at"], decode(row["decision"] or "{}")) for row in rows]

    def heard(self, stream: UUID, report: dict[str, Any] | None = None) -> None:
        self._runtime.liveness.heard(stream, report)

    async def last_heard(self, streams: Sequence[UUID]) -> dict[UUID, tuple[datetime, dict[str, Any]]]:
        async with _database():
            rows = await self._runtime.pool.fetch(
                "select stream_id, seen, report from liveness where stream_id = any($1::uuid[])", list(streams)
            )
        return {row["stream_id"]: (row["seen"], msgspec.json.decode(row["report"] or "{}")) for row in rows}

    async def status(self) -> dict[str, Any]:
        return await status.collect(self._runtime)

    async def dead_letters(self, vo: str, limit: int = 100) -> list[Row]:
        async with _database():
            return await deadletters.listed(self._runtime.pool, vo, limit)  # type: ignore[return-value]

    async def send_again(self, vo: str, letters: Sequence[UUID]) -> list[Answer]:
        async with _database():
            found = await deadletters.named(self._runtime.pool, vo, letters)
        answers = []
        for id_ in letters:
            try:
                if id_ not in found:
                    raise Refused(Code.NOT_FOUND, thing="dead letter", name=str(id_))
                await self._runtime.bus.send([found[id_].request()])
                await deadletters.sent_again(self._runtime.pool, id_)
                answers.append(Answer(id_))
            except Refused as refusal:
                answers.append(Answer(id_, refusal=refusal))
        return answers

    async def unknown(self, vo: str, pilot: str, attempts: Sequence[tuple[int, int]] = ()) -> None:
        async with _database():
            await epoch.unknown(self._runtime.pool, vo, pilot, attempts)

    def proved(self, vo: str, stamp: str, code: str = "") -> None:
        self._runtime.proofs.note(vo, stamp, code)

    async def proofs(self, vo: str, stamp: str) -> list[Row]:
        async with _database():
            return list(await self._runtime.proofs.of(vo, stamp))

    def suspended(self, vo: str, subject: str = "", group: str = "", *, alone: bool = False) -> Refused | None:
        return self._runtime.suspensions.refusal(vo, subject, group, alone=alone)

    def configuration(self) -> Configuration:
        return self._runtime.configuration.current

    def issue(self, who: Principal, seconds: int) -> str:
        return self._tokens.issue(who, seconds)

    def verify(self, token: str) -> Principal:
        return self._tokens.verify(token)


def _answer(outcome: Outcome) -> Answer:
    refusal = None if outcome.ok else Refused(Code.of(outcome.code or "broken"), **outcome.parameters)
    told = outcome.parameters if outcome.ok else {}
    return Answer(outcome.id, outcome.version, refusal, outcome.received, told)
