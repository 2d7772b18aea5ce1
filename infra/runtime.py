"""What one process works with: pools, log, bus, objects; opened from the settings, closed in reverse."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from domain.errors import Code, Refused
from infra.bus.inbox import Programs
from infra.bus.interface import Bus
from infra.bus.local import LocalBus
from infra.bus.rabbit import RabbitBus
from infra.deadletters import bury
from infra.decider import Decider
from infra.dispatch import Dispatcher
from infra.liveness import Liveness
from infra.migrate import migrate
from infra.postgres import Embedded
from infra.settings import Settings
from infra.store import Store
from infra.system import System
from infra.wake import Wakes

SESSION = {"application_name": "spinor", "idle_in_transaction_session_timeout": "60s"}


@dataclass
class Runtime:
    """The open resources of a process."""

    system: System
    settings: Settings
    pool: asyncpg.Pool
    store: Store
    decider: Decider
    bus: Bus
    wakes: Wakes
    liveness: Liveness
    partitions: int
    url: str
    migrated: Sequence[str] = ()

    async def connect(self) -> Any:
        """A connection of its own, for the engine that reads views."""
        return await asyncpg.connect(self.url, server_settings=SESSION)

    def dispatcher(self) -> Dispatcher:
        """The command side of this process."""
        return Dispatcher(self.decider, self.wakes.wake)


@asynccontextmanager
async def opened(system: System, settings: Settings) -> AsyncIterator[Runtime]:
    """Open everything the settings name.

    Raises:
        Refused: DATABASE_AWAY, BUS_AWAY, or what the embedded database says.
    """
    system.check()
    async with AsyncExitStack() as stack:
        url = settings.database or await stack.enter_async_context(Embedded(settings.data / "postgres"))
        pool = await _pool(url, settings)
        stack.push_async_callback(pool.close)
        migrated = await migrate(pool, system)
        store = Store(pool, system.codec())
        wakes = Wakes(pool)
        bus = _bus(system, settings, pool)
        stack.push_async_callback(bus.close)
        partitions = await pool.fetchval("select partitions from installation")
        yield Runtime(
            system, settings, pool, store, Decider(system, store), bus, wakes, Liveness(pool), partitions, url, migrated
        )


async def _pool(url: str, settings: Settings) -> asyncpg.Pool:
    try:
        return await asyncpg.create_pool(
            url,
            min_size=2,
            max_size=settings.pool,
            server_settings=SESSION,
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as fault:
        raise Refused(Code.DATABASE_AWAY, problem=str(fault)) from fault


def _bus(system: System, settings: Settings, pool: asyncpg.Pool) -> Bus:
    programs = Programs(frozenset(command.TOPIC for command in system.commands if command.OUTSIDE))
    if settings.bus:
        return RabbitBus(settings.bus, bury(pool), programs)
    return LocalBus(bury(pool), programs=programs)
