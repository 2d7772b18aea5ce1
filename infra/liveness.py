"""Signs of life, as latest values and never as events: gathered for a second, written in one statement."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog

from infra.store import TROUBLE

PAUSE = 1.0  # seconds
HEARD = """insert into liveness (stream_id, seen, report)
    select * from unnest($1::uuid[], $2::timestamptz[], $3::text[])
    on conflict (stream_id) do update set seen = greatest(liveness.seen, excluded.seen),
        report = coalesce(excluded.report, liveness.report)"""
log_ = structlog.get_logger("spinor.liveness")


class Liveness:
    """Who was heard of when, and what it said last."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._heard: dict[UUID, tuple[datetime, str | None]] = {}
        self._some = asyncio.Event()

    def heard(self, stream: UUID, report: dict[str, Any] | None = None) -> None:
        """Note a sign of life; it is written within about a second."""
        text = msgspec.json.encode(report).decode() if report else None
        old = self._heard.get(stream)
        self._heard[stream] = (datetime.now(UTC), text or (old[1] if old else None))
        self._some.set()

    async def run(self) -> None:
        """Write what was heard until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(PAUSE)
            await self.flush()

    async def flush(self) -> None:
        """Write what was heard so far. What cannot be written is kept for the next time."""
        self._some.clear()
        batch, self._heard = self._heard, {}
        if not batch:
            return
        streams = sorted(batch)
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute("set local synchronous_commit = off")
                await connection.execute(HEARD, streams, [batch[s][0] for s in streams], [batch[s][1] for s in streams])
        except TROUBLE as fault:
            log_.warning("signs of life wait", reason=repr(fault))
            for stream, (seen, text) in self._heard.items():
                batch[stream] = (seen, text or batch.get(stream, (seen, None))[1])
            self._heard = batch
            await asyncio.sleep(PAUSE)
            self._some.set()
