"""Dead letters as rows: what could not be handled, why, and how to send it again."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from infra.bus.messages import DeadLetter

KEEP = """insert into dead_letters (id, source, topic, vo, actor, body, reason, detail, attempts, first_at, at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    on conflict (id) do update set reason = excluded.reason, detail = excluded.detail, at = excluded.at,
        attempts = dead_letters.attempts + excluded.attempts, sent_again_at = null"""
LISTED = "select * from dead_letters where vo = $1 and sent_again_at is null order by at desc limit $2"
NAMED = "select * from dead_letters where vo = $1 and sent_again_at is null and id = any($2::uuid[])"


def bury(pool: asyncpg.Pool) -> Callable[[DeadLetter], Awaitable[None]]:
    """The callback that keeps a dead letter; a letter that dies again keeps its first date and adds its attempts."""

    async def keep(letter: DeadLetter) -> None:
        await pool.execute(
            KEEP, letter.id, letter.source, letter.topic, letter.vo, letter.actor, letter.body, letter.reason,
            letter.detail, letter.attempts, letter.first_at, letter.at,
        )  # fmt: skip

    return keep


async def listed(pool: asyncpg.Pool, vo: str, limit: int = 100) -> list[dict[str, Any]]:
    """The dead letters of a VO that were not sent again, newest first."""
    return [dict(row) for row in await pool.fetch(LISTED, vo, limit)]


async def named(pool: asyncpg.Pool, vo: str, letters: Sequence[UUID]) -> dict[UUID, DeadLetter]:
    """Those of these letters that are the VO's, and were not sent again."""
    rows = await pool.fetch(NAMED, vo, letters)
    return {row["id"]: DeadLetter(**{name: row[name] for name in DeadLetter.__struct_fields__}) for row in rows}


async def sent_again(pool: asyncpg.Pool, letter: UUID) -> None:
    """Note that a letter was sent again; if it dies again, it is back in the list."""
    await pool.execute("update dead_letters set sent_again_at = now() where id = $1", letter)
