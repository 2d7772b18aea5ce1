"""GET /events: what happens in a VO, as it happens, as server-sent events that can be resumed."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from domain.job import Job
from domain.messages import Event, Recorded
from domain.values import job_number
from gateway.holding import Held, Listening
from gateway.ports import Outside, Principal, World
from gateway.rights import User, sees
from projections import jobs
from projections.history import sentence

router = APIRouter(prefix="/api/v1", tags=["system"])
PULSE = 15.0  # seconds between signs of life of a stream in which nothing happens
SOON = 1.0  # seconds after which a new stream looks again for what it missed while it began
LONGEST = 3600.0  # seconds after which a listener has to show a token again
PAGE = 500  # events read at once when catching up
KNOWN = 10_000  # events, and owners of jobs, that a stream remembers
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("/events", response_class=StreamingResponse)
async def events(
    who: User, outside: Outside, holding: Held, last_event_id: Annotated[str, Header(max_length=20)] = "",
    backlog: Annotated[int, Query(ge=0, le=500, description="how many past events to begin with")] = 20,
) -> Listening:  # fmt: skip
    """The live log of the VO's jobs, as far as the asker may see them. `Last-Event-ID` resumes after that event."""
    after = int(last_event_id) if last_event_id.isascii() and last_event_id.isdecimal() else 0
    lines = Tail(outside, who).run(min(after, 2**62), backlog)
    stream = Listening(lines, media_type="text/event-stream", headers=HEADERS)
    stream.held = holding, who
    return stream


class Tail:
    """One listener. An event may be heard of twice (in the past, live, when looking again); it is told once."""

    def __init__(self, world: World, who: Principal) -> None:
        self._world, self._who = world, who
        self._owners: dict[int, tuple[str, str, str]] = {}
        self._told: dict[int, None] = {}  # positions, in the order of telling
        self._last = 0

    async def run(self, after: int, backlog: int) -> AsyncIterator[bytes]:
        """Past events, then live ones."""
        live = self._world.follow(self._who.vo)
        coming = asyncio.ensure_future(anext(live))
        pause, end = SOON, time.monotonic() + LONGEST
        try:
            yield b": listening\n\n"
            async for text in self._begun(after, backlog):
                yield text
            while time.monotonic() < end:
                done, _ = await asyncio.wait([coming], timeout=pause)
                if not done:  # what came while listening began may have been missed
                    pause = PULSE
                    yield b": still here\n\n"
                    async for text in self._caught_up():
                        yield text
                    continue
                if isinstance(coming.exception(), StopAsyncIteration):
                    return
                event, coming = coming.result(), asyncio.ensure_future(anext(live))
                yield await self._written([event])
        finally:
            await _ended(coming, live)

    async def _begun(self, after: int, backlog: int) -> AsyncIterator[bytes]:
        if after:
            self._last = after
            async for text in self._caught_up():
                yield text
            return
        batch = await self._world.recent(self._who.vo, 0, max(backlog, 1))
        self._last = batch[-1].position if batch else 0
        if backlog:
            yield await self._written(batch)

    async def _caught_up(self) -> AsyncIterator[bytes]:
        """Everything after the last event that was told."""
        batch = await self._world.recent(self._who.vo, self._last, PAGE)
        while batch:
            yield await self._written(batch)
            batch = await self._world.recent(self._who.vo, self._last, PAGE) if len(batch) == PAGE else []

    async def _written(self, batch: list[Recorded[Event]]) -> bytes:
        new = [event for event in batch if event.position not in self._told]
        await self._learn(new)
        self._told |= dict.fromkeys(event.position for event in new)
        for old in list(self._told)[: max(len(self._told) - KNOWN, 0)]:
            del self._told[old]
        self._last = max(self._last, *(event.position for event in batch), 0)
        return b"".join(self._one(event) for event in new if self._seen(event))

    async def _learn(self, batch: list[Recorded[Event]]) -> None:
        """Whose jobs these are."""
        if len(self._owners) > KNOWN:
            self._owners.clear()
        new = {job_number(event.stream) for event in batch} - self._owners.keys()
        if new:
            for row in await self._world.read(jobs.some(self._who.vo, sorted(new))):
                self._owners[row["job"]] = (row["owner"], row["owner_group"], row["owner_name"])

    def _seen(self, event: Recorded[Event]) -> bool:
        owner = self._owners.get(job_number(event.stream))
        return owner is not None and sees(self._who, owner[0], owner[1])

    def _one(self, event: Recorded[Event]) -> bytes:
        job = job_number(event.stream)
        owner, _, name = self._owners[job]
        facts: Any = event.event
        if isinstance(facts, Job.Submitted):  # sealed in the log; the view may show it
            event = msgspec.structs.replace(event, event=msgspec.structs.replace(facts, owner_name=name))
        line = sentence(event, {owner: name})
        data = msgspec.json.encode(line._asdict() | {"job": job, "position": event.position}, enc_hook=str)
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.position, line.topic.encode(), data)


async def _ended(coming: asyncio.Future[Recorded[Event]], live: AsyncIterator[Recorded[Event]]) -> None:
    coming.cancel()
    await asyncio.gather(coming, return_exceptions=True)
    if isinstance(live, AsyncGenerator):
        await live.aclose()
