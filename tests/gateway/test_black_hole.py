"""One pilot of fifty fails everything at once: the queue is not eaten, and everybody can see who did it."""

import asyncio
import os

import httpx
import pytest
from gateway_site import ALL, Pilot, Site, submitted

JOBS = int(os.environ.get("BLACK_HOLE_JOBS", "200"))  # 5000: the whole figure
PATIENCE = 120 + JOBS // 5  # seconds, on a busy machine
PILOTS = 50
BAD = "p13"
LOST = 5


async def works(pilot: Pilot, ended: set[int], end: asyncio.Event) -> None:
    """Take job after job and end it at once, well or (the bad one) not."""
    kind = {"kind": "failed", "code": "exit-code", "exit_code": 1} if pilot.stamp == BAD else {"kind": "done"}
    while not end.is_set():
        if match := await pilot.offer(wait=1):
            about = {"job": match["job"], "attempt": match["attempt"], "at": "2026-01-02T03:04:05+00:00"}
            reports = [about | {"seq": 1, "kind": "started"}, about | {"seq": 2} | kind]
            answer = await pilot.call("reports", {"reports": reports})
            assert all(result["ok"] for result in answer["results"]), answer
            ended.add(match["job"])
            if len(ended) == JOBS:
                end.set()


async def told(client: httpx.AsyncClient, kind: str) -> list[tuple[str, str, str]]:
    rows = (await client.get("/api/v1/resources", params={"kind": kind})).json()["resources"]
    return [(row["name"], row["status"], row["author"]) for row in rows]


@pytest.mark.timeout(PATIENCE + 120)
async def test_a_pilot_that_fails_everything_costs_few_jobs_and_is_named(site: Site) -> None:
    ann, end, ended = await site.user("ann"), asyncio.Event(), set[int]()
    for start in range(0, JOBS, 1000):
        await submitted(ann, *[{"executable": "/bin/true", "name": "many"}] * min(1000, JOBS - start))
    pilots = [
        await site.pilot(f"p{n}", node={"hostname": f"n{n}", "platform": "Linux", "processors": 2, "memory_mb": 4000})
        for n in range(PILOTS)
    ]
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for each in pilots:
            group.create_task(works(each, ended, end))
    failed = (await ann.get("/api/v1/jobs", params={"status": "Failed", "limit": 1000})).json()["jobs"]
    assert {row["pilot"] for row in failed} == {BAD}
    assert len(failed) <= LOST
    (pilot,), (node,) = await told(ann, "pilot"), await told(ann, "node")
    assert (pilot[0], node[0]) == (BAD, "LCG.CERN.cern/n13")
    assert {pilot[1], node[1]} <= {"Probing", "Banned"}  # the third failure comes with the first probe, a minute later
    assert {pilot[2], node[2]} == {"policy:black-holes"}
    shown = (await ann.get(f"/api/v1/pilots/{BAD}")).json()
    assert [each["kind"] for each in shown["standing"]] == ["pilot", "node"]
    assert "elsewhere" in shown["standing"][0]["reason"]  # what the blame rests on: others do well


async def test_jobs_that_fail_everywhere_are_not_blamed_on_pilots(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", *ALL)
    jobs = await submitted(ann, *[{"executable": "/bin/false"}] * 24)
    pilots = [await site.pilot(f"p{n}", node={"hostname": f"n{n}", "processors": 2}) for n in range(6)]

    async def fails(pilot: Pilot) -> None:
        for _ in range(4):
            match = await pilot.offer(wait=30)
            assert (await pilot.report(match["job"], "failed", 1, code="exit-code"))["ok"]

    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for pilot in pilots:
            group.create_task(fails(pilot))
    assert await told(boss, "pilot") == []
    rows = (await ann.get("/api/v1/jobs", params={"status": "Failed", "limit": 1000})).json()["jobs"]
    assert len(rows) == len(jobs)
