"""The schema is brought up to the release, once, whoever starts first, and never backwards."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from domain.errors import Code, Refused
from domain.messages import Aggregate, Event, Recorded
from infra import migrate as migrating
from infra.app import CORE
from infra.migrate import migrate
from infra.store import table
from infra.system import System
from projections.projection import Projection


@pytest.fixture(params=["18", "15"])
async def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("empty_database" if request.param == "18" else "empty_database15"))


@pytest.fixture
async def pool(url: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(url, min_size=1) as pool:
        yield pool


async def tables(pool: asyncpg.Pool) -> list[str]:
    return list(
        await pool.fetchval("select array_agg(tablename::text order by 1) from pg_tables where schemaname = 'public'")
    )


async def test_a_new_database_gets_everything_and_a_second_time_changes_nothing(pool: asyncpg.Pool) -> None:
    done = await migrate(pool, CORE)
    assert done[0] == "0001_log.sql"
    before = await tables(pool)
    assert {table(log) for log in CORE.logs} | {view.name for view in CORE.projections} <= set(before)
    assert await migrate(pool, CORE) == []
    assert await tables(pool) == before


async def test_every_installation_has_its_own_id(pool: asyncpg.Pool) -> None:
    await migrate(pool, CORE)
    row = await pool.fetchrow("select id, partitions from installation")
    assert (isinstance(row["id"], UUID), row["partitions"]) == (True, 8)
    with pytest.raises(asyncpg.UniqueViolationError):
        await pool.execute("insert into installation default values")


async def test_a_database_of_a_newer_release_is_refused_and_left_alone(pool: asyncpg.Pool) -> None:
    await migrate(pool, CORE)
    await pool.execute("insert into migrations (name) values ('9999_future.sql')")
    await pool.execute("drop table activity")
    before = await tables(pool)
    with pytest.raises(Refused) as refusal:
        await migrate(pool, CORE)
    assert refusal.value.code is Code.VERSION_UNKNOWN
    assert refusal.value.parameters["version"] == "9999_future.sql"
    assert await tables(pool) == before


async def test_of_many_who_start_at_once_one_migrates(url: str) -> None:
    async with asyncpg.create_pool(url, min_size=1) as one, asyncpg.create_pool(url, min_size=1) as other:
        done = await asyncio.gather(*(migrate(pool, CORE) for pool in (one, other) * 3))
        assert sorted(map(len, done))[:-1] == [0] * 5
        assert await one.fetchval("select count(*) from installation") == 1


async def test_a_migration_that_fails_leaves_nothing_behind(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[str]:
        raise ZeroDivisionError

    monkeypatch.setattr(migrating, "create_statements", fail)
    with pytest.raises(ZeroDivisionError):
        await migrate(pool, CORE)
    assert await pool.fetchval("select count(*) from pg_tables where schemaname = 'public'") == 0
    monkeypatch.undo()
    assert "0001_log.sql" in await migrate(pool, CORE)


class Thing(Aggregate, frozen=True):
    """Something a community adds."""

    TOPIC = "thing"
    LOG = "things"

    class Made(Event, frozen=True):
        """It was made."""

        TOPIC = "thing.made"


async def test_a_community_gets_its_log_and_its_views_beside_ours(pool: asyncpg.Pool) -> None:
    await migrate(pool, CORE)
    view = Projection(Table("things", MetaData(), Column("n", Integer, primary_key=True)), "things", lambda event: (1,))

    @view.creates
    def made(event: Recorded[Thing.Made]) -> dict[str, int]:
        return {}

    theirs = CORE | System(aggregates=(Thing,), projections=(view,))
    theirs.check()
    assert await migrate(pool, theirs) == ["log_things", "things"]
    with pytest.raises(asyncpg.RestrictViolationError):
        await pool.execute("truncate log_things")
    assert await pool.fetchval("select position from log_heads where log = 'log_things'") == 0
    assert await migrate(pool, theirs) == []


async def test_a_name_that_is_no_identifier_is_no_log() -> None:
    for name in ("a b", "a;drop", ""):
        with pytest.raises(ValueError, match="no name of a log"):
            table(name)
