"""The command side: what the bus brings is decided in one transaction per batch, each command once."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.messages import Command, Origin
from infra.bus.messages import Outcome, Request, now
from infra.decider import Ask, Decider, Verdict
from infra.store import AWAY, CONFLICTS, Conflict, Connection, Store

REMEMBER = """insert into commands (id, ok, code, parameters, stream_id, version, received)
    select * from unnest($1::uuid[], $2::boolean[], $3::text[], $4::text[], $5::uuid[], $6::int[], $7::int[])
    on conflict (id) do nothing returning id"""
REFUSED = """insert into refusals (day, vo, topic, code, count)
    select current_date, * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    on conflict (day, vo, topic, code) do update set count = refusals.count + excluded.count"""
RECALL = """update commands c set received = c.received + u.times from unnest($1::uuid[], $2::int[]) u (id, times)
    where c.id = u.id returning c.id, c.ok, c.code, c.parameters, c.stream_id, c.version, c.received"""


class Dispatcher:
    """Group commit of commands: everything that has gathered is one transaction; a refusal touches only its asker."""

    def __init__(self, decider: Decider, committed: Callable[[str], None]) -> None:
        self.decider = decider
        self.store: Store = decider.store
        self.codec = decider.store.codec
        self.committed = committed

    async def __call__(self, requests: Sequence[Request]) -> list[Outcome]:
        """The outcomes, in order.

        Raises:
            Refused: DATABASE_AWAY, nothing was decided; BUSY, others were faster ten times in a row.
        """
        try:
            return await self._handle(requests)
        except AWAY as fault:
            raise Refused(Code.DATABASE_AWAY) from fault

    async def _handle(self, requests: Sequence[Request]) -> list[Outcome]:
        for attempt in range(CONFLICTS):
            try:
                async with self.store.transaction() as connection:
                    outcomes = await self._decide(connection, requests)
                for log in {self.decider.system.commands[c].LOG for c in self._kinds(requests)}:
                    self.committed(log)
                return outcomes
            except Conflict:
                if attempt > 2 and len(requests) > 1:  # one quarrelsome stream must not hold up its neighbours
                    return [await self._alone(one) for one in requests]
        raise Refused(Code.BUSY)

    async def _alone(self, request: Request) -> Outcome:
        try:
            return (await self._handle([request]))[0]
        except Refused as refusal:
            return _refused(request.id, refusal)

    async def _decide(self, connection: Connection, requests: Sequence[Request]) -> list[Outcome]:
        times = self._times(requests)
        known = await self._recall(connection, times)
        answers: dict[UUID, Outcome] = dict(known)
        asks: list[tuple[UUID, Ask]] = []
        for request in requests:
            if (name := known_as(request)) in answers:
                continue
            try:
                answers[name] = Outcome(name, True)  # its place, until it is decided below
                asks.append((name, self._ask(request)))
            except Refused as refusal:
                answers[name] = _refused(name, refusal)
        verdicts = await self.decider.decide(connection, [ask for _, ask in asks])
        for (name, _), verdict in zip(asks, verdicts, strict=True):
            answers[name] = _outcome(name, verdict)
        await self._remember(connection, [answers[name] for name, ask in asks if ask.command.KEYED], times)
        await self._count(connection, asks, answers)
        return [replace(answers[known_as(request)], id=request.id) for request in requests]

    def _ask(self, request: Request) -> Ask:
        if request.deadline and request.deadline < now():
            raise Refused(Code.DEADLINE, seconds=0)
        command = self.codec.command(request.topic, request.data)
        try:
            hash(command.stream)
        except ValueError as fault:
            raise Refused(Code.MALFORMED, problem=str(fault)) from fault
        origin = Origin(
            request.actor, request.vo, now(), request.cause or request.id, request.correlation or request.id,
            frozenset(request.rights), request.token, request.group,
        )  # fmt: skip
        return Ask(command, origin)

    def _kinds(self, requests: Sequence[Request]) -> set[type[Command]]:
        return {self.codec.commands[r.topic] for r in requests if r.topic in self.codec.commands}

    def _times(self, requests: Sequence[Request]) -> Counter[UUID]:
        """How often each command that is remembered by its id is in this batch."""
        kinds = ((known_as(request), self.codec.commands.get(request.topic)) for request in requests)
        return Counter(id_ for id_, command in kinds if command is not None and command.KEYED)

    async def _count(
        self, connection: Connection, asks: Sequence[tuple[UUID, Ask]], answers: dict[UUID, Outcome]
    ) -> None:
        """Refusals are counted, of those commands too that nobody remembers."""
        found = Counter(
            (ask.origin.vo, ask.command.TOPIC, answers[name].code) for name, ask in asks if not answers[name].ok
        )
        if found:
            keys = sorted(found)  # the same order everywhere: two batches wait and do not deadlock
            columns = [list(column) for column in zip(*keys, strict=True)]
            await connection.execute(REFUSED, *columns, [found[key] for key in keys])

    async def _recall(self, connection: Connection, times: Counter[UUID]) -> dict[UUID, Outcome]:
        """The outcomes of commands that came before; each arrival is counted."""
        if not times:
            return {}
        rows = await connection.fetch(RECALL, list(times), list(times.values()))
        return {row["id"]: _recalled(row) for row in rows}

    async def _remember(self, connection: Connection, outcomes: list[Outcome], times: Counter[UUID]) -> None:
        if not outcomes:
            return
        outcomes.sort(key=lambda outcome: outcome.id)  # two batches with the same commands wait, and do not deadlock
        kept = await connection.fetch(
            REMEMBER,
            [o.id for o in outcomes],
            [o.ok for o in outcomes],
            [o.code for o in outcomes],
            [msgspec.json.encode(o.parameters).decode() if o.parameters else None for o in outcomes],
            [o.stream for o in outcomes],
            [o.version for o in outcomes],
            [times[o.id] for o in outcomes],
        )
        if len(kept) < len(outcomes):
            raise Conflict("the same command is being decided elsewhere")


def known_as(request: Request) -> UUID:
    """The id under which a command is remembered. Programs choose theirs: they must not meet those of anybody else."""
    if request.actor.startswith("program:"):
        return uuid5(request.id, f"{request.vo}/{request.actor}")
    return request.id


def _outcome(id_: UUID, verdict: Verdict) -> Outcome:
    if verdict.refusal:
        return _refused(id_, verdict.refusal)
    return Outcome(id_, True, stream=verdict.stream, version=verdict.version)


def _refused(id_: UUID, refusal: Refused) -> Outcome:
    return Outcome(id_, False, refusal.code.slug, refusal.parameters)


def _recalled(row: Any) -> Outcome:
    parameters = msgspec.json.decode(row["parameters"]) if row["parameters"] else {}
    return Outcome(row["id"], row["ok"], row["code"], parameters, row["stream_id"], row["version"], row["received"])
