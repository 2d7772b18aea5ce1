"""Why a job is where it is, for every state."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
from gateway_site import JOB, VO, Pilot, Site, submitted

from domain.job import StallJob
from gateway.ports import Principal


async def why(client: httpx.AsyncClient, job: int) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/jobs/{job}/why")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert {"job", "status", "since", "code", "detail", "who", "next"} <= found.keys()
    return found


async def waiting(client: httpx.AsyncClient, *jobs: dict[str, Any]) -> list[int]:
    numbers = await submitted(client, *jobs)
    async with asyncio.timeout(20):
        for job in numbers:
            while (await client.get(f"/api/v1/jobs/{job}")).json()["status"] != "Waiting":
                await asyncio.sleep(0.05)
    return numbers


async def seen(pilot: Pilot, **offer: Any) -> None:
    """The pilot offers something and gets nothing."""
    assert await pilot.offer(wait=0.3, **offer) is None


async def test_no_pilot_was_seen(site: Site) -> None:
    ann = await site.user("ann")
    (job,) = await waiting(ann, JOB)
    found = await why(ann, job)
    assert (found["code"], found["who"], found["pilots"]) == ("no-pilot-seen", "operator", 0)


async def test_every_obstacle_is_counted_with_what_was_wanted_and_offered(site: Site) -> None:
    ann = await site.user("ann")
    one, two = await site.pilot("p1"), await site.pilot("p2", site="LCG.PIC.es")
    await seen(one)
    await seen(two, memory_mb=1000)
    (job,) = await waiting(ann, {**JOB, "sites": ["LCG.GRIDKA.de"], "min_ram_mb": 2000})
    found = await why(ann, job)
    assert (found["code"], found["who"], found["pilots"], found["fitting"]) == ("site", "user", 2, 0)
    assert [{**reason, "what": ""} for reason in found["reasons"]] == [
        {"code": "site", "wanted": "LCG.GRIDKA.de", "offered": "LCG.CERN.cern", "pilots": 2, "of": 2, "what": ""},
        {"code": "memory", "wanted": "2000 MB", "offered": "1000 MB", "pilots": 1, "of": 2, "what": ""},
    ]
    assert found["reasons"][1]["what"] == "memory 2000 MB is wanted, 1 of 2 pilots offered 1000 MB"


async def test_pilots_fit_but_serve_others_first(site: Site) -> None:
    ann, bob, pilot = await site.user("ann"), await site.user("bob"), await site.pilot("p1")
    await seen(pilot)
    (job,) = await waiting(ann, {**JOB, "priority": 1})
    assert (await why(ann, job))["code"] == "pilots-busy"
    await waiting(bob, {**JOB, "priority": 5}, {**JOB, "priority": 5, "cpu_time": 400})
    await waiting(bob, {**JOB, "priority": 5, "sites": ["LCG.ELSE.where"]})
    found = await why(ann, job)
    assert (found["code"], found["ahead"], found["queues_ahead"]) == ("higher-priority-first", 2, 2)
    (behind,) = await waiting(ann, {**JOB, "priority": 1})
    await waiting(ann, {**JOB, "priority": 9})
    assert (await why(ann, behind))["ahead"] == 4


async def test_a_running_job_names_its_pilot_and_since_when(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot("p1")
    (job,) = await submitted(ann)
    await pilot.offer()
    found = await why(ann, job)
    assert (found["code"], found["pilot"], found["site"]) == ("starting", "p1", "LCG.CERN.cern")
    await pilot.report(job, "started", 1, host="n1")
    await pilot.call("reports", {"alive": [{"job": job, "attempt": 1, "stdout_tail": "event 9"}]})
    await site.work.runtime.liveness.flush()
    found = await why(ann, job)
    assert (found["code"], found["report"]["stdout_tail"]) == ("running", "event 9")
    assert found["started_at"]
    assert found["job_heard_at"]
    assert found["pilot_heard_at"]
    who = Principal("timer", "", VO)
    await site.world.ask(who, [(uuid4(), StallJob(job, 1))])
    assert (await why(ann, job))["code"] == "silent"
    await pilot.report(job, "completing", 2, exit_code=0)
    assert (await why(ann, job))["code"] == "completing"
    await pilot.report(job, "done", 3, exit_code=0)
    assert (await why(ann, job))["code"] == "done"


async def test_a_failed_job_says_who_must_act_and_what_to_do(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot("p1")
    (job,) = await submitted(ann)
    await pilot.offer()
    await pilot.report(job, "started", 1, host="n1")
    await pilot.report(job, "failed", 2, code="exit-code", exit_code=3, detail="see std.err")
    found = await why(ann, job)
    assert found["code"] == "exit-code"
    assert found["detail"] == "its program ended with exit code 3"
    assert (found["who"], found["next"]) == ("user", f"spinor job output {job}")
    assert (found["exit_code"], found["said"], found["attempt"]) == (3, "see std.err", 1)


async def test_a_killed_job_says_who_did_it(site: Site) -> None:
    ann = await site.user("ann")
    (job,) = await submitted(ann)
    await ann.post(f"/api/v1/jobs/{job}/kill", json={"reason": "a mistake"})
    assert (await why(ann, job))["detail"] == "ann killed it: a mistake"
    await ann.post(f"/api/v1/jobs/{job}/delete")
    assert (await why(ann, job))["code"] == "deleted"
