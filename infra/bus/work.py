"""What is done with a gathered batch, the same on every bus: consumers, the command side, their tries and failures."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import uuid4

import structlog
from msgspec import Struct

from domain.errors import Code, Refused
from infra.bus.gather import Held
from infra.bus.interface import Burial, EnvelopeHandler, RequestHandler
from infra.bus.messages import DeadLetter, Envelope, Outcome, Request, encode, kept, now

UNREADABLE = frozenset(code.slug for code in (Code.MALFORMED, Code.TOPIC_UNKNOWN, Code.VERSION_UNKNOWN))
AWAY = (Code.DATABASE_AWAY, Code.BUS_AWAY)  # the world is broken, not the command: wait in place, count no try

_log = structlog.get_logger()


class Wake(Struct, frozen=True):
    """Something may have been missed."""


class Incoming(Struct, frozen=True):
    """One message at the command side. `answer_to` is where its asker waits, None for one that was sent."""

    requests: list[Request]
    answer_to: Any = None
    attempts: int = 0
    first_at: datetime | None = None


class Post(Protocol):
    """How the command side reaches the outside; each bus has its own."""

    async def answer(self, incoming: Incoming, outcomes: list[Outcome]) -> None:
        """Tell the asker, if it is still there; never raises."""

    async def again(self, request: Request, attempts: int, first_at: datetime) -> bool:
        """Have it delivered again after a delay; False when it had all its tries. Raises BUS_AWAY."""


Arrival = Envelope | Wake | DeadLetter
Task = Incoming | list[DeadLetter]
Verdict = Outcome | Exception


def unreadable(source: str, body: bytes, refusal: Refused, topic: str = "", actor: str = "") -> DeadLetter:
    """The dead letter of a message that nobody can read."""
    at = now()
    return DeadLetter(uuid4(), source, topic, "", actor, kept(body), refusal.code.slug, refusal.what, 1, at, at)


def broken(source: str, request: Request, error: Exception, attempts: int, first_at: datetime) -> DeadLetter:
    """The dead letter of a command that breaks its handler each time."""
    return _letter(source, request, Code.BROKEN.slug, repr(error), attempts, first_at)


def _letter(source: str, request: Request, reason: str, detail: str, attempts: int, first_at: datetime) -> DeadLetter:
    body = kept(encode(request))
    return DeadLetter(request.id, source, request.topic, request.vo, request.actor, body, reason, detail, attempts,
                      first_at, now())  # fmt: skip


class Consumer:
    """Hands envelopes to one handler; a partition whose envelopes fail does not hold up the others."""

    def __init__(self, name: str, handle: EnvelopeHandler, on_dead: Burial) -> None:
        self.name, self.handle, self.on_dead = name, handle, on_dead

    async def work(self, batch: Sequence[Held[Arrival]]) -> Sequence[Held[Arrival]]:
        """What is to be handed over again."""
        envelopes = [held for held in batch if isinstance(held.item, Envelope)]
        wakes = [held for held in batch if isinstance(held.item, Wake)]
        failed: list[Held[Arrival]] = []
        for held in batch:
            if isinstance(held.item, DeadLetter):
                (wakes if await buried(self.on_dead, held.item) else failed).append(held)
        if wakes:
            failed += await self._handed(wakes)
        return failed + (await self._handed(envelopes) if envelopes else [])

    async def _handed(self, batch: list[Held[Arrival]]) -> list[Held[Arrival]]:
        try:
            await self.handle([held.item for held in batch if isinstance(held.item, Envelope)])
            return []
        except Exception as error:
            lanes = dict.fromkeys(held.lane for held in batch)
            if len(lanes) > 1:
                parts = [await self._handed([held for held in batch if held.lane == lane]) for lane in lanes]
                return [held for part in parts for held in part]
            _log.warning("bus.consumer_failed", consumer=self.name, lane=[*lanes], error=repr(error))
            return batch


class Desk:
    """The command side: has what gathered decided, answers, and sees to what broke."""

    def __init__(self, handle: RequestHandler, post: Post, on_dead: Burial) -> None:
        self.handle, self.post, self.on_dead = handle, post, on_dead

    async def work(self, batch: Sequence[Held[Task]]) -> Sequence[Held[Task]]:
        """What is to be handed over again."""
        timely = [request for held in batch if isinstance(held.item, Incoming) for request in _timely(held.item)]
        verdicts = dict(zip(map(id, timely), await self._verdicts(timely), strict=True))
        return [held for held in batch if not await self._done(held.item, verdicts)]

    async def _done(self, item: Task, verdicts: dict[int, Verdict]) -> bool:
        if isinstance(item, list):
            return all([await buried(self.on_dead, letter) for letter in item])
        late = Refused(Code.DEADLINE)
        pairs = [(request, verdicts.get(id(request), late)) for request in item.requests]
        if item.answer_to is not None:
            await self.post.answer(item, [await self._answer(*pair) for pair in pairs])
            return True
        pairs = [(request, _passing(verdict)) for request, verdict in pairs]
        broke = [(request, verdict) for request, verdict in pairs if isinstance(verdict, Exception)]
        if any(isinstance(error, Refused) and error.code in AWAY for _, error in broke):
            return False
        lost = [(request, verdict) for request, verdict in pairs if _unheard(request, verdict)]
        return all([await self._tried(item, *pair) for pair in broke] + [await self._unheard(*pair) for pair in lost])

    async def _unheard(self, request: Request, verdict: Verdict) -> bool:
        """A refusal whose asker waits for no answer must not vanish without a word."""
        assert isinstance(verdict, Outcome)
        refusal = Refused(Code.of(verdict.code or ""), **verdict.parameters)
        return await buried(self.on_dead, _letter("commands", request, verdict.code or "", refusal.what, 1, now()))

    async def _answer(self, request: Request, verdict: Verdict) -> Outcome:
        if isinstance(verdict, Outcome):
            return verdict
        if isinstance(verdict, Refused):
            return Outcome(request.id, False, verdict.code.slug, verdict.parameters)
        await buried(self.on_dead, broken("requests", request, verdict, 1, now()))
        return Outcome(request.id, False, Code.BROKEN.slug, {"reference": str(request.id)})

    async def _tried(self, incoming: Incoming, request: Request, error: Exception) -> bool:
        attempts, first_at = incoming.attempts + 1, incoming.first_at or now()
        try:
            if await self.post.again(request, attempts, first_at):
                return True
        except Refused:
            return False
        return await buried(self.on_dead, broken("commands", request, error, attempts, first_at))

    async def _verdicts(self, requests: Sequence[Request]) -> list[Verdict]:
        """Outcomes, and exceptions of the commands that broke: a batch that broke is halved until they stand alone."""
        if not requests:
            return []
        try:
            outcomes = await self.handle(requests)
            if len(outcomes) != len(requests):
                raise ValueError(f"{len(outcomes)} outcomes for {len(requests)} commands")
            return [*outcomes]
        except Exception as error:
            if isinstance(error, Refused) and error.code in AWAY:
                return [error] * len(requests)
            if len(requests) == 1:
                return [_verdict(requests[0], error)]
        middle = len(requests) // 2
        return await self._verdicts(requests[:middle]) + await self._verdicts(requests[middle:])


async def buried(on_dead: Burial, letter: DeadLetter) -> bool:
    """Whether the letter could be written down; if not, the message stays where it is."""
    try:
        await on_dead(letter)
    except Exception as error:
        _log.warning("bus.dead_letter_not_kept", id=str(letter.id), reason=letter.reason, error=repr(error))
        return False
    return True


def _timely(incoming: Incoming) -> list[Request]:
    """The commands somebody still waits for, and all that were sent."""
    if incoming.answer_to is None:
        return incoming.requests
    at = now()
    return [request for request in incoming.requests if request.deadline is None or request.deadline > at]


def _passing(verdict: Verdict) -> Verdict:
    """A refusal that only means "not now" is a reason to try again, when nobody waits for it."""
    busy = isinstance(verdict, Outcome) and not verdict.ok and verdict.code == Code.BUSY.slug
    return Refused(Code.BUSY) if busy else verdict


def _unheard(request: Request, verdict: Verdict) -> bool:
    """Whether nobody would ever learn of a refusal that somebody must: what means nothing, and all of a program's."""
    if isinstance(verdict, Exception) or verdict.ok:
        return False
    return verdict.code in UNREADABLE or request.actor.startswith("program:")


def _verdict(request: Request, error: Exception) -> Verdict:
    if isinstance(error, Refused):
        return Outcome(request.id, False, error.code.slug, error.parameters)
    _log.error("bus.command_broke", topic=request.topic, id=str(request.id), exc_info=error)
    return error
