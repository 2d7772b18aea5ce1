"""Takes doomed sandboxes out of the object store: the effect between an intent and its receipt. Replay never does."""

import asyncio
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from sqlalchemy import Select

from domain.errors import Refused
from domain.sandbox import parse_pfn
from domain.stored_sandbox import RemoveSandbox, SandboxCommand, SpareSandbox
from gateway.objects import Objects
from infra.bus.messages import Request
from infra.runtime import Runtime
from infra.store import TROUBLE
from infra.views import DIALECT
from infra.waiting import within
from projections.sandboxes import of_path, those_doomed

LOOK = 60.0  # seconds between looks when nobody wakes us
PAUSE = 30.0  # seconds until a store that is away is asked again
ANSWER = 30.0
log_ = structlog.get_logger("spinor.sandboxes")


class Removal:
    """Runs in every gateway; what two do at once is done once, for taking away what is gone is no fault."""

    def __init__(self, runtime: Runtime, objects: Objects) -> None:
        self._pool, self._bus, self._objects = runtime.pool, runtime.bus, objects
        self._woken = runtime.wakes.event("sandboxes")

    async def run(self) -> None:
        """Take away what is doomed until cancelled; survives a store, bus or database that is away."""
        while True:
            try:
                while await self.once():
                    pass
                await self._wait()
            except (*TROUBLE, Refused) as fault:
                log_.warning("sandboxes stay for now", reason=str(fault) or repr(fault))
                await asyncio.sleep(PAUSE)

    async def once(self) -> bool:
        """Deal with what is doomed at the moment; whether there was anything.

        What a job uses again meanwhile is spared. Whoever announces an upload after this look gets a form for it.
        """
        rows = await self._pool.fetch(_text(those_doomed()))
        receipts: list[tuple[str, SandboxCommand]] = []
        for row in rows:
            if await self._pool.fetchrow(_text(of_path(row["path"]))):
                receipts.append((row["vo"], SpareSandbox(row["path"])))
                continue
            await self._objects.remove([parse_pfn(row["path"]).key])
            receipts.append((row["vo"], RemoveSandbox(row["path"])))
        if receipts:
            outcomes = await self._bus.request([_request(vo, command) for vo, command in receipts], ANSWER)
            if refused := next((each for each in outcomes if not each.ok), None):
                raise OSError(f"a receipt was refused: {refused.code}")
        return bool(rows)

    async def _wait(self) -> None:
        await within(LOOK, self._woken)
        self._woken.clear()


def _request(vo: str, command: SandboxCommand) -> Request:
    data = msgspec.Raw(msgspec.json.encode(command))
    return Request(id=uuid4(), topic=command.TOPIC, data=data, vo=vo, actor="sandbox-removal")


def _text(query: Select[Any]) -> str:
    return str(query.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
