"""`submission.make`: jobs of other programs, from the bus into the same hands as those that come over HTTP."""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

import msgspec
from msgspec import Raw
from sqlalchemy import Select

from domain.errors import Code, Refused
from domain.limits import Limits
from domain.messages import Command
from domain.submission import MakeSubmission, Source
from domain.values import subject
from gateway.intake import first_fault, limits_of, submit, understood
from gateway.ports import Answer, Principal, Reservation, Row
from infra.bus.interface import RequestHandler
from infra.bus.messages import Outcome, Request, now
from infra.configuration import Configurations
from infra.front import Service
from infra.intake import keep_bodies, reserve
from infra.runtime import Runtime
from infra.store import AWAY, Store
from infra.suspensions import Suspensions
from infra.views import DIALECT

TOLD = ("code", "detail", "who", "next")  # what the code itself says
GROUP = "programs"  # the group of jobs that no person submitted


def service(runtime: Runtime) -> Service:
    """The service of one process."""
    limits = Limits(max_jobs=runtime.settings.max_jobs)
    return Submissions(runtime.store, runtime.dispatcher(), limits, runtime.suspensions, runtime.configuration)


class Submissions:
    """Makes submissions. The same id with the same content gives the same jobs, however often it comes."""

    def __init__(
        self, store: Store, decide: RequestHandler, limits: Limits, barred: Suspensions, configuration: Configurations
    ) -> None:
        self.store = store
        self.barred = barred
        self.decide = decide
        self.limits = limits
        self.configuration = configuration

    async def __call__(self, request: Request) -> Outcome:
        """The outcome: `jobs` are the numbers, in order.

        Raises:
            Refused: what is wrong with the first job, or with the whole; DATABASE_AWAY.
        """
        if request.deadline and request.deadline < now():
            raise Refused(Code.DEADLINE, seconds=0)
        try:
            return await self._made(request)
        except AWAY as fault:
            raise Refused(Code.DATABASE_AWAY) from fault

    async def _made(self, request: Request) -> Outcome:
        command = self.store.codec.command(request.topic, request.data)
        assert isinstance(command, MakeSubmission)
        who = principal(request)
        if refusal := self.barred.refusal(who.vo, who.subject, who.group):
            raise refusal
        limits = limits_of(self.configuration.current, who.vo, self.limits)
        accepted = await asyncio.to_thread(understood, _source(command), limits, who)
        if accepted.rejected:
            first, every = first_fault(accepted)
            raise Refused(first.code, **first.parameters | every)
        id_ = uuid5(request.id, f"{who.vo}/{who.actor}")  # one program's ids are none of another's business
        side = Side(self.store, self.decide, request)
        made = await submit(side, who, id_, sha256(bytes(request.data)).hexdigest(), accepted)
        if fault := next((job["error"] for job in made["jobs"] if "error" in job), None):
            told = {name: value for name, value in fault.items() if name not in TOLD}
            raise Refused(Code.of(fault["code"]), **told)
        return Outcome(request.id, True, parameters={"jobs": [job["job"] for job in made["jobs"]]})


class Side:
    """What a submission needs of the world, seen from the command side: it decides here and now."""

    def __init__(self, store: Store, decide: RequestHandler, cause: Request) -> None:
        self.store = store
        self.decide = decide
        self.cause = cause

    async def ask(self, who: Principal, commands: Sequence[tuple[UUID, Command]], vo: str = "") -> list[Answer]:
        outcomes = await self.decide([self._request(*one) for one in commands])
        return [Answer(one.id, one.version, _refusal(one), one.received) for one in outcomes]

    async def read(self, query: Select[Any]) -> list[Row]:
        text = str(query.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
        return [dict(row) for row in await self.store.pool.fetch(text)]

    async def keep_bodies(self, bodies: Mapping[str, bytes]) -> None:
        await keep_bodies(self.store, bodies)

    async def reserve(self, submission: UUID, vo: str, digest: str, count: int) -> Reservation:
        return await reserve(self.store, submission, vo, digest, count)

    def _request(self, id_: UUID, command: Command) -> Request:
        cause = self.cause
        return Request(id=id_, topic=command.TOPIC, data=Raw(msgspec.json.encode(command)), vo=cause.vo,
                       actor=cause.actor, correlation=cause.correlation or cause.id, cause=cause.id,
                       rights=cause.rights, token=cause.token)  # fmt: skip


def principal(request: Request) -> Principal:
    """Who submits: a program owns its jobs under a pseudonym, in the VO of the routing key."""
    kind, _, name = request.actor.partition(":")
    return Principal(kind, subject(request.vo, kind, name), request.vo, name, GROUP, frozenset(request.rights))


def _source(command: MakeSubmission) -> Source:
    if bool(command.jobs) == bool(command.jdl):
        raise Refused(Code.MALFORMED, problem="expected either `jobs`, a list of descriptions, or `jdl`, a text")
    return command.jobs or command.jdl


def _refusal(outcome: Outcome) -> Refused | None:
    return None if outcome.ok else Refused(Code.of(outcome.code or ""), **outcome.parameters)
