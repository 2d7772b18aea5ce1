"""Why a job is where it is, for every state."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from gateway_site import JOB, VO, Pilot, Site, limited, refusal, submitted

from domain.job import StallJob
from domain.pilot import LosePilot
from domain.values import subject
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


async def test_no_pilot_was_submitted_then_none_has_come(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", "JobAdministrator", "Operator")
    (job,) = await waiting(ann, JOB)
    found = await why(ann, job)
    assert (found["code"], found["who"], found["pilots"]) == ("no-pilot-submitted", "operator", 0)
    await boss.post("/api/v1/pilots", json={"stamp": "p1", "site": "LCG.CERN.cern"})
    assert (await why(ann, job))["code"] == "no-pilot-seen"


async def test_every_obstacle_is_counted_with_what_was_wanted_and_offered(site: Site) -> None:
    ann = await site.user("ann")
    one, two = await site.pilot("p1"), await site.pilot("p2", site="LCG.PIC.es")
    await seen(one)
    await seen(two, memory_mb=1000)
    (job,) = await waiting(ann, {**JOB, "sites": ["LCG.GRIDKA.de"], "min_ram_mb": 2000})
    found = await why(ann, job)
    assert (found["code"], found["who"], found["pilots"], found["fitting"]) == ("site", "user", 2, 0)
    figures = ("code", "wanted", "offered", "pilots", "alone", "of")
    assert [tuple(reason[name] for name in figures) for reason in found["reasons"]] == [
        ("site", "LCG.GRIDKA.de", "LCG.CERN.cern", 2, 1, 2),
        ("memory", "2000 MB", "1000 MB", 1, 0, 2),
    ]
    assert found["reasons"][1]["what"] == "memory 2000 MB is wanted, 1 of 2 pilots offered 1000 MB"
    assert found["openings"] == [{"code": "site", "what": "at Site LCG.CERN.cern", "slots": 1}]


@pytest.mark.parametrize(
    ("wanted", "code", "opening"),
    [
        ({"platforms": ["el9"]}, "platform", "at Platform Linux"),
        ({"tags": ["gpu"]}, "tag", "without Tags gpu"),
        ({"cpu_time": 200_000}, "cpu-time", "at CPUTime ≤ 86400"),
        ({"banned_sites": ["LCG.CERN.cern"]}, "site-banned", "without BannedSites"),
        ({"processors": 8}, "processors", "at NumberOfProcessors ≤ 2"),
    ],
)
async def test_what_a_job_asks_too_much_of_is_named_with_what_would_match(
    site: Site, wanted: dict[str, Any], code: str, opening: str
) -> None:
    ann = await site.user("ann")
    for number in range(3):
        await seen(await site.pilot(f"p{number}"))
    (job,) = await waiting(ann, {**JOB, **wanted})
    found = await why(ann, job)
    assert (found["code"], found["who"], found["pilots"], found["fitting"]) == (code, "user", 3, 0)
    (reason,) = found["reasons"]
    assert (reason["pilots"], reason["alone"]) == (3, 3)
    assert found["openings"] == [{"code": code, "what": opening, "slots": 3}]
    assert f"would match {opening}: 3 slots" in found["detail"]


async def test_a_pilot_that_had_what_it_takes_was_lost(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot("p1")
    await seen(pilot)
    (job,) = await waiting(ann, {**JOB, "tags": ["gpu"]})
    (other,) = await waiting(ann, {**JOB, "sites": ["LCG.PIC.es"]})
    there = await site.pilot("p3", site="LCG.PIC.es")
    taken = await there.offer(tags=[])
    assert taken["job"] == other
    (again,) = await waiting(ann, {**JOB, "sites": ["LCG.PIC.es"]})
    await site.world.ask(Principal("timer", "", VO), [(uuid4(), LosePilot(VO, "p3", 1))])
    async with asyncio.timeout(20):
        while (found := await why(ann, again))["code"] != "pilot-lost":
            await asyncio.sleep(0.05)
    assert (found["who"], found["next"], found["lost"]) == ("site", "spinor pilot show p3", ["p3"])
    assert (await why(ann, job))["code"] == "tag"


async def test_a_banned_site_is_named_with_who_banned_it_since_when_and_by_which_event(site: Site) -> None:
    ann, boss, pilot = await site.user("ann"), await site.user("boss", "Operator"), await site.pilot("p1")
    await seen(pilot)
    place = {"resources": [{"kind": "site", "name": "LCG.CERN.cern"}], "status": "Banned", "reason": "power cut"}
    assert (await boss.post("/api/v1/resources", json=place)).status_code == 200
    (job,) = await waiting(ann, JOB)
    async with asyncio.timeout(20):
        while (found := await why(ann, job))["code"] != "resource-status":
            await asyncio.sleep(0.05)
    (reason,) = found["reasons"]
    assert (reason["detail"], reason["by"], reason["pilots"]) == ("power cut", subject(VO, "test", "boss"), 1)
    ids = await site.work.runtime.pool.fetch("select event_id from log_resources where topic = 'resource.status-set'")
    assert [str(row["event_id"]) for row in ids] == [reason["event"]]
    assert (found["who"], found["fitting"], found["open"]) == ("operator", 1, 0)


async def test_a_running_limit_is_named_with_how_many_run(site: Site) -> None:
    await limited(site, running={"job_type": {"User": 1}})
    ann, pilot = await site.user("ann"), await site.pilot("p1")
    await waiting(ann, JOB)
    assert await pilot.offer()
    (job,) = await waiting(ann, JOB)
    found = await why(ann, job)
    (reason,) = found["reasons"]
    assert (found["code"], reason["offered"]) == ("running-limit", "1 run")
    assert reason["rule"] == f"operations.{VO}.job_scheduling.sites.LCG.CERN.cern.running.job_type.User"
    assert "fewer than 1 for site LCG.CERN.cern" in found["detail"]


async def test_another_owner_who_has_had_less_comes_first(site: Site) -> None:
    ann, bob, pilot = await site.user("ann"), await site.user("bob"), await site.pilot("p1")
    await waiting(ann, JOB)
    assert await pilot.offer()
    (job,) = await waiting(ann, JOB)
    assert (await why(ann, job))["code"] == "pilots-busy"
    await waiting(bob, JOB)
    found = await why(ann, job)
    assert (found["code"], found["owners_before"]) == ("others-share-first", 1)
    assert found["estimate"]["matches"] == 1


async def test_jobs_of_the_same_owner_come_first_by_priority_and_by_age(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot("p1")
    await seen(pilot)
    (job,) = await waiting(ann, {**JOB, "priority": 1})
    await waiting(ann, {**JOB, "priority": 5, "cpu_time": 400}, {**JOB, "priority": 5, "sites": ["LCG.ELSE.where"]})
    found = await why(ann, job)
    assert (found["code"], found["queues_ahead"]) == ("higher-priority-first", 1)
    (other,) = await waiting(ann, {**JOB, "priority": 9, "tags": []})
    assert (await why(ann, other))["code"] == "pilots-busy"
    (behind,) = await waiting(ann, {**JOB, "priority": 9})
    assert ((await why(ann, behind))["code"], (await why(ann, behind))["ahead"]) == ("in-line", 1)


async def test_a_task_queue_says_the_same_to_those_who_may_see_it(site: Site) -> None:
    ann, eve, pilot = await site.user("ann"), await site.user("eve"), await site.pilot("p1")
    await seen(pilot)
    await waiting(ann, {**JOB, "tags": ["gpu"]})
    (queue,) = (await ann.get("/api/v1/queues")).json()["queues"]
    found = (await ann.get(f"/api/v1/queues/{queue['queue']}/why")).json()
    assert (found["code"], found["openings"][0]["slots"]) == ("tag", 1)
    refusal(await eve.get(f"/api/v1/queues/{queue['queue']}/why"), 404, "not-found")
    refusal(await ann.get(f"/api/v1/queues/{'0' * 32}/why"), 404, "not-found")


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
