"""The matcher and those who kill jobs meet at the same rows: neither waits for the other while it holds something."""

import asyncio

from gateway_site import JOB, Site, submitted

from domain.values import job_stream


async def test_a_job_that_somebody_else_has_locked_holds_up_no_other_job(site: Site) -> None:
    ann, one, two = await site.user("ann"), await site.pilot("p1"), await site.pilot("p2")
    locked, free = await submitted(ann, JOB | {"tags": ["a"], "priority": 5}, JOB)
    pool = site.work.runtime.pool
    async with asyncio.timeout(20):
        while await pool.fetchval("select count(*) from pilot_queue") < 2:
            await asyncio.sleep(0.02)
    async with pool.acquire() as connection:
        async with connection.transaction():  # as a decision on the job begins
            await connection.execute("select from jobs where job = $1 for update", locked)
            first = asyncio.create_task(one.offer(20, tags=["a"]))
            await asyncio.sleep(0.3)
            second = await asyncio.wait_for(two.offer(20), 10)
            assert second["job"] == free
            assert not first.done()
            # and goes on; it would be a deadlock if the matcher had the job's place in the queue and waited for its row
            await connection.execute("select from pilot_queue where job = $1 for update", locked)
        assert (await asyncio.wait_for(first, 10))["job"] == locked
    topics = await pool.fetch("select topic from log_jobs where stream_id = $1", job_stream(locked))
    assert [row["topic"] for row in topics].count("job.matched") == 1
