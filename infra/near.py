"""What every process knows by itself: near which sites storage elements lie and whether they can be read; how long
things may take in a VO."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from handlers.policy import Rows
from infra.store import Connection

if TYPE_CHECKING:
    from infra.runtime import Runtime

AtHand = Mapping[str, Callable[[Connection, str], Awaitable[Rows]]]  # by name: what this process knows of a VO itself
READ = "read"


def at_hand(runtime: "Runtime") -> AtHand:
    """The look-ups that need no query: as new as the event that asks for them, or newer."""

    async def storages(connection: Connection, vo: str) -> Rows:
        await runtime.configuration.load(connection)
        await runtime.resources.read(connection)
        return [{"vo": vo, "se": name, "sites": each.sites, "refuses": each.refuses.get(READ, "")}
                for name, each in runtime.elements(vo).items() if each.serves(vo)]  # fmt: skip

    async def times(_: Connection, vo: str) -> Rows:
        """How long things may take in a VO, as this process has it: no event depends on the very newest."""
        found = runtime.configuration.vo(vo)
        return [{"times": found.operations.times}] if found else []

    return {"storages": storages, "times": times}
