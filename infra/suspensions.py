"""Who is suspended, known in every process without asking: read again when that changes, and often anyway."""

from collections.abc import Callable
from datetime import UTC, datetime

import asyncpg
import structlog

from domain.errors import Refused
from domain.schema import Configuration
from domain.suspension import Kind, Standing, in_force
from domain.values import subject as pseudonym
from infra.configuration import Configurations
from infra.store import TROUBLE
from infra.views import DIALECT
from infra.waiting import within
from infra.wake import Wakes
from projections import suspensions

LOOK = 3.0  # seconds between looks when nobody wakes us
READ = str(suspensions.in_force().compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
NOBODY_NAMED = "an operator of your VO"
TYPED = "as the configuration of the VO says"
log_ = structlog.get_logger("spinor.suspensions")


class Suspensions:
    """What is in force. A database that is away changes nothing: what was known last still counts."""

    def __init__(self, pool: asyncpg.Pool, wakes: Wakes, configuration: Configurations) -> None:
        self._pool = pool
        self._configuration = configuration
        self._woken = wakes.event("identity")
        self._known: dict[tuple[str, Kind, str], Standing] = {}
        self._tell: list[Callable[[], None]] = []

    def of(self, vo: str, subject: str = "", group: str = "", *, alone: bool = False) -> Standing | None:
        """What keeps a user of this group and VO from going on, if anything does; `alone`: only themselves count."""
        if not self._known:  # the matcher asks for every owner, every time
            return None
        kinds = (Kind.USER,) if alone else tuple(Kind)
        return in_force(self._known, vo, subject, group, datetime.now(UTC), kinds)

    def refusal(self, vo: str, subject: str = "", group: str = "", *, alone: bool = False) -> Refused | None:
        """The same as what whoever is suspended is told, with who of the VO can help."""
        found = self.of(vo, subject, group, alone=alone)
        registry = self._configuration.current.registry.get(vo)
        return found.refusal(registry.whom_to_ask() if registry else NOBODY_NAMED) if found else None

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call this whenever something else is in force than before."""
        self._tell.append(tell)

    async def run(self) -> None:
        """Keep it known until cancelled."""
        while True:
            try:
                await self.read()
            except TROUBLE as fault:
                log_.warning("suspensions are as old as the database is away", reason=repr(fault))
            await within(LOOK, self._woken)
            self._woken.clear()

    async def read(self) -> None:
        """Read what is in force now."""
        rows = await self._pool.fetch(READ)
        found = typed(self._configuration.current) | {
            (row["vo"], kind := Kind(row["kind"]), row["name"]): Standing(
                kind, row["name"], row["reason"], row["label"], row["until"]
            )
            for row in rows
        }
        if found != self._known:
            self._known = found
            for tell in self._tell:
                tell()


def typed(configuration: Configuration) -> dict[tuple[str, Kind, str], Standing]:
    """What is suspended because the configuration says so: without end, and without a part in any job's history."""
    found: dict[tuple[str, Kind, str], Standing] = {}
    for vo, registry in configuration.registry.items():
        issuer = registry.idp.issuer if registry.idp else "spinor"
        users = ((pseudonym(vo, issuer, sub), user) for sub, user in registry.users.items() if user.suspended)
        kept = [Standing(Kind.USER, name, TYPED, user.preferred_username) for name, user in users]
        kept += [Standing(Kind.GROUP, name, TYPED, name) for name, group in registry.groups.items() if group.suspended]
        kept += [Standing(Kind.VO, vo, TYPED, vo)] if registry.suspended else []
        found |= {(vo, one.kind, one.name): one for one in kept}
    return found
