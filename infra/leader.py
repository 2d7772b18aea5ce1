"""One leader at a time: a session lock in PostgreSQL, held by the connection the leader works with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hashlib import sha256

import asyncpg

from infra.store import TROUBLE, Connection

RETRY = 1.0  # seconds between tries of those who wait to take over


@asynccontextmanager
async def leading(pool: asyncpg.Pool, name: str) -> AsyncIterator[Connection]:
    """Wait until nobody else leads `name`, then hold it as long as the context and its connection live."""
    key = int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True)
    async with pool.acquire() as connection:
        while not await connection.fetchval("select pg_try_advisory_lock($1)", key):
            await asyncio.sleep(RETRY)
        try:
            yield connection
        finally:
            with suppress(*TROUBLE):  # a connection that is gone holds no lock, and what ended it is what matters
                await connection.execute("select pg_advisory_unlock($1)", key)
