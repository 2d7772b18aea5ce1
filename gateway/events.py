"""GET /events: what happens in a VO, as it happens, as server-sent events that can be resumed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from domain.job import Job
from domain.messages import Event, Recorded
from domain.values import job_number
from gateway.ports import Outside, Principal, World
from gateway.rights import User, sees
from projections import jobs
from projections.history import sentence

router = APIRouter(prefix="/api/v1", tags=["system"])
PULSE = 15.0  # seconds between signs of life of a stream in which nothing happens
PAGE = 500  # events read at once when catching up
KNOWN = 10_000  # jobs of which a stream remembers the owner
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("/events", response_class=StreamingResponse)
async def events(
    who: User, outside: Outside, last_event_id: Annotated[str, Header(max_length=20)] = "",
    backlog: Annotated[int, Query(ge=0, le=500, description="how many past events to begin with")] = 20,
) -> StreamingResponse:  # fmt: skip
    """The live log of the VO's jobs, as far as the asker may see them. `Last-Event-ID` resumes after that event."""
    after = int(last_event_id) if last_event_id.isascii() and last_event_id.isdecimal() else 0
    tail = Tail(outside, who)
    return StreamingResponse(tail.run(min(after, 2**62), backlog), media_type="text/event-stream", headers=HEADERS)


class Tail:
    """One listener."""

    def __init__(self, world: World, who: Principal) -> None:
        self._world, self._who = world, who
        self._owners: dict[int, tuple[str, str, str]] = {}

    async def run(self, after: int, backlog: int) -> AsyncIterator[bytes]:
        """Past events, then live ones without a gap between; listening begins before the past is read."""
        live = self._world.follow(self._who.vo)
        coming = asyncio.ensure_future(anext(live))
        try:
            yield b": listening\n\n"
            await asyncio.sleep(0)
            last = after
            async for batch in self._past(after, backlog):
                yield await self._written(batch)
                last = batch[-1].position
            while True:
                done, _ = await asyncio.wait([coming], timeout=PULSE)
                if not done:
                    yield b": still here\n\n"
                    continue
                if isinstance(coming.exception(), StopAsyncIteration):
                    return  # the gateway is closing; the listener resumes elsewhere, from its last event
                event, coming = coming.result(), asyncio.ensure_future(anext(live))
                if event.position > last:
                    yield await self._written([event])
        finally:
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, Exception):
                await coming
            if hasattr(live, "aclose"):
                await live.aclose()

    async def _past(self, after: int, backlog: int) -> AsyncIterator[list[Recorded[Event]]]:
        """Everything after a position, or the last few."""
        batch = await self._world.recent(self._who.vo, after, PAGE if after else backlog) if after or backlog else []
        while batch:
            yield batch
            if not after or len(batch) < PAGE:
                return
            batch = await self._world.recent(self._who.vo, batch[-1].position, PAGE)

    async def _written(self, batch: list[Recorded[Event]]) -> bytes:
        await self._learn(batch)
        return b"".join(self._one(event) for event in batch if self._seen(event))

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
