"""The keys of this process, kept as the log says."""

import getpass
from datetime import UTC, datetime

import structlog

from domain.keyring import STREAM, Keyring, RotateKeys
from domain.messages import Origin
from infra.decider import Ask
from infra.runtime import Runtime
from infra.store import TROUBLE
from infra.tokens import Tokens
from infra.waiting import within
from infra.wake import CHANNEL

LOOK = 30.0  # seconds between two looks when nobody wakes us; the next key is published long before it signs
log = structlog.get_logger("spinor")


class Keys:
    """Turns the keys of `tokens` as the log says."""

    def __init__(self, runtime: Runtime, tokens: Tokens) -> None:
        self._runtime = runtime
        self._tokens = tokens

    async def load(self) -> None:
        """Use the keys of now."""
        if Keyring in self._runtime.system.aggregates:
            self._tokens.turn((await keyring(self._runtime)).believed(datetime.now(UTC)))

    async def run(self) -> None:
        """Follow rotations until cancelled."""
        woken = self._runtime.wakes.event(Keyring.LOG)
        try:
            while True:
                await within(LOOK, woken)
                woken.clear()
                try:
                    await self.load()
                except TROUBLE as fault:
                    log.warning("keys not looked at", reason=str(fault) or repr(fault))
        finally:
            self._runtime.wakes.drop(Keyring.LOG, woken)


async def keyring(runtime: Runtime) -> Keyring:
    """The keys as the log has them."""
    return await runtime.store.state(Keyring, STREAM)


async def rotate(runtime: Runtime, at_once: bool) -> Keyring:
    """Let the next key sign, in every process of the installation."""
    current = (await keyring(runtime)).current
    origin = Origin(f"operator:{getpass.getuser()}", "", datetime.now(UTC))
    async with runtime.store.transaction() as connection:
        await runtime.decider.decide(connection, [Ask(RotateKeys(current, at_once), origin)])
    await runtime.pool.execute("select pg_notify($1, $2)", CHANNEL, Keyring.LOG)
    return await keyring(runtime)
