"""What one process works with: pools, log, bus, objects; opened from the settings, closed in reverse."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from domain.data.element import Elements
from domain.errors import Code, Refused
from infra.bus.inbox import Programs
from infra.bus.interface import Bus
from infra.bus.local import LocalBus
from infra.bus.rabbit import RabbitBus
from infra.configuration import Configurations, loaded
from infra.deadletters import bury
from infra.decider import Decider
from infra.dispatch import Dispatcher
from infra.epoch import Place
from infra.liveness import Liveness
from infra.migrate import migrate
from infra.postgres import Embedded
from infra.proofs import Proofs
from infra.resources import Resources
from infra.settings import Settings, reason
from infra.storage.elements import elements, obeying
from infra.store import Store
from infra.suspensions import Suspensions
from infra.system import System
from infra.wake import Wakes

# How rarely garbage is looked for: batches make many objects and no cycles. It was a third of the CPU that a job costs.
RARELY = (50_000, 20, 100)
# Connections held for ever, beside one a log for its relay: of the sealer, timers, matcher and the listener. With the
# ninth log three of sixteen were left for work, and consumers that need a second one waited for each other.
LEADERS = 4
ASIDE = 2  # connections for those who hold one already; each is taken for one short statement
PATIENCE = 30.0  # seconds that a broker may need to come up
LONGEST = "25s"  # for one query of a view; less than a request waits
# With the default, made for disks that turn, an update of 2 000 jobs by key read all of the table up to some 10⁵ rows:
# a second instead of 50 ms, and half of the jobs a second.
SESSION = {"application_name": "spinor", "idle_in_transaction_session_timeout": "60s", "random_page_cost": "1.1"}


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
    suspensions: Suspensions
    proofs: Proofs
    configuration: Configurations
    resources: Resources
    partitions: int
    url: str
    migrated: Sequence[str] = ()

    async def connect(self) -> Any:
        """A connection of its own, for the engine that reads views."""
        return await asyncpg.connect(self.url, server_settings=SESSION | {"statement_timeout": LONGEST})

    def elements(self, vo: str) -> Elements:
        """The storage elements of a VO, as they are now."""
        return obeying(elements(self.configuration.vo(vo), self.settings.data), vo, self.resources)

    def dispatcher(self) -> Dispatcher:
        """The command side of this process."""
        return Dispatcher(self.decider, self.wakes.wake)


@asynccontextmanager
async def opened(system: System, settings: Settings, *, beside: bool = False) -> AsyncIterator[Runtime]:
    """Open everything the settings name; `beside` shares the embedded database of a process that has it already.

    Raises:
        Refused: DATABASE_CONNECT, BUS_CONNECT, or what the embedded database says.
    """
    system.check()
    gc.set_threshold(*RARELY)
    async with AsyncExitStack() as stack:
        url = settings.database or await _embedded(stack, settings.data, beside)
        place = Place()
        pool = await _pool(url, settings.pool + len(system.logs) + LEADERS, place)
        stack.push_async_callback(_closed, pool)
        migrated = await migrate(pool, system)
        aside = await _pool(url, ASIDE, place, least=0)
        stack.push_async_callback(_closed, aside)
        store = Store(pool, system.codec(), aside)
        place.renew = store.renew
        wakes = Wakes(pool)
        bus = _bus(system, settings, pool)
        stack.push_async_callback(bus.close)
        await _reached(bus)
        partitions = await pool.fetchval("select partitions from installation")
        configuration = await loaded(system, store, wakes, settings.vo)
        yield Runtime(
            system, settings, pool, store, Decider(system, store), bus, wakes, Liveness(pool),
            Suspensions(pool, wakes, configuration), Proofs(pool), configuration, Resources(pool, wakes), partitions,
            url, migrated,
        )  # fmt: skip


async def _embedded(stack: AsyncExitStack, data: Path, beside: bool) -> str:
    note = data / "postgres.url"
    try:
        url = await stack.enter_async_context(Embedded(data / "postgres"))
    except Refused as refusal:
        if not (beside and refusal.code is Code.DATABASE_HELD and note.exists()):
            raise
        return note.read_text()
    note.write_text(url)
    return url


async def _pool(url: str, most: int, place: Place, least: int = 2) -> asyncpg.Pool:
    try:
        return await asyncpg.create_pool(
            url,
            min_size=least,
            max_size=most,
            server_settings=SESSION,
            init=place.look,
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as fault:
        raise Refused(Code.DATABASE_CONNECT, problem=reason(fault)) from fault


async def _closed(pool: asyncpg.Pool) -> None:
    """Close the pool; whoever still holds a connection after a while loses it, for an end must come."""
    try:
        async with asyncio.timeout(PATIENCE):
            await pool.close()
    except TimeoutError:
        pool.terminate()


async def _reached(bus: Bus) -> None:
    """A broker may start together with us; one that does not come is an error, not a process that seems to work."""
    until = asyncio.get_running_loop().time() + PATIENCE
    while not (health := await bus.health()).up:
        if asyncio.get_running_loop().time() > until:
            raise Refused(Code.BUS_CONNECT, problem=reason(health.detail))
        await asyncio.sleep(0.5)


def _bus(system: System, settings: Settings, pool: asyncpg.Pool) -> Bus:
    programs = Programs(frozenset(command.TOPIC for command in system.outside))
    if settings.bus:
        return RabbitBus(settings.bus, bury(pool), programs)
    return LocalBus(bury(pool), programs=programs)
