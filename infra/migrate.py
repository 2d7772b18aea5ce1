"""The schema: numbered SQL for the log, tables of views from their definitions; forwards only."""

from importlib.resources import files

import asyncpg

from domain.errors import Code, Refused
from infra.store import table
from infra.system import System
from infra.views import create_statements, definition

DEFINED = "insert into view_definitions (view, definition) values ($1, $2) on conflict do nothing"
LOCK = 0x5350494E4F52  # one process migrates at a time


async def migrate(pool: asyncpg.Pool, system: System) -> list[str]:
    """Bring the database up to this release; the names of what was done.

    Raises:
        Refused: VERSION_UNKNOWN, the database was written by a newer release.
    """
    done = []
    async with pool.acquire() as connection:
        await connection.execute("select pg_advisory_lock($1)", LOCK)
        try:
            async with connection.transaction():
                await connection.execute(
                    "create table if not exists migrations (name text primary key, at timestamptz default now())"
                )
                applied = {row["name"] for row in await connection.fetch("select name from migrations")}
                steps = {entry.name: entry.read_text() for entry in files("infra.schema").iterdir()
                         if entry.name.endswith(".sql")}  # fmt: skip
                if newer := sorted(applied - steps.keys()):
                    raise Refused(Code.VERSION_UNKNOWN, topic="the database", version=newer[-1])
                for name in sorted(steps.keys() - applied):
                    await connection.execute(steps[name])
                    await connection.execute("insert into migrations (name) values ($1)", name)
                    done.append(name)
                done += await _create_missing(connection, system)
        finally:
            await connection.execute("select pg_advisory_unlock($1)", LOCK)
    return done


async def _create_missing(connection: asyncpg.pool.PoolConnectionProxy, system: System) -> list[str]:
    """Logs of further aggregates and tables of views that are not there yet."""
    done = []
    for log in system.logs:
        if not await connection.fetchval("select to_regclass($1)", table(log)):
            await connection.execute("select create_log($1, false)", table(log))
            done.append(table(log))
    for view in system.projections:
        if not await connection.fetchval("select to_regclass($1)", view.name):
            for statement in create_statements(view.table):
                await connection.execute(statement)
            if not await connection.fetchval(f"select exists (select from {table(view.log)})"):
                await connection.execute(DEFINED, view.name, definition(view.table))  # nothing to fill it with
            done.append(view.name)
    return done
