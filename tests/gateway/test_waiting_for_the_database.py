"""A database that answers late: requests end with 503 and a word when to come again, and the gateway goes on."""

import asyncio
from contextlib import suppress

import pytest
from gateway_site import Site, refusal, submitted


async def test_no_request_waits_for_ever_for_a_locked_table(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await site.user("ann")
    (job,) = await submitted(ann)
    monkeypatch.setattr("infra.runtime.LONGEST", "500ms")
    monkeypatch.setattr("infra.world.ANSWER", 2.0)
    await site.world._engine.dispose()
    async with site.work.runtime.pool.acquire() as other:
        async with other.transaction():
            await other.execute("lock table jobs, log_jobs in access exclusive mode")
            paths = ["/api/v1/jobs", f"/api/v1/jobs/{job}", "/api/v1/jobs/summary"] * 10  # more than connections
            async with asyncio.timeout(30):
                answers = await asyncio.gather(*(ann.get(path) for path in paths))
            for answer in answers:
                refusal(answer, 503, "database-away")
                assert answer.headers["retry-after"]
            assert (await ann.get("/api/v1/whoami")).is_success
    assert (await ann.get(f"/api/v1/jobs/{job}/history")).is_success


async def test_no_request_waits_for_ever_for_a_connection_that_others_have(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await site.user("ann")
    (job,) = await submitted(ann)
    monkeypatch.setattr("infra.world.ANSWER", 0.5)
    pool, taken = site.work.runtime.pool, []
    try:
        with suppress(TimeoutError):  # parts of the system have a few of them for a moment: until nobody gives one back
            while True:
                taken.append(await pool.acquire(timeout=1))
        refusal(await ann.get(f"/api/v1/jobs/{job}/history"), 503, "database-away")
    finally:
        for connection in taken:
            await pool.release(connection)
    monkeypatch.setattr("infra.world.ANSWER", 20.0)
    assert (await ann.get(f"/api/v1/jobs/{job}/history")).is_success
