"""The configuration in force in this process: read from the log, followed as it changes, always at hand."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog

from domain.configuration import STREAM, Installation
from domain.errors import Refused
from domain.messages import Event, Recorded
from domain.schema import Configuration, Vo, builtin, read
from infra.store import SELECT, TROUBLE, Connection, Store, table
from infra.system import System
from infra.waiting import within
from infra.wake import Wakes

LOOK = 4.0  # seconds between two looks when nobody wakes us: a change is in force within 5
AFTER = f"{SELECT.format(log=table(Installation.LOG))} where stream_id = $1 and version >= $2 order by version"
log = structlog.get_logger("spinor")


class Configurations:
    """`current` is the newest configuration, `revision` its number, 0 for the built-in one of a fresh installation.

    `changed` is set when a newer one is in force, and is another event afterwards.
    """

    def __init__(self, system: System, store: Store, wakes: Wakes, vo: str) -> None:
        self.changed = asyncio.Event()
        self.fault = ""  # why the newest revision could not be read, if so
        self.builtin = builtin(vo)
        self.current = read(self.builtin)
        self.events: tuple[Recorded[Event], ...] = ()  # every revision, oldest first
        self._installation = Installation()
        self._kept = Installation in system.aggregates
        self._store = store
        self._wakes = wakes
        self._loading = asyncio.Lock()

    @property
    def revision(self) -> int:
        """The number of the revision in force."""
        return self.current.revision

    def vo(self, name: str) -> Vo | None:
        """What holds for a VO; None for one that is unknown or broken."""
        return self.current.vo(name)

    def document_at(self, revision: int) -> dict[str, Any]:
        """The document as it was at a revision; 0 is the built-in one."""
        return self._installation.at(revision) if revision else self.builtin

    async def load(self, connection: Connection | None = None) -> None:
        """Bring it up to the newest revision; what is in force stays so until the next one is whole.

        Who holds a connection already gives it: nobody waits for a second one.
        """
        if not self._kept:
            return
        async with self._loading:
            known = await self._read(max(self.revision, 1), connection)
            if known is None:
                return
            if self.revision and (not known or known[0].id != self._installation.head):
                await self._begin_again()  # the database is another one than it was, or came back in an earlier state
            else:
                self._take(known[1:] if self.revision else known)

    async def _read(self, first: int, connection: Connection | None = None) -> list[Recorded[Event]] | None:
        """The revisions from this one on; None when a newer release wrote them, and ours stays in force."""
        rows = await (connection or self._store.pool).fetch(AFTER, STREAM, first)
        try:
            return [self._store.recorded(row) for row in rows]
        except Refused as refusal:
            self._cannot(refusal.what)
            return None

    async def run(self) -> None:
        """Follow changes until cancelled."""
        woken = self._wakes.event(Installation.LOG)
        try:
            while self._kept or await asyncio.Event().wait():
                await within(LOOK, woken)
                woken.clear()
                try:
                    await self.load()
                except TROUBLE as fault:
                    log.warning("configuration not looked at", reason=str(fault) or repr(fault))
        finally:
            self._wakes.drop(Installation.LOG, woken)

    def _take(self, events: Sequence[Recorded[Event]]) -> None:
        self.fault = ""
        if not events:
            return
        for event in events:
            self._installation = self._installation.evolve(event)
        self.events += tuple(events)
        self.current = read(self._installation.document, self._installation.revision, self.current, events[-1].at)
        for problem in self.current.problems:
            log.error("configuration broken", field=problem.field, problem=problem.problem)
        self._announce()

    async def _begin_again(self) -> None:
        events = await self._read(1)
        if events is None:
            return
        self._installation, self.events = Installation(), ()
        if events:
            self._take(events)
        else:
            self.current = read(self.builtin)
            self._announce()

    def _announce(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def _cannot(self, reason: str) -> None:
        if reason != self.fault:
            log.error("configuration not understood", reason=reason)
        self.fault = reason


async def examined(system: System, url: str) -> Configuration:
    """The newest configuration in a database, read over a connection of its own, for who runs nothing else.

    Raises:
        Refused: VERSION_UNKNOWN, a newer release wrote it.
    """
    connection = await asyncpg.connect(url, timeout=5)
    try:
        if not await connection.fetchval("select to_regclass($1)", table(Installation.LOG)):
            return read({})
        store = Store(connection, system.codec())
        found = Installation.told(map(store.recorded, await connection.fetch(AFTER, STREAM, 1)))
        return read(found.document, found.revision)
    finally:
        await connection.close()


async def loaded(system: System, store: Store, wakes: Wakes, vo: str) -> Configurations:
    """The configurations of a process, at the newest revision."""
    found = Configurations(system, store, wakes, vo)
    await found.load()
    return found
