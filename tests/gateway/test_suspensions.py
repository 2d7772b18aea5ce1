"""Suspended in one place, kept out everywhere: users, groups, a VO, their jobs, and nobody else."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from gateway_site import ALL, JOB, VO, Site, refusal, submitted

from domain.configuration import ChangeConfiguration
from domain.session import OpenSession
from domain.values import subject
from gateway.ports import Principal
from projections import sessions

NORMAL = {"properties": ["NormalUser"]}
CONFIGURES = {"properties": ["CSAdministrator"]}
ROUTE = "/api/v1/suspensions"
ANN = {"kind": "user", "name": "ann", "reason": "a stolen laptop"}


async def suspended(boss: httpx.AsyncClient, **whom: object) -> dict[str, object]:
    answer = await boss.post(ROUTE, json=ANN | whom)
    assert answer.status_code == 201, answer.text
    found: dict[str, object] = answer.json()
    return found


async def kept_out(client: httpx.AsyncClient, reason: str = "a stolen laptop") -> None:
    async with asyncio.timeout(20):
        while (answer := await client.get("/api/v1/whoami")).status_code == 200:
            await asyncio.sleep(0.05)
    told = refusal(answer, 403, "suspended")
    assert reason in told["detail"] and "ask" in told["next"]


async def let_in(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(20):
        while (await client.get("/api/v1/whoami")).status_code != 200:
            await asyncio.sleep(0.05)


async def test_a_suspended_user_is_kept_out_and_let_in_again(site: Site) -> None:
    ann, bob, boss = await site.user("ann"), await site.user("bob"), await site.user("boss", *ALL)
    (job,) = await submitted(ann)
    found = await suspended(boss)
    assert (found["name"], found["label"], found["active"]) == (subject(VO, "test", "ann"), "ann", True)
    await kept_out(ann)
    refusal(await ann.post("/api/v1/jobs", json={"jobs": [JOB]}), 403, "suspended")
    refusal(await ann.post(f"/api/v1/jobs/{job}/kill"), 403, "suspended")
    assert (await bob.get("/api/v1/whoami")).status_code == 200
    assert (await boss.post(f"{ROUTE}/resume", json=ANN)).json()["active"] is False
    await let_in(ann)
    assert (await boss.get(ROUTE)).json() == {"suspensions": []}
    (past,) = (await boss.get(ROUTE, params={"all": True})).json()["suspensions"]
    assert past["ended_by"] == f"user:{subject(VO, 'test', 'boss')}"


async def test_a_suspension_ends_at_its_time(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", *ALL)
    await submitted(ann)
    soon = datetime.now(UTC) + timedelta(seconds=4)
    await suspended(boss, until=soon.isoformat())
    await kept_out(ann)
    await let_in(ann)
    async with asyncio.timeout(60):
        while (await boss.get(ROUTE)).json()["suspensions"]:
            await asyncio.sleep(0.1)


async def test_a_suspended_groups_members_may_still_act_for_another_group(site: Site) -> None:
    prod, user = await site.user("ann", group="prod"), await site.user("ann")
    boss = await site.user("boss", *ALL)
    await suspended(boss, kind="group", name="prod", reason="a wrong production")
    await kept_out(prod, "a wrong production")
    assert (await user.get("/api/v1/whoami")).status_code == 200


async def test_a_suspended_vo_is_resumed_by_its_manager_who_may_do_nothing_else(site: Site) -> None:
    ann, boss, other = await site.user("ann"), await site.user("boss", *ALL), await site.user("eve", vo="belle")
    await suspended(boss, kind="vo", name=VO, reason="an incident")
    await kept_out(ann, "an incident")
    refusal(await boss.get("/api/v1/jobs"), 403, "suspended")
    assert (await other.get("/api/v1/whoami")).status_code == 200
    assert (await boss.post(f"{ROUTE}/resume", json={"kind": "vo", "name": VO})).status_code == 200
    await let_in(ann)


async def test_jobs_of_whoever_is_suspended_are_given_to_no_pilot(site: Site) -> None:
    ann, boss, pilot = await site.user("ann"), await site.user("boss", *ALL), await site.pilot()
    (job,) = await submitted(ann)
    await suspended(boss)
    await kept_out(ann)
    assert await pilot.offer(wait=1) is None
    (theirs,) = await submitted(await site.user("bob"))
    assert (await pilot.offer())["job"] == theirs
    await boss.post(f"{ROUTE}/resume", json=ANN)
    assert (await pilot.offer())["job"] == job


async def held(client: httpx.AsyncClient, jobs: list[int], reason: str | None) -> None:
    """Wait until the jobs are held for this, or for nothing."""
    async with asyncio.timeout(60):
        while True:
            rows = (await client.get("/api/v1/jobs", params={"limit": 1000})).json()["jobs"]
            if {row["held"] for row in rows if row["job"] in jobs} == {reason}:
                return
            await asyncio.sleep(0.1)


async def test_jobs_that_wait_are_held_and_freed_again_and_those_of_others_are_not(site: Site) -> None:
    ann, bob, boss = await site.user("ann"), await site.user("bob"), await site.user("boss", *ALL)
    mine, theirs = await submitted(ann, *[JOB] * 1100), await submitted(bob)
    await suspended(boss)
    await held(boss, mine[-900:], "user-suspended")
    await held(boss, theirs, None)
    (row,) = (await boss.get(ROUTE)).json()["suspensions"]
    assert row["jobs"] == 1100
    async with asyncio.timeout(60):
        while not (await boss.get(ROUTE)).json()["suspensions"][0]["swept"]:
            await asyncio.sleep(0.1)
    told = (await boss.get(f"/api/v1/jobs/{mine[0]}")).json()
    assert (told["status"], told["held_detail"]) == ("Waiting", "a stolen laptop")
    await suspended(boss, kind="vo", name=VO, reason="an incident")
    await boss.post(f"{ROUTE}/resume", json=ANN)
    await boss.post(f"{ROUTE}/resume", json={"kind": "vo", "name": VO})
    await let_in(ann)
    await held(boss, mine[-900:], None)
    pilot = await site.pilot()
    assert mine[0] in [(await pilot.offer())["job"] for _ in range(2)]  # the other one may be Bob's


async def test_running_jobs_go_on_or_are_killed_as_it_was_said(site: Site) -> None:
    ann, bob, boss = await site.user("ann"), await site.user("bob"), await site.user("boss", *ALL)
    pilot, jobs = await site.pilot(), {}
    for name, client in (("ann", ann), ("bob", bob)):
        (jobs[name],) = await submitted(client)
        assert (await pilot.offer())["job"] == jobs[name]
        assert (await pilot.report(jobs[name], "started", 1, host="n1"))["ok"]
    await suspended(boss, running="kill")
    await suspended(boss, name="bob", running="run")
    await kept_out(ann)
    await kept_out(bob)
    async with asyncio.timeout(60):
        while (await boss.get(f"/api/v1/jobs/{jobs['ann']}")).json()["status"] != "Killed":
            await asyncio.sleep(0.1)
    alive = [{"job": job, "attempt": 1} for job in jobs.values()]
    answer = await pilot.call("reports", {"alive": alive})
    assert answer["commands"] == [{"job": jobs["ann"], "attempt": 1, "command": "kill"}]
    assert (await pilot.report(jobs["bob"], "done", 2, exit_code=0))["ok"]


async def test_a_job_that_comes_back_while_its_owner_is_suspended_is_held(site: Site) -> None:
    ann, boss, pilot = await site.user("ann"), await site.user("boss", *ALL), await site.pilot()
    (job,) = await submitted(ann)
    await pilot.offer()
    await pilot.report(job, "started", 1)
    await suspended(boss)
    await kept_out(ann)
    assert (await pilot.report(job, "failed", 2, code="disk-full"))["ok"]  # which is tried again elsewhere
    await held(boss, [job], "user-suspended")
    await boss.post(f"{ROUTE}/resume", json=ANN)
    match = await pilot.offer()
    assert (match["job"], match["attempt"]) == (job, 2)


async def test_sessions_end_and_the_one_who_suspends_a_vo_keeps_theirs(site: Site) -> None:
    boss, later = await site.user("boss", *ALL), datetime.now(UTC) + timedelta(days=1)
    opened = {}
    for name in ("ann", "boss"):
        opened[name] = uuid4()
        who = Principal("user", subject(VO, "test", name), VO)
        command = OpenSession(opened[name], "device", who.subject, name, f"{VO}:{name}", "lhcb_user", later)
        (answer,) = await site.world.ask(who, [(uuid4(), command)])
        assert answer.refusal is None
    await suspended(boss, kind="vo", name=VO, reason="an incident")
    async with asyncio.timeout(60):
        while True:
            rows = {n: (await site.world.read(sessions.one(session)))[0]["reason"] for n, session in opened.items()}
            if rows["ann"]:
                break
            await asyncio.sleep(0.1)
    assert rows == {"ann": "suspended", "boss": None}


async def configured(site: Site, registry: dict[str, Any]) -> None:
    """The registry of the VO, as the operator writes it."""
    root = Principal("user", "root", "", rights=frozenset({"CSAdministrator"}))
    command = ChangeConfiguration(site.work.runtime.configuration.revision, {f"/registry/{VO}": registry})
    (answer,) = await site.world.ask(root, [(uuid4(), command)])
    assert answer.refusal is None, answer.refusal
    await site.work.runtime.configuration.load()
    await site.work.runtime.suspensions.read()


async def test_the_configuration_suspends_people_and_says_whom_to_ask_and_what_becomes_of_running_jobs(
    site: Site,
) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", *ALL)
    await configured(site, {
        "idp": {"issuer": "https://idp.example.org", "client_id": "spinor"}, "default_group": "lhcb_user",
        "groups": {"lhcb_user": NORMAL, "prod": NORMAL | {"suspended": True}, "ops": CONFIGURES},
        "users": {"sub-7": {"preferred_username": "zoe", "suspended": True}},
        "support": {"email": "help@example.org"}, "suspension": {"running_jobs": "kill"},
    })  # fmt: skip
    zoe = Principal("user", subject(VO, "https://idp.example.org", "sub-7"), VO, "zoe", "lhcb_user")
    told = refusal(await (await site.client(site.world.issue(zoe, 60))).get("/api/v1/whoami"), 403, "suspended")
    assert (told["name"], told["next"]) == ("zoe", "ask help@example.org")
    refusal(await (await site.user("ann", group="prod")).get("/api/v1/whoami"), 403, "suspended")
    assert (await ann.get("/api/v1/whoami")).status_code == 200
    assert (await suspended(boss, name="zoe"))["running"] == "kill"


async def test_who_may_suspend_whom(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", *ALL)
    eve = await site.user("eve", *ALL, vo="belle")
    await submitted(ann)
    await submitted(boss)
    refusal(await ann.post(ROUTE, json=ANN), 403, "forbidden")
    refusal(await ann.get(ROUTE), 403, "forbidden")
    refusal(await eve.post(ROUTE, json=ANN), 404, "not-found")
    refusal(await eve.post(ROUTE, json=ANN | {"kind": "vo", "name": VO}), 400, "suspension")
    refusal(await boss.post(ROUTE, json=ANN | {"name": "boss"}), 400, "suspension")
    refusal(await boss.post(ROUTE, json=ANN | {"reason": ""}), 400, "suspension")
    refusal(await boss.post(ROUTE, json=ANN | {"until": "2020-01-01T00:00:00Z"}), 400, "suspension")
    refusal(await boss.post(ROUTE, json=ANN | {"until": "2100-01-01T00:00:00"}), 422, "malformed")
    refusal(await boss.post(f"{ROUTE}/resume", json=ANN), 404, "not-found")
    await suspended(boss)
    assert (await eve.get(ROUTE)).json() == {"suspensions": []}


async def test_names_are_sealed_in_the_log_of_suspensions(site: Site) -> None:
    ann, boss = await site.user("annabella"), await site.user("boss", *ALL)
    await submitted(ann)
    await suspended(boss, name="annabella")
    rows = await site.work.runtime.pool.fetch("select data from log_identity")
    assert rows and not [row for row in rows if "annabella" in row["data"]]
