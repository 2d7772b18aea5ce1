"""What one process works with: pools, log, bus, objects; opened from the settings, closed in reverse."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from domain.errors import Code, Refused
from infra.bus.interface import Bus
from infra.bus.local import LocalBus
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
    migrated: Sequence[str] = ()

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
        bus = await _bus(system, settings, pool)
        stack.push_async_callback(bus.close)
        partitions = await pool.fetchval("select partitions from installation")
        yield Runtime(
            system, settings, pool, store, Decider(system, store), bus, wakes, Liveness(pool), partitions, migrated
        )


async def _pool(url: str, settings: Settings) -> asyncpg.Pool:
    try:
        return await asyncpg.create_pool(
            url,
            min_size=2,
            max_size=settings.pool,
            server_settings={"application_name": "spinor", "idle_in_transaction_session_timeout": "60s"},
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as fault:
        raise Refused(Code.DATABASE_AWAY, problem=str(fault)) from fault


async def _bus(system: System, settings: Settings, pool: asyncpg.Pool) -> Bus:
    on_dead = bury(pool)
    if not settings.bus:
        return LocalBus(on_dead)
    from infra.bus.rabbit import RabbitBus

    return await RabbitBus.open(settings.bus, on_dead)
