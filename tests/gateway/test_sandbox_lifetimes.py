"""Sandboxes in a running system: the last job that uses one takes it along, and nobody else's."""

import asyncio
from uuid import uuid4

from gateway_site import JOB, VO, Site, stored, submitted

from domain.sandbox import parse_pfn
from domain.stored_sandbox import DoomSandbox
from gateway.ports import Principal


async def there(site: Site, pfn: str) -> bool:
    return await site.world.objects.exists(parse_pfn(pfn).key)


async def gone(site: Site, pfn: str) -> None:
    async with asyncio.timeout(60):
        while await there(site, pfn):
            await asyncio.sleep(0.05)


async def status(site: Site, pfn: str, wanted: str) -> None:
    path = parse_pfn(pfn).path
    async with asyncio.timeout(60):
        while await site.work.runtime.pool.fetchval("select status from sandboxes where path = $1", path) != wanted:
            await asyncio.sleep(0.05)


async def test_a_sandbox_lives_as_long_as_one_job_uses_it(site: Site) -> None:
    ann = await site.user("ann")
    shared, other = await stored(ann, b"shared"), await stored(ann, b"other")
    first, second = await submitted(ann, {**JOB, "input_sandbox": [shared]}, {**JOB, "input_sandbox": [shared]})
    await submitted(ann, {**JOB, "input_sandbox": [other]})
    await ann.post(f"/api/v1/jobs/{first}/delete")
    assert await there(site, shared)
    await ann.post(f"/api/v1/jobs/{second}/delete")
    await gone(site, shared)
    await status(site, shared, "Removed")
    assert await there(site, other)
    assert await stored(ann, b"shared") == shared
    await status(site, shared, "Stored")
    assert await there(site, shared)


async def test_what_is_used_again_is_spared(site: Site) -> None:
    ann = await site.user("ann")
    pfn = await stored(ann, b"wanted")
    await submitted(ann, {**JOB, "input_sandbox": [pfn]})
    who = Principal("service", "test", VO)
    await site.world.ask(who, [(uuid4(), DoomSandbox(parse_pfn(pfn).path))])
    await status(site, pfn, "Stored")
    assert await there(site, pfn)


async def test_the_output_of_a_deleted_job_goes_with_it(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot()
    (job,) = await submitted(ann)
    await pilot.offer()
    await pilot.report(job, "started", 1)
    output = await stored(pilot.client, b"out", "/api/v1/pilot/sandbox", job=job, attempt=1)
    await pilot.report(job, "done", 2, output=output)
    assert await there(site, output)
    await ann.post(f"/api/v1/jobs/{job}/delete")
    await gone(site, output)
