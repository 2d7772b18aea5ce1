"""Rules of matching in the running system: limits of the configuration, statuses of resources, bad places."""

import asyncio
from collections.abc import Callable
from typing import Any

from gateway_site import JOB, Pilot, Site, limited, submitted

CERN = "LCG.CERN.cern"
BRIEF = 0.4  # seconds that an offer waits in vain


async def shown(condition: Callable[[], Any]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def ends(pilot: Pilot, job: int, kind: str = "done", **more: Any) -> None:
    """The pilot runs the job to its end."""
    await pilot.report(job, "started", 1, host="n1")
    await pilot.report(job, kind, 2, **more)


async def test_a_limit_of_the_configuration_stops_a_job_type_at_a_site_until_one_has_ended(site: Site) -> None:
    await limited(site, running={"job_type": {"User": 1}})
    ann, here, there = await site.user("ann"), await site.pilot("p1"), await site.pilot("p2", site="LCG.PIC.es")
    await submitted(ann, JOB, JOB, JOB)
    first = await here.offer()
    assert await here.offer(BRIEF) is None
    assert await there.offer() is not None
    waiting = asyncio.create_task(here.offer(20))
    await ends(here, first["job"])
    assert await waiting is not None


async def test_a_limit_that_is_lifted_lets_waiting_offers_through_at_once(site: Site) -> None:
    ann, here = await site.user("ann"), await site.pilot("p1")
    await limited(site, running={"job_type": {"User": 0}})
    await submitted(ann, JOB)
    waiting = asyncio.create_task(here.offer(20))
    await asyncio.sleep(BRIEF)
    assert not waiting.done()
    await limited(site)
    assert await waiting is not None


async def test_nothing_goes_to_a_banned_site_until_it_is_allowed_again(site: Site) -> None:
    ann, boss, here = await site.user("ann"), await site.user("boss", "Operator"), await site.pilot("p1")
    await submitted(ann, JOB)
    resources = site.work.runtime.resources
    place = {"resources": [{"kind": "site", "name": CERN}]}
    banned = await boss.post("/api/v1/resources", json={**place, "status": "Banned", "reason": "power cut"})
    assert banned.status_code < 300, banned.text
    await shown(lambda: resources.statuses)
    waiting = asyncio.create_task(here.offer(20))
    await asyncio.sleep(BRIEF)
    assert not waiting.done()
    await boss.post("/api/v1/resources", json={**place, "status": "Active", "reason": "well"})
    assert await waiting is not None


async def test_a_pilot_at_which_everything_fails_is_banned_by_name(site: Site) -> None:
    ann = await site.user("ann")
    good, bad = await site.pilot("p1"), await site.pilot("bad", node={"hostname": "n2", "processors": 2})
    await submitted(ann, *[JOB] * 9)
    for _ in range(4):
        await ends(good, (await good.offer())["job"])
    for _ in range(3):
        await ends(bad, (await bad.offer())["job"], "failed", code="exit-code", exit_code=1)
    statuses = site.work.runtime.resources
    await shown(lambda: statuses.statuses)
    assert ("pilot", "bad") in {(kind, name) for _, kind, name, _ in statuses.statuses}  # its node may be named, too
    assert not any(name in ("p1", "n1") for _, _, name, _ in statuses.statuses)
    assert await bad.offer(BRIEF) is None
    assert await good.offer() is not None
