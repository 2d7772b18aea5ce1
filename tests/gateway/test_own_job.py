"""A running job speaks for itself, with a token that is good for nothing else and dies with its attempt."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from gateway_site import ALL, JOB, VO, Pilot, Site, refusal, stored, submitted

from domain.values import subject
from gateway.ports import Principal
from gateway.rights import walk
from infra.tokens import Tokens

MINE = "/api/v1/me/job"
EXTRA = {"label": "plots", "checksum": "0" * 64, "size": 1, "format": "tar.bz2"}
ROUTES: dict[str, dict[str, Any] | None] = {  # every route with the rule `job`, and a body that it would take
    f"GET {MINE}": None,
    f"GET {MINE}/inputs": None,
    f"POST {MINE}/status": {"application": "event 7"},
    f"POST {MINE}/parameters": {"values": {"events": 7}},
    f"POST {MINE}/outputs": EXTRA,
    f"GET {MINE}/data/inputs": None,
    f"POST {MINE}/data/outputs": {"files": [{"name": "x", "size": 1, "sha256": "0" * 64}]},
    f"POST {MINE}/data/outputs/confirm": {"files": [{"name": "x", "se": "DISK"}]},
}


async def begun(site: Site, pilot: Pilot, name: str = "ann", **job: Any) -> tuple[int, httpx.AsyncClient]:
    """A job of this user that runs in this pilot, and its own way to the gateway."""
    (number,) = await submitted(await site.user(name), JOB | job)
    match = await pilot.offer()
    assert match["job"] == number
    assert (await pilot.report(number, "started", 1, host="n1", pid=7))["ok"]
    return number, await site.client(match["token"]["access_token"])


async def every(client: httpx.AsyncClient, status: int, code: str) -> None:
    """Every route of jobs refuses this client so."""
    for name, body in ROUTES.items():
        method, path = name.split()
        refusal(await client.request(method, path, json=body), status, code)


def test_the_table_of_routes_is_whole(site: Site) -> None:
    from gateway.app import create

    world: Any = None
    walked = {f"{route.methods} {route.path}" for route in walk(create(world)) if route.rules == ("job",)}
    assert walked == set(ROUTES)


async def test_a_job_knows_itself_and_says_how_far_it_is(site: Site) -> None:
    pilot, ann = await site.pilot(), await site.user("ann")
    pfn = await stored(ann, b"input")
    job, itself = await begun(site, pilot, input_sandbox=[pfn])
    found = (await itself.get(MINE)).json()
    assert (found["job"], found["attempt"], found["owner"], found["status"]) == (job, 1, "ann", "Running")
    assert found["description"]["executable"] == "/bin/true"
    (given,) = (await itself.get(f"{MINE}/inputs")).json()["inputs"]
    assert (await (await site.client()).get(given["url"])).content == b"input"
    assert (await itself.post(f"{MINE}/status", json={"application": "event 7"})).status_code == 200
    assert (await itself.post(f"{MINE}/parameters", json={"values": {"events": 7}})).status_code == 200
    assert (await ann.get(f"/api/v1/jobs/{job}")).json()["application_status"] == "event 7"
    lines = (await ann.get(f"/api/v1/jobs/{job}/history")).json()["lines"]
    assert [line["actor"] for line in lines[-2:]] == ["the job", "the job"]
    assert (await pilot.report(job, "completing", 2))["ok"]  # the pilot's numbers are not touched
    assert (await ann.get(f"/api/v1/jobs/{job}")).json()["status"] == "Completing"


async def test_a_further_output_is_its_owners(site: Site) -> None:
    job, itself = await begun(site, await site.pilot())
    pfn = await stored(itself, b"plots", f"{MINE}/outputs", label="plots")
    ann = await site.user("ann")
    assert f"/{subject(VO, 'test', 'ann')}/" in pfn
    url = (await ann.get("/api/jobs/sandbox", params={"pfn": pfn})).json()["url"]
    assert (await (await site.client()).get(url)).content == b"plots"
    bob = await site.user("bob")
    refusal(await bob.get("/api/jobs/sandbox", params={"pfn": pfn}), 403, "forbidden")
    lines = (await ann.get(f"/api/v1/jobs/{job}/history")).json()["lines"]
    assert "output plots" in lines[-1]["what"]


async def test_a_jobs_token_opens_nothing_else(site: Site) -> None:
    job, itself = await begun(site, await site.pilot())
    for path in ("", "s", f"s/{job}", f"s/{job}/history"):
        answer = await itself.get(f"/api/v1/job{path}" if path else "/api/v1/whoami")
        refusal(answer, 403, "forbidden")
    refusal(await itself.post("/api/v1/jobs", json={"jobs": [JOB]}), 403, "forbidden")
    refusal(await itself.post(f"/api/v1/jobs/{job}/kill"), 403, "forbidden")
    refusal(await itself.post("/api/v1/pilot/reports", json={}), 403, "forbidden")
    refusal(await itself.post("/api/v1/pilot/job-token", json={"job": job, "attempt": 1}), 403, "forbidden")


async def ended(site: Site, pilot: Pilot, job: int) -> None:
    assert (await pilot.report(job, "done", 2, exit_code=0))["ok"]


async def killed(site: Site, pilot: Pilot, job: int) -> None:
    assert (await (await site.user("ann")).post(f"/api/v1/jobs/{job}/kill")).status_code == 200


async def started_again(site: Site, pilot: Pilot, job: int) -> None:
    """The same job runs in the same pilot, as another attempt."""
    assert (await pilot.report(job, "failed", 2, code="disk-full"))["ok"]
    match = await pilot.offer()
    assert (match["job"], match["attempt"]) == (job, 2)
    assert (await pilot.report(job, "started", 1, attempt=2))["ok"]


@pytest.mark.parametrize("end", [ended, killed, started_again], ids=lambda end: end.__name__)
async def test_a_jobs_token_dies_with_its_attempt(
    site: Site, end: Callable[[Site, Pilot, int], Awaitable[None]]
) -> None:
    pilot = await site.pilot()
    job, itself = await begun(site, pilot)
    await end(site, pilot, job)
    await every(itself, 401, "job-token")
    refusal(await pilot.post("job-token", {"job": job, "attempt": 1}), 403, "pilot-job")


async def test_a_jobs_token_dies_with_its_owners_suspension(site: Site) -> None:
    pilot, boss = await site.pilot(), await site.user("boss", *ALL)
    job, itself = await begun(site, pilot)
    answer = await boss.post("/api/v1/suspensions", json={"kind": "user", "name": "ann", "reason": "a stolen laptop"})
    assert answer.status_code == 201
    async with asyncio.timeout(20):
        while (await itself.get(MINE)).status_code == 200:
            await asyncio.sleep(0.05)
    await every(itself, 403, "suspended")
    refusal(await pilot.post("job-token", {"job": job, "attempt": 1}), 403, "suspended")


async def test_only_a_jobs_own_token_lets_it_in(site: Site) -> None:
    pilot, ann = await site.pilot(), await site.user("ann")
    job, _ = await begun(site, pilot)
    owner = subject(VO, "test", "ann")
    await every(ann, 403, "forbidden")
    await every(pilot.client, 403, "forbidden")
    await every(await site.client(), 401, "no-token")
    own = Principal("job", owner, VO, "ann", "lhcb_user", job=job, attempt=1, pilot="p1")
    await every(await site.client(Tokens(b"other" * 8).issue(own, 60)), 401, "no-token")
    await every(await site.client(site.world.issue(own, -60)), 401, "no-token")
    strange: list[dict[str, Any]] = [
        {"job": job + 1}, {"attempt": 2}, {"pilot": "p2"}, {"vo": "belle"}, {"subject": "bob"}, {"group": "prod"},
    ]  # fmt: skip
    facts = {"subject": owner, "vo": VO, "group": "lhcb_user", "job": job, "attempt": 1, "pilot": "p1"}
    for change in strange:
        forged = Principal("job", name="ann", **facts | change)
        await every(await site.client(site.world.issue(forged, 60)), 401, "job-token")


async def test_what_a_job_says_is_held_to_bounds(site: Site) -> None:
    _, itself = await begun(site, await site.pilot())
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    for values, status, code in (({"x": deep}, 400, "malformed"), ({"x": "y" * 70_000}, 413, "too-large"),
                                 ({"x": "\0"}, 400, "malformed"), ({}, 422, "malformed")):  # fmt: skip
        refusal(await itself.post(f"{MINE}/parameters", json={"values": values}), status, code)
    refusal(await itself.post(f"{MINE}/status", json={"application": "x" * 300}), 422, "malformed")
    refusal(await itself.post(f"{MINE}/outputs", json=EXTRA | {"label": "../x"}), 422, "malformed")


async def test_a_pilot_renews_the_token_of_a_job_that_it_holds_and_of_no_other(site: Site) -> None:
    one, two = await site.pilot("p1"), await site.pilot("p2")
    job, _ = await begun(site, one)
    again = await one.call("job-token", {"job": job, "attempt": 1})
    assert again["token_type"] == "Bearer" and again["expires_in"] > 60
    assert (await (await site.client(again["access_token"])).get(MINE)).json()["job"] == job
    for pilot, attempt in ((two, 1), (one, 2)):
        refusal(await pilot.post("job-token", {"job": job, "attempt": attempt}), 403, "pilot-job")
