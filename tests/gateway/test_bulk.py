"""One act on all jobs that a query finds: counted, confirmed, carried out, undone."""

import asyncio
from typing import Any

import httpx
from gateway_site import JOB, Site, refusal, submitted

ROUTE = "/api/v1/bulk"


async def done(client: httpx.AsyncClient, action: str, *states: str) -> dict[str, Any]:
    """The action, once it is in one of these states."""
    async with asyncio.timeout(60):
        while True:
            row: dict[str, Any] = (await client.get(f"{ROUTE}/{action}")).json()
            if row["status"] in states:
                return row
            await asyncio.sleep(0.05)


async def waiting(client: httpx.AsyncClient, count: int) -> None:
    async with asyncio.timeout(60):
        while len((await client.get("/api/v1/jobs?status=Waiting&limit=1000")).json()["jobs"]) < count:
            await asyncio.sleep(0.05)


async def held(client: httpx.AsyncClient) -> list[int]:
    rows = (await client.get("/api/v1/jobs?limit=1000")).json()["jobs"]
    return sorted(row["job"] for row in rows if row["held"])


async def test_jobs_are_counted_held_and_let_go_by_one_action(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob")
    jobs = await submitted(ann, *[{**JOB, "name": "fit"}] * 600, JOB)
    await submitted(bob, {**JOB, "name": "fit"})
    await waiting(ann, 601)
    answer = await ann.post(ROUTE, json={"verb": "hold", "where": {"name": "fit"}, "reason": "wrong"})
    assert answer.status_code == 201, answer.text
    plan = answer.json()
    assert (plan["jobs"], plan["by_status"], plan["first"]) == (600, {"Waiting": 600}, jobs[:20])
    assert await held(ann) == []
    action = plan["action"]
    assert (await ann.post(f"{ROUTE}/{action}/confirm")).status_code == 200
    assert (await done(ann, action, "Done"))["acted"] == 600
    assert await held(ann) == jobs[:600]
    assert await held(bob) == []
    assert (await ann.post(f"{ROUTE}/{action}/undo")).status_code == 200
    await done(ann, action, "Undone")
    assert await held(ann) == []


async def test_a_plan_touches_only_what_its_author_may_act_on(site: Site) -> None:
    ann, bob, boss = await site.user("ann"), await site.user("bob"), await site.user("boss", "JobAdministrator")
    await submitted(ann, JOB, JOB)
    where = {"verb": "kill", "where": {"owner": "ann"}}
    refusal(await bob.post(ROUTE, json=where), 404, "not-found")
    plan = (await boss.post(ROUTE, json=where)).json()
    assert plan["jobs"] == 2
    for path in ("", "/confirm", "/undo"):
        ask = bob.get if not path else bob.post
        refusal(await ask(f"{ROUTE}/{plan['action']}{path}"), 404, "not-found")
    assert (await bob.get(ROUTE)).json() == {"actions": []}
    assert [each["verb"] for each in (await boss.get(ROUTE)).json()["actions"]] == ["kill"]


async def test_an_action_needs_a_query_and_a_way_back_to_be_undone(site: Site) -> None:
    ann = await site.user("ann")
    await submitted(ann, JOB)
    refusal(await ann.post(ROUTE, json={"verb": "kill", "where": {}}), 400, "malformed")
    refusal(await ann.post(ROUTE, json={"verb": "burn", "where": {"owner": "me"}}), 422, "malformed")
    refusal(await ann.post(ROUTE, json={"verb": "hold", "where": {"owner": "me"}, "code": "audit"}), 403, "forbidden")
    action = (await ann.post(ROUTE, json={"verb": "delete", "where": {"owner": "me"}})).json()["action"]
    refusal(await ann.post(f"{ROUTE}/{action}/undo"), 409, "bulk-gone")
    await ann.post(f"{ROUTE}/{action}/confirm")
    await done(ann, action, "Done")
    assert (await ann.get("/api/v1/jobs")).json()["jobs"] == []
    refusal(await ann.post(f"{ROUTE}/{action}/undo"), 409, "not-undone")
