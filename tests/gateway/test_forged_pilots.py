"""Every route of pilots against everybody who is not the pilot they say they are."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from gateway_site import ALL, VO, Pilot, Site, refusal, submitted

from domain.configuration import ChangeConfiguration
from domain.values import subject
from gateway.app import create
from gateway.ports import Principal
from gateway.rights import walk
from infra.tokens import Tokens

SANDBOX = {"job": 1, "attempt": 1, "checksum": "0" * 64, "size": 1, "format": "tar.bz2"}
ROUTES: dict[str, Any] = {  # every route with the rule `pilot`, and a body that it would take
    "hello": {},
    "offer": {"offer": str(uuid4()), "processors": 1, "wait": 0},
    "reports": {"reports": [], "alive": []},
    "sandbox": SANDBOX,
    "job-token": {"job": 1, "attempt": 1},
    "bye": {},
}


def test_the_table_of_routes_is_whole() -> None:
    world: Any = None
    walked = {route.path.removeprefix("/api/v1/pilot/") for route in walk(create(world)) if route.rules == ("pilot",)}
    assert walked == set(ROUTES)


async def refused(client: httpx.AsyncClient, status: int, code: str) -> None:
    """Every route refuses this client so."""
    for name, body in ROUTES.items():
        refusal(await client.post(f"/api/v1/pilot/{name}", json=body), status, code)


async def begun(site: Site, pilot: Pilot, vo: str = VO) -> int:
    (job,) = await submitted(await site.user("ann", vo=vo))
    assert (await pilot.offer())["job"] == job
    assert (await pilot.report(job, "started", 1, host="n1"))["ok"]
    return job


async def test_no_token_but_a_pilots_own_opens_a_route_of_pilots(site: Site) -> None:
    await site.pilot("p1")
    own = Principal("pilot", "p1", VO, incarnation=1)
    await refused(await site.client(), 401, "no-token")
    await refused(await site.client("x.y.z"), 401, "no-token")
    await refused(await site.client(Tokens(b"other" * 8).issue(own, 60)), 401, "no-token")
    await refused(await site.client(site.world.issue(own, -60)), 401, "no-token")
    await refused(await site.user("ann"), 403, "forbidden")
    await refused(await site.user("boss", *ALL, "GenericPilot"), 403, "forbidden")
    payload = Principal("job", "ann", VO, job=1, attempt=1, pilot="p1")
    await refused(await site.client(site.world.issue(payload, 60)), 403, "forbidden")


@pytest.mark.parametrize(("stamp", "vo"), [("p2", VO), ("p1", "belle")])
async def test_a_pilot_that_does_not_exist_in_its_vo_is_unknown(site: Site, stamp: str, vo: str) -> None:
    await site.pilot("p1")
    await refused(
        await site.client(site.world.issue(Principal("pilot", stamp, vo, incarnation=1), 60)), 404, "pilot-unknown"
    )


async def test_an_old_incarnation_is_fenced_off_for_good(site: Site) -> None:
    old = await site.pilot("p1")
    await site.pilot("p1", secret=old.claim["secret"])
    await refused(old.client, 410, "pilot-gone")
    answer = await (await site.client()).post("/api/v1/pilot/token", json=old.claim)  # it shows its secret again
    refusal(answer, 410, "pilot-gone")


async def test_a_revoked_pilot_is_good_for_nothing_and_its_jobs_go_elsewhere(site: Site) -> None:
    pilot, boss, ann = await site.pilot("p1"), await site.user("boss", *ALL), await site.user("ann")
    job = await begun(site, pilot)
    refusal(await ann.post("/api/v1/pilots/p1/revoke", json={}), 403, "forbidden")
    eve = await site.user("eve", *ALL, vo="belle")
    refusal(await eve.post("/api/v1/pilots/p1/revoke", json={}), 404, "pilot-unknown")
    assert (await boss.post("/api/v1/pilots/p1/revoke", json={"reason": "stolen"})).json()["status"] == "Aborted"
    await refused(pilot.client, 410, "pilot-gone")
    for change in ({}, {"incarnation": str(uuid4())}):
        refusal(await (await site.client()).post("/api/v1/pilot/token", json=pilot.claim | change), 410, "pilot-gone")
    other = await site.pilot("p2")
    match = await other.offer(wait=30)
    assert (match["job"], match["attempt"]) == (job, 2)
    told = (await boss.get("/api/v1/pilots/p1")).json()
    assert (told["credential"], told["reason"]) == ("revoked", "revoked: stolen")


async def reach(pilot: Pilot, job: int, attempt: int, code: str) -> None:
    """Nothing that a pilot may say of a job does anything to this one."""
    for number, kind in enumerate(("started", "progress", "parameters", "completing", "done", "failed"), 900):
        assert (await pilot.report(job, kind, number, attempt))["code"] == code
    named = {"job": job, "attempt": attempt}
    for name in ("sandbox", "job-token"):
        refusal(await pilot.post(name, SANDBOX | named), 403, "pilot-job")
    kill = [named | {"command": "kill"}]
    assert (await pilot.call("reports", {"alive": [named]}))["commands"] == kill


async def test_jobs_that_a_pilot_does_not_hold_are_out_of_its_reach(site: Site) -> None:
    ours, other, theirs = await site.pilot("p1"), await site.pilot("p2"), await site.pilot("p1", vo="belle")
    boss = await site.user("boss", *ALL)
    jobs = {"of another pilot": await begun(site, other), "of another VO": await begun(site, theirs, "belle")}
    before = {job: await site.world.history("jobs", _stream(job)) for job in jobs.values()}
    await reach(ours, jobs["of another pilot"], 1, "pilot-job")
    await reach(ours, jobs["of another VO"], 1, "job-unknown")
    assert {job: await site.world.history("jobs", _stream(job)) for job in jobs.values()} == before
    await site.work.runtime.proofs.flush()
    told = (await boss.get("/api/v1/pilots/p1")).json()
    assert {row["code"]: row["count"] for row in told["refused"]} == {"pilot-job": 12, "job-unknown": 6}


async def test_a_finished_attempt_is_out_of_reach(site: Site) -> None:
    pilot = await site.pilot("p1")
    job = await begun(site, pilot)
    assert (await pilot.report(job, "failed", 2, code="disk-full"))["ok"]
    match = await pilot.offer(wait=30)
    assert (match["job"], match["attempt"]) == (job, 2)
    await reach(pilot, job, 1, "job-attempt")


async def test_what_a_pilot_proved_and_was_refused_is_told(site: Site) -> None:
    pilot, boss, anybody = await site.pilot("p1"), await site.user("boss", *ALL), await site.client()
    fresh = (await boss.post("/api/v1/pilots", json={"stamp": "p2"})).json()
    for change in ({"secret": "x" * 43}, {"secret": "y" * 43}, {"stamp": "made-up", "secret": "z" * 43}):
        refusal(await anybody.post("/api/v1/pilot/token", json=pilot.claim | change), 403, "pilot-secret")
    await site.work.runtime.proofs.flush()
    told = (await boss.get("/api/v1/pilots/p1")).json()
    assert (told["incarnation"], told["credential"], told["proofs"]) == (1, "renewable", 1)
    assert told["proved_at"] and [(row["code"], row["count"]) for row in told["refused"]] == [("pilot-secret", 2)]
    assert (await boss.get(f"/api/v1/pilots/{fresh['pilot']}")).json()["credential"] == "not used yet"
    kept = await site.work.runtime.pool.fetch("select stamp from pilot_proofs")
    assert {row["stamp"] for row in kept} == {"p1"}  # whoever makes up stamps fills no table


async def test_two_that_prove_themselves_at_once_are_two_incarnations(site: Site) -> None:
    pilot, anybody = await site.pilot("p1"), await site.client()
    claims = [pilot.claim | {"incarnation": str(uuid4())} for _ in range(6)]
    answers = await asyncio.gather(*(anybody.post("/api/v1/pilot/token", json=claim) for claim in claims))
    tokens = [answer.json()["access_token"] for answer in answers if answer.status_code == 200]
    alive = [await (await site.client(token)).post("/api/v1/pilot/reports", json={}) for token in tokens]
    assert [answer.status_code for answer in alive].count(200) == 1


async def test_generic_pilots_exist_only_where_the_vo_wants_them_and_every_event_names_them(site: Site) -> None:
    pilot, theirs = await site.pilot("p1"), await site.pilot("p1", vo="belle")
    job, other = await begun(site, pilot), await begun(site, theirs, "belle")
    legacy = await site.user("dirac", "GenericPilot", group="pilots")
    progress = {"job": job, "attempt": 1, "seq": 2, "kind": "progress", "minor": "legacy"}
    refusal(await legacy.post("/api/v1/pilot/reports", json={"reports": [progress]}), 403, "forbidden")
    groups = {"pilots": {"properties": ["GenericPilot"]}, "ops": {"properties": ["CSAdministrator"]}}
    registry = {"default_group": "pilots", "groups": groups, "pilots": {"generic": True}}
    root = Principal("user", "root", "", rights=frozenset({"CSAdministrator"}))
    command = ChangeConfiguration(site.work.runtime.configuration.revision, {f"/registry/{VO}": registry})
    (answer,) = await site.world.ask(root, [(uuid4(), command)])
    assert answer.refusal is None, answer.refusal
    await site.work.runtime.configuration.load()
    reports = [progress, progress | {"attempt": 2}, progress | {"job": other}]
    told = (await legacy.post("/api/v1/pilot/reports", json={"reports": reports})).json()["results"]
    assert [each["code"] for each in told] == [None, "job-attempt", "job-unknown"]
    events = await site.world.history("jobs", _stream(job))
    assert events[-1].actor == f"user:{subject(VO, 'test', 'dirac')}"
    for name in ("hello", "offer", "bye"):
        refusal(await legacy.post(f"/api/v1/pilot/{name}", json=ROUTES[name]), 403, "forbidden")
    refusal(await (await site.user("ann")).post("/api/v1/pilot/reports", json={}), 403, "forbidden")


def _stream(job: int) -> Any:
    from domain.values import job_stream

    return job_stream(job)
