"""An offer on its way to the matcher and back: what a gateway asks, what waits, what is remembered of it for `why`."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from domain.errors import Code, Refused
from domain.match_state import Decision, State, Taken
from domain.matching import Offer, Queue, fits
from domain.messages import Event, Recorded
from domain.queue_index import Kind
from domain.why import Explanation, Question
from infra.bus.interface import Bus
from infra.bus.messages import now
from infra.store import Connection

MANY = 64  # queues with news; beyond that offers just look at everything
NOTE = """insert into offers (vo, pilot, offer, decision, at)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
    on conflict (vo, pilot) do update set offer = excluded.offer, decision = excluded.decision, at = excluded.at"""


KNOWN = "select offer, vo, pilot, job, attempt from assignments where offer = any($1::uuid[])"


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
        self.fresh = True  # to be compared with all queues
        self.asking = 0  # a pilot whose gateway died asks again while the first question still waits
        self.kind: Kind = (0, 0)
        self.noted = False
        self.checked = False  # whether this offer got a job before
        self.decision = Decision(None)


class Chosen(NamedTuple):
    """An offer with its queue, before the job is claimed."""

    parked: Parked
    decision: Decision
    taken: Taken


class Served(NamedTuple):
    """A match that is decided."""

    chosen: Chosen
    event: Recorded[Event]
    job: int
    attempt: int


def awakened(state: State, changed: set[str]) -> Callable[[Parked], bool]:
    """Which offers have something new to look at, when these queues got work."""
    entries = [entry for id_ in changed if (entry := state.entry(id_)) and entry.waiting > 0]
    if len(entries) > MANY:
        return lambda parked: True
    known: dict[Kind, bool] = {}
    if not entries:
        return lambda parked: False

    def awake(parked: Parked) -> bool:
        parked.kind = state.index.kind(parked.offer, parked.kind)
        if parked.kind not in known:
            known[parked.kind] = any(fits(entry.queue.requirements, parked.offer) for entry in entries)
        return known[parked.kind]

    return awake


async def repeated(connection: Connection, offers: Iterable[Parked]) -> None:
    """Answer those who ask again with what they got; one that is somebody else's offer gets nothing."""
    fresh = {parked.offer.offer: parked for parked in offers if not parked.checked}
    for id_, vo, pilot, job, attempt in await connection.fetch(KNOWN, list(fresh)) if fresh else ():
        offer, answer = fresh[id_].offer, fresh[id_].answer
        if not answer.done():
            answer.set_result(Match(id_, job, attempt) if (vo, pilot) == (offer.vo, offer.pilot) else Match(id_))
    for parked in fresh.values():
        parked.checked = True


async def note(connection: Connection, parked: Sequence[Parked]) -> None:
    """Keep what each pilot offered last and what came of it: `why` answers from this."""
    if not parked:
        return
    for each in parked:
        each.noted = True
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


async def why(bus: Bus, queue: Queue) -> Explanation:
    """What the matcher has to say of a task queue.

    Raises:
        Refused: BUS_AWAY; DEADLINE, when no matcher answers.
    """
    answer = await bus.call("why", msgspec.json.encode(Question(queue)), 10)
    return msgspec.json.decode(answer, type=Explanation)


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
