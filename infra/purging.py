"""What is not the log does not grow for ever: a durable timer forgets what is too old to be asked for again.

A part of it at a time: the timer is due again at once while there is more, else after a day. Nothing is looked for that
has no index on its age, but for the offers, of which there is one a pilot, and the sessions of a month, once a day.
"""

from collections.abc import Mapping
from datetime import timedelta

from domain.errors import Code, Refused
from domain.housekeeping import KEPT, Purge
from infra.bus.messages import Outcome, Request, now
from infra.front import Service
from infra.runtime import Runtime
from infra.store import AWAY, Conflict, Store
from infra.system import System
from infra.timers import Standing, put_off

AT_ONCE = 5_000  # rows of one table
TIMER = Standing("purge", Purge(), timedelta(days=1))
OLD = {
    "commands": "at < $1",
    "submissions": "at < $1",
    "offers": "at < $1",
    "dead_letters": "sent_again_at < $1",
    "cuts": "at < $1 and not lasting",
}


def service(runtime: Runtime) -> Service:
    """The service of one process."""
    return Purging(runtime.store, old(runtime.system))


def old(system: System) -> dict[str, str]:
    """What is too old, by table. A session's row is of no use a month after its end; its history stays in the log."""
    views = {view.name for view in system.projections}
    return OLD | ({"sessions": "until < $1"} if "sessions" in views else {})


class Purging:
    """Forgets one part."""

    def __init__(self, store: Store, old: Mapping[str, str] = OLD) -> None:
        self.store = store
        self.old = old

    async def __call__(self, request: Request) -> Outcome:
        """The outcome: how many rows of which table are forgotten.

        Raises:
            Refused: DATABASE_AWAY, BUSY.
        """
        before = now() - KEPT
        try:
            async with self.store.transaction() as connection:
                gone = {}
                for name, old in self.old.items():
                    rows = f"select ctid from {name} where {old} limit {AT_ONCE} for update skip locked"
                    done = await connection.execute(f"delete from {name} where ctid = any(array({rows}))", before)
                    gone[name] = int(done.rpartition(" ")[2])
                more = any(count == AT_ONCE for count in gone.values())
                await put_off(connection, TIMER, timedelta() if more else TIMER.every)
        except AWAY as fault:
            raise Refused(Code.DATABASE_AWAY) from fault
        except Conflict as fault:
            raise Refused(Code.BUSY) from fault
        return Outcome(request.id, True, parameters={"forgotten": gone})
