"""What it costs to ask who one is, to refresh a token, to ask for a configuration that one has: ours, and a peer's
beside it when SPINOR_BENCH_PEER names one (see peer.py)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import msgspec
import peer
from report import Row
from stage import SECRET, VO, Stage, bench

from domain.configuration import ChangeConfiguration
from domain.messages import Command
from domain.session import LOW, OpenSession, jti
from domain.values import subject
from infra.app import CORE
from infra.bus.messages import Request, now
from infra.runtime import Runtime, opened
from infra.settings import settings
from infra.tokens import Tokens, installation_secret, uuid7

REGISTRY = {
    "default_group": "users",
    "groups": {"users": {"properties": ["NormalUser"]}, "admins": {"properties": ["CSAdministrator"]}},
    "users": {"ann": {"preferred_username": "ann", "groups": ["users"]}},
}  # fmt: skip


@bench("userinfo")
async def userinfo(stage: Stage) -> list[Row]:
    """GET /api/auth/userinfo: rate and CPU, beside a peer's when SPINOR_BENCH_PEER names one."""
    async with _target(stage) as ours:
        return await peer.compared("userinfo", peer.userinfo, ours, stage.size(8000), 3)


@bench("refresh")
async def refresh(stage: Stage) -> list[Row]:
    """POST /api/auth/token, refresh tokens rotating in 16 sessions at once; beside a peer's as userinfo."""
    async with _target(stage) as ours:
        return await peer.compared("refresh", peer.refresh, ours, stage.size(2400), 3)


@bench("config-304")
async def unchanged(stage: Stage) -> list[Row]:
    """GET /api/config/ by who has the newest revision; beside a peer's as userinfo."""
    async with _target(stage) as ours:
        return await peer.compared("config-304", peer.unchanged, ours, stage.size(8000), 3)


@asynccontextmanager
async def _target(stage: Stage) -> AsyncIterator[peer.Target]:
    """Our system in one process beside its database, with a session for each connection."""
    database, data = await stage.database(), stage.directory()
    given = settings(database=database, data=data, vo=VO, secret=SECRET, port=0)
    async with opened(CORE, given) as runtime:
        await _decided(runtime, ChangeConfiguration(0, {f"/registry/{VO}": REGISTRY}), ["CSAdministrator"])
        tokens = Tokens(installation_secret(SECRET, data))
        sessions = [await _session(runtime, tokens) for _ in range(peer.AT_ONCE)]
    async with stage.site(database) as site:
        user = site.client.headers["Authorization"].removeprefix("Bearer ")
        yield peer.Target(site.url, user, sessions, site.processes)


async def _session(runtime: Runtime, tokens: Tokens) -> str:
    """The first refresh token of a new session of ann's."""
    session, until = UUID(int=uuid7().int & ~LOW), now() + timedelta(hours=1)
    whose = subject(VO, "spinor", "ann")
    await _decided(runtime, OpenSession(session, "device", whose, "ann", "ann", "users", until, client="bench"), [])
    end = int(until.timestamp())
    return tokens.sign({"jti": str(jti(session, 1)), "exp": end, "legacy_exchange": False, "dirac_policies": {}})


async def _decided(runtime: Runtime, command: Command, rights: list[str]) -> None:
    data = msgspec.Raw(msgspec.json.encode(command))
    request = Request(id=uuid4(), topic=command.TOPIC, data=data, vo=VO, actor="user:bench", rights=rights)
    (outcome,) = await runtime.dispatcher()([request])
    if not outcome.ok:
        raise RuntimeError(f"{command.TOPIC}: {outcome}")
