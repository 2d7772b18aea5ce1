"""Signs of life are latest values: gathered, written together, and kept while the database is away."""

import asyncio
from typing import Any

import msgspec
import pytest
from installation import Installation, installed, on_18  # noqa: F401
from servers import PostgreSQL

from domain.values import job_stream
from infra import liveness as living
from infra.liveness import Liveness


@pytest.fixture
def liveness(core: Installation) -> Liveness:
    return Liveness(core.pool)


async def rows(core: Installation) -> list[tuple[Any, ...]]:
    found = await core.pool.fetch("select stream_id, report from liveness order by stream_id")
    return [(row["stream_id"], msgspec.json.decode(row["report"] or "null")) for row in found]


async def seen(core: Installation) -> Any:
    return await core.pool.fetchval("select seen from liveness")


async def test_only_the_latest_sign_of_each_is_written(core: Installation, liveness: Liveness) -> None:
    for number in range(200):
        liveness.heard(job_stream(number % 3 + 1), {"cpu": number})
    await liveness.flush()
    assert await rows(core) == [
        (job_stream(1), {"cpu": 198}),
        (job_stream(2), {"cpu": 199}),
        (job_stream(3), {"cpu": 197}),
    ]


async def test_a_sign_without_a_report_keeps_the_last_report(core: Installation, liveness: Liveness) -> None:
    liveness.heard(job_stream(1), {"cpu": 1})
    liveness.heard(job_stream(1))
    await liveness.flush()
    first = await seen(core)
    liveness.heard(job_stream(1))
    await liveness.flush()
    assert await rows(core) == [(job_stream(1), {"cpu": 1})]
    assert await seen(core) > first


async def test_an_older_sign_from_another_process_does_not_turn_back_the_time(
    core: Installation, liveness: Liveness
) -> None:
    await core.pool.execute("insert into liveness values ($1, now() + interval '1 hour', '{}')", job_stream(1))
    before = await seen(core)
    liveness.heard(job_stream(1), {"cpu": 1})
    await liveness.flush()
    assert await seen(core) == before


async def test_nothing_heard_is_nothing_written(core: Installation, liveness: Liveness) -> None:
    await liveness.flush()
    assert await rows(core) == []


async def test_what_was_heard_is_written_by_itself(
    core: Installation, liveness: Liveness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(living, "PAUSE", 0.01)
    running = asyncio.create_task(liveness.run())
    async with asyncio.timeout(20):
        for number in range(1, 4):
            liveness.heard(job_stream(number))
            while len(await rows(core)) < number:
                await asyncio.sleep(0.01)
    running.cancel()


async def test_writers_of_the_same_streams_do_not_stop_each_other(core: Installation) -> None:
    several = [Liveness(core.pool) for _ in range(6)]
    for turn in range(5):
        for one in several:
            for number in range(1, 300):
                one.heard(job_stream(number), {"turn": turn})
        await asyncio.gather(*(one.flush() for one in several))
    assert await rows(core) == [(job_stream(number), {"turn": 4}) for number in range(1, 300)]


async def test_what_cannot_be_written_is_kept_and_newer_signs_win(
    postgres_server: PostgreSQL, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(living, "PAUSE", 0.01)
    async with installed(database) as core:
        liveness = Liveness(core.pool)
        liveness.heard(job_stream(1), {"cpu": 1})
        liveness.heard(job_stream(2), {"cpu": 1})
        postgres_server.kill()
        await liveness.flush()
        liveness.heard(job_stream(1))
        liveness.heard(job_stream(2), {"cpu": 2})
        await liveness.flush()
        postgres_server.start()
        await liveness.flush()
        assert await rows(core) == [(job_stream(1), {"cpu": 1}), (job_stream(2), {"cpu": 2})]
