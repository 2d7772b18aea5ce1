"""Logins under way, kept encrypted for minutes, where every gateway finds them."""

from hashlib import sha256
from typing import Any

import asyncpg
import msgspec
from cryptography.fernet import Fernet, InvalidToken

from gateway.identity import PENDING, READY, USED, Flow

BEGIN = """insert into flows (id, kind, status, user_code, secret_hash, data, expires)
    values ($1, $2, $3, nullif($4, ''), $5, $6, $7)"""
FORGET = "delete from flows where expires < now() - interval '1 hour'"
READY_NOW = (
    "update flows set status = $2, data = $3, secret_hash = coalesce($4, secret_hash) where id = $1 and status = $5"
)
USE = "update flows set status = $2 where id = $1 and status = $3"


class Flows:
    """Flows by what their parties hold: a user code, a device code, an authorization code."""

    def __init__(self, pool: asyncpg.Pool, fernet: Fernet) -> None:
        self._pool = pool
        self._fernet = fernet

    async def begin(self, flow: Flow, secret: str) -> None:
        """Keep a new one; what is long over is forgotten."""
        await self._pool.execute(FORGET)
        hashed = hashed_secret(secret) if secret else None
        await self._pool.execute(
            BEGIN, flow.id, flow.kind, flow.status, flow.user_code, hashed, self._sealed(flow), flow.expires
        )

    async def by(self, column: str, value: Any) -> Flow | None:
        """The flow with this `id`, `user_code` or `secret_hash`; one that is over or unreadable is none."""
        row = await self._pool.fetchrow(f"select status, data from flows where {column} = $1", value)
        if row is None:
            return None
        try:
            flow = msgspec.json.decode(self._fernet.decrypt(row["data"].encode()), type=Flow)
        except (InvalidToken, msgspec.MsgspecError):
            return None
        return msgspec.structs.replace(flow, status=row["status"])

    async def ready(self, flow: Flow, secret: str = "") -> bool:
        """The person is known; `secret`: the code that a browser's client will show. False if it was ready before."""
        done = await self._pool.execute(
            READY_NOW, flow.id, READY, self._sealed(flow), hashed_secret(secret) if secret else None, PENDING
        )
        return str(done) == "UPDATE 1"

    async def use(self, flow: Flow) -> bool:
        """Tokens are given out for it; only one can."""
        return str(await self._pool.execute(USE, flow.id, USED, READY)) == "UPDATE 1"

    def _sealed(self, flow: Flow) -> str:
        return self._fernet.encrypt(msgspec.json.encode(flow)).decode()


def hashed_secret(secret: str) -> str:
    """How a code is kept."""
    return sha256(secret.encode()).hexdigest()
