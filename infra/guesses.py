"""A limit to guessing that all gateways share: wrong attempts are counted by their source, by the minute."""

import random

import asyncpg

from domain.errors import Code, Refused

MOST = 20  # wrong ones of a kind from one source in two minutes
WRONG = """insert into guesses (kind, source, minute, wrong) values ($1, $2, date_trunc('minute', now()), 1)
    on conflict (kind, source, minute) do update set wrong = guesses.wrong + 1 returning wrong"""
LATELY = """select coalesce(sum(wrong), 0) from guesses
    where kind = $1 and source = $2 and minute > now() - interval '2 minutes'"""
FORGET = "delete from guesses where minute < now() - interval '10 minutes'"


class Guesses:
    """Wrong ones by kind and source. Nothing is counted for those who are right."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def allowed(self, kind: str, source: str) -> None:
        """Raises Refused(TOO_MANY_GUESSES)."""
        if await self._pool.fetchval(LATELY, kind, source) >= MOST:
            raise Refused(Code.TOO_MANY_GUESSES)

    async def wrong(self, kind: str, source: str) -> bool:
        """Count one; whether it is below the limit."""
        if random.random() < 0.01:  # noqa: S311  # when to sweep is no secret
            await self._pool.execute(FORGET)
        return int(await self._pool.fetchval(WRONG, kind, source)) <= MOST
