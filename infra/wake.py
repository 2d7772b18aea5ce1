"""Wake-ups between processes: NOTIFY, coalesced and never inside an append (there it costs 3-15x, measured)."""

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import Any

import asyncpg

from infra.store import TROUBLE

CHANNEL = "spinor"
NOTIFY = "select pg_notify($1, name) from unnest($2::text[]) name"
PAUSE = 0.005  # seconds: many commits, one NOTIFY


class Wakes:
    """Events by name, set here at once and in other processes by NOTIFY. Losing one costs a second, never more."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._events: dict[str, list[asyncio.Event]] = defaultdict(list)
        self._due: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None

    def event(self, name: str) -> asyncio.Event:
        """An event that is set whenever `name` is woken; the waiter clears it."""
        event = asyncio.Event()
        self._events[name].append(event)
        return event

    def drop(self, name: str, event: asyncio.Event) -> None:
        """The waiter has gone."""
        self._events[name].remove(event)

    def wake(self, name: str) -> None:
        """Tell everybody who waits for `name` to look."""
        self._set(name)
        self._due.add(name)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._notify())

    async def listen(self) -> None:
        """Follow the notifications of other processes until cancelled; reconnects."""
        while True:
            try:
                async with self._pool.acquire() as connection:
                    await connection.add_listener(CHANNEL, self._heard)
                    self._set_all()
                    try:
                        while not connection.is_closed():
                            await asyncio.sleep(5)
                    finally:
                        await _forget(connection, self._heard)
            except TROUBLE:
                await asyncio.sleep(1)

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self._set(str(payload))

    def _set(self, name: str) -> None:
        for event in self._events[name]:
            event.set()

    def _set_all(self) -> None:
        for name in self._events:
            self._set(name)

    async def _notify(self) -> None:
        while self._due:
            await asyncio.sleep(PAUSE)
            names, self._due = self._due, set()
            with suppress(*TROUBLE):  # whoever waits looks now and then anyway
                await self._pool.execute(NOTIFY, CHANNEL, sorted(names))


async def _forget(connection: Any, callback: Any) -> None:
    if not connection.is_closed():
        await connection.remove_listener(CHANNEL, callback)
