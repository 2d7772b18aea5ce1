"""What may be done to jobs besides ending them: hold, release, priority, reset; and what they tell meanwhile."""

import asyncio

from gateway_site import JOB, Site, refusal, submitted


async def test_a_held_job_is_given_to_no_pilot_until_it_is_released(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot()
    first, second = await submitted(ann, JOB, JOB)
    answer = await ann.post(f"/api/v1/jobs/{first}/hold", json={"reason": "wrong input"})
    assert answer.status_code == 200, answer.text
    assert (await pilot.offer())["job"] == second
    why = (await ann.get(f"/api/v1/jobs/{first}/why")).json()
    assert (why["code"], why["codes"], why["by"]) == ("held", ["user"], "ann")
    assert "wrong input" in why["detail"]
    assert why["next"] == f"spinor job release {first} --code user"
    row = (await ann.get(f"/api/v1/jobs/{first}")).json()
    assert (row["held"], row["held_detail"]) == ("user", "wrong input")
    await ann.post(f"/api/v1/jobs/{first}/release")
    assert (await pilot.offer())["job"] == first


async def test_an_owner_cannot_release_what_an_administrator_holds(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", "JobAdministrator")
    (job,) = await submitted(ann)
    assert (await boss.post(f"/api/v1/jobs/{job}/hold", json={"code": "audit"})).status_code == 200
    refusal(await ann.post(f"/api/v1/jobs/{job}/release", json={"code": "audit"}), 403, "forbidden")
    assert (await ann.post(f"/api/v1/jobs/{job}/release")).status_code == 200
    assert (await ann.get(f"/api/v1/jobs/{job}")).json()["held"] == "audit"


async def test_a_waiting_job_of_higher_priority_comes_first(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot()
    first, second, third = await submitted(ann, JOB, JOB, JOB)
    async with asyncio.timeout(60):  # a pilot that comes earlier gets what waits already
        while len((await ann.get("/api/v1/jobs?status=Waiting")).json()["jobs"]) < 3:
            await asyncio.sleep(0.05)
    answer = await ann.post("/api/v1/jobs/priority", json={"jobs": [third, 4711], "priority": 7})
    assert answer.json()["counts"] == {"done": 1, "refused": 1}
    assert [(await pilot.offer())["job"] for _ in range(3)] == [third, first, second]
    refusal(await ann.post(f"/api/v1/jobs/{first}/priority", json={"priority": 11}), 422, "malformed")
    refusal(await ann.post(f"/api/v1/jobs/{first}/priority", json={"priority": 3}), 409, "job-state")


async def test_only_an_administrator_gives_a_job_its_attempts_back(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", "JobAdministrator")
    (job,) = await submitted(ann)
    await ann.post(f"/api/v1/jobs/{job}/kill")
    await ann.post(f"/api/v1/jobs/{job}/reschedule")
    await ann.post(f"/api/v1/jobs/{job}/kill")
    refusal(await ann.post(f"/api/v1/jobs/{job}/reset"), 403, "forbidden")
    assert (await boss.post(f"/api/v1/jobs/{job}/reset")).status_code == 200
    row = (await ann.get(f"/api/v1/jobs/{job}")).json()
    assert (row["attempt"], row["reschedules"]) == (3, 0)


async def test_members_of_a_sharing_group_act_on_each_others_jobs(site: Site) -> None:
    ann = await site.user("ann", "NormalUser", "JobSharing", group="prod")
    bob = await site.user("bob", "NormalUser", "JobSharing", group="prod")
    eve = await site.user("eve", "NormalUser", "JobSharing", group="other")
    watch = await site.user("watch", "JobMonitor", group="prod")
    (job,) = await submitted(ann)
    for who in (eve, watch):
        refusal(await who.post(f"/api/v1/jobs/{job}/hold"), 403, "job-not-yours")
    assert (await watch.get(f"/api/v1/jobs/{job}")).status_code == 200
    assert (await bob.post(f"/api/v1/jobs/{job}/hold")).status_code == 200
    assert (await bob.post(f"/api/v1/jobs/{job}/kill")).json()["status"] == "Killed"


async def test_an_act_meant_for_one_attempt_does_not_hit_the_next(site: Site) -> None:
    ann = await site.user("ann")
    (job,) = await submitted(ann)
    await ann.post(f"/api/v1/jobs/{job}/kill")
    assert (await ann.post(f"/api/v1/jobs/{job}/reschedule")).status_code == 200
    refusal(await ann.post(f"/api/v1/jobs/{job}/kill", json={"attempt": 1}), 409, "job-attempt")
    assert (await ann.post(f"/api/v1/jobs/{job}/kill", json={"attempt": 2})).json()["status"] == "Killed"


async def test_a_running_job_lets_its_owner_look_at_what_it_writes(site: Site) -> None:
    ann, bob, pilot = await site.user("ann"), await site.user("bob"), await site.pilot()
    (job,) = await submitted(ann)
    refusal(await ann.get(f"/api/v1/jobs/{job}/peek"), 409, "not-running")
    await pilot.offer()
    await pilot.report(job, "started", 1, host="n1", pid=17)
    await pilot.report(job, "parameters", 2, values={"ModelName": "EPYC"})
    await pilot.call("reports", {"reports": [], "alive": [{"job": job, "attempt": 1, "stdout_tail": "step 3\n"}]})
    await site.work.runtime.liveness.flush()
    answer = (await ann.get(f"/api/v1/jobs/{job}/peek")).json()
    assert (answer["status"], answer["stdout_tail"]) == ("Running", "step 3\n")
    assert answer["heard_at"]
    refusal(await bob.get(f"/api/v1/jobs/{job}/peek"), 403, "job-not-yours")
    (attempt,) = (await ann.get(f"/api/v1/jobs/{job}/parameters")).json()["attempts"]
    assert attempt["values"] == {"pilot": "p1", "site": "LCG.CERN.cern", "ce": "ce1", "host": "n1", "pid": 17,
                                 "ModelName": "EPYC"}  # fmt: skip


async def test_what_is_refused_is_counted(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", "Operator")
    foreign = await site.user("boss", "Operator", vo="belle")
    (job,) = await submitted(ann)
    for _ in range(3):
        refusal(await boss.post(f"/api/v1/jobs/{job}/kill"), 403, "job-not-yours")
    (counted,) = (await boss.get("/api/v1/refusals?days=2")).json()["refusals"]
    assert (counted["topic"], counted["code"], counted["count"]) == ("job.kill", "job-not-yours", 3)
    assert (await foreign.get("/api/v1/refusals")).json() == {"refusals": []}
    refusal(await ann.get("/api/v1/refusals"), 403, "forbidden")
