"""The pilot's routes: one job from offer to output, and everything a pilot must not be able to do."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest
from gateway_site import JOB, VO, Pilot, Site, refusal, stored, submitted

from domain.values import job_stream, pilot_stream
from gateway.ports import Principal


async def status(client: httpx.AsyncClient, job: int) -> str:
    return str((await client.get(f"/api/v1/jobs/{job}")).json()["status"])


async def running(site: Site, pilot: Pilot, name: str = "ann") -> int:
    """A job of this user that runs in this pilot."""
    (job,) = await submitted(await site.user(name))
    match = await pilot.offer()
    assert match["job"] == job
    assert (await pilot.report(job, "started", 1, host="n1", pid=7))["ok"]
    return job


async def test_a_job_from_offer_to_output(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot()
    pfn = await stored(ann, b"input")
    jdl = '[Executable = "run.sh"; Parameters = {"a", "b"}; Arguments = "%s %j"; StdOutput = "out-%s-%j";'
    jdl += f' InputSandbox = "{pfn}"; OutputSandbox = "out-%s-%j";]'
    answer = await ann.post("/api/v1/jobs", json={"jdl": jdl})
    first = answer.json()["jobs"][0]["job"]
    match = await pilot.offer()
    described = match["description"]
    assert (match["job"], match["attempt"], match["vo"], match["owner"]) == (first, 1, VO, "ann")
    assert described["arguments"] == f"a {first}"
    assert described["std_output"] == f"out-a-{first}"
    assert described["output_sandbox"] == [f"out-a-{first}"]
    (given,) = match["inputs"]
    anybody = await site.client()
    assert (given["pfn"], (await anybody.get(given["url"])).content) == (pfn, b"input")
    assert await status(ann, first) == "Matched"
    assert (await pilot.report(first, "started", 1, host="n1", pid=7))["ok"]
    assert (await pilot.report(first, "progress", 2, minor="Application", application="event 1"))["ok"]
    assert (await pilot.report(first, "parameters", 3, values={"events": 10}))["ok"]
    assert (await pilot.report(first, "completing", 4, exit_code=0))["ok"]
    refusal(await ann.get(f"/api/v1/jobs/{first}/output"), 404, "no-output")
    output = await stored(pilot.client, b"output", "/api/v1/pilot/sandbox", job=first, attempt=1)
    done = {"exit_code": 0, "output": output, "cpu_seconds": 1.5, "wall_seconds": 2.5, "max_rss_mb": 10, "missing": []}
    assert (await pilot.report(first, "done", 5, **done))["ok"]
    row = (await ann.get(f"/api/v1/jobs/{first}")).json()
    assert (row["status"], row["application_status"], row["exit_code"]) == ("Done", "event 1", 0)
    redirect = await ann.get(f"/api/v1/jobs/{first}/output")
    assert redirect.status_code == 307
    assert (await anybody.get(redirect.headers["location"])).content == b"output"
    assert await pilot.call("bye", {"reason": "idle", "jobs_run": 1}) == {}
    assert await pilot.call("bye", {"reason": "idle", "jobs_run": 1}) == {}


async def test_an_offer_is_held_until_a_job_comes(site: Site) -> None:
    pilot, ann = await site.pilot(), await site.user("ann")
    held = asyncio.create_task(pilot.offer(wait=30))
    await asyncio.sleep(0.5)
    assert not held.done()
    begin = time.monotonic()
    (job,) = await submitted(ann)
    assert (await held)["job"] == job
    assert time.monotonic() - begin < 20


async def test_an_offer_that_fits_nothing_is_answered_when_its_wait_is_over(site: Site) -> None:
    pilot = await site.pilot()
    assert await pilot.offer(wait=0.2) is None
    refusal(await pilot.post("offer", {"offer": str(uuid4()), "wait": 51}), 422, "malformed")


async def test_the_same_offer_gets_the_same_job_while_it_is_held(site: Site) -> None:
    pilot, ann = await site.pilot(), await site.user("ann")
    (job, _) = await submitted(ann, JOB, JOB)
    offer = str(uuid4())
    first = await pilot.offer(offer=offer)
    again = await pilot.offer(offer=offer)
    assert first["job"] == again["job"] == job
    assert again["description"] == first["description"]
    await ann.post(f"/api/v1/jobs/{job}/kill")
    assert await pilot.offer(offer=offer, wait=0) is None


async def test_an_offer_id_belongs_to_its_pilot(site: Site) -> None:
    one, two, ann = await site.pilot("p1"), await site.pilot("p2"), await site.user("ann")
    offer = str(uuid4())
    (first, second) = await submitted(ann, JOB, JOB)
    assert (await one.offer(offer=offer))["job"] == first
    assert (await two.offer(offer=offer))["job"] == second
    assert (await one.offer(offer=offer))["job"] == first


async def test_a_report_twice_has_one_effect(site: Site) -> None:
    pilot = await site.pilot()
    job = await running(site, pilot)
    before = await site.world.history("jobs", job_stream(job))
    for _ in range(3):
        assert (await pilot.report(job, "started", 1, host="n1"))["ok"]
    assert await site.world.history("jobs", job_stream(job)) == before


async def test_one_bad_report_does_not_hold_up_the_others(site: Site) -> None:
    pilot = await site.pilot()
    job = await running(site, pilot)
    good = {"job": job, "attempt": 1, "seq": 2, "at": "2026-01-02T03:04:05Z", "kind": "progress", "minor": "a\0b"}
    bad: list[Any] = [
        {**good, "kind": "sing"},
        {**good, "seq": "x"},
        {**good, "job": 2**60},
        {**good, "kind": "done", "cpu_seconds": 1e300},
        {**good, "kind": "failed", "code": "DROP TABLE"},
        {**good, "kind": "parameters", "values": {"x": "y" * 70_000}},
        {**good, "job": 4711},
        7,
    ]
    answer = await pilot.call("reports", {"reports": [*bad, good], "alive": []})
    codes = [result["code"] for result in answer["results"]]
    assert codes == ["malformed"] * 5 + ["too-large", "job-unknown", "malformed", None]
    ann = await site.user("ann")
    assert (await ann.get(f"/api/v1/jobs/{job}")).json()["minor_status"] == "a\N{REPLACEMENT CHARACTER}b"


async def test_a_killed_job_is_killed_at_its_pilot(site: Site) -> None:
    pilot, ann = await site.pilot(), await site.user("ann")
    job = await running(site, pilot)
    alive = {"reports": [], "alive": [{"job": job, "attempt": 1, "cpu_seconds": 3, "stdout_tail": "event 9"}]}
    assert (await pilot.call("reports", alive))["commands"] == []
    await ann.post(f"/api/v1/jobs/{job}/kill", json={"reason": "a mistake"})
    assert (await pilot.call("reports", alive))["commands"] == [{"job": job, "attempt": 1, "command": "kill"}]


async def test_signs_of_life_are_noted_for_pilot_and_job(site: Site) -> None:
    pilot = await site.pilot()
    job = await running(site, pilot)
    await pilot.call("reports", {"alive": [{"job": job, "attempt": 1, "rss_mb": 12.5, "stdout_tail": "event 9"}]})
    await site.work.runtime.liveness.flush()
    heard = await site.world.last_heard([job_stream(job), pilot_stream(VO, "p1")])
    assert heard[job_stream(job)][1]["stdout_tail"] == "event 9"
    assert pilot_stream(VO, "p1") in heard


async def test_another_pilots_job_is_out_of_reach(site: Site) -> None:
    one, two, ann = await site.pilot("p1"), await site.pilot("p2"), await site.user("ann")
    job = await running(site, one)
    assert (await two.report(job, "done", 9, exit_code=0))["code"] == "pilot-job"
    alive = {"reports": [], "alive": [{"job": job, "attempt": 1, "stdout_tail": "forged"}]}
    assert (await two.call("reports", alive))["commands"] == [{"job": job, "attempt": 1, "command": "kill"}]
    await site.work.runtime.liveness.flush()
    assert await site.world.last_heard([job_stream(job)]) == {}
    asked = {"job": job, "attempt": 1, "checksum": "0" * 64, "size": 1, "format": "tar.bz2"}
    refusal(await two.post("sandbox", asked), 403, "pilot-job")
    refusal(await one.post("sandbox", asked | {"attempt": 2}), 403, "pilot-job")
    assert await status(ann, job) == "Running"


async def test_a_pilot_named_in_a_body_changes_nothing(site: Site) -> None:
    one, two = await site.pilot("p1"), await site.pilot("p2")
    job = await running(site, one)
    result = await two.report(job, "done", 9, exit_code=0, pilot="p1", vo=VO, stamp="p1", incarnation=1)
    assert result["code"] == "pilot-job"


async def test_the_pilot_of_the_same_name_in_another_vo_is_another_one(site: Site) -> None:
    ours = await site.pilot("p1")
    theirs = await site.pilot("p1", vo="belle")
    job = await running(site, ours)
    assert (await theirs.report(job, "done", 9, exit_code=0))["code"] == "job-unknown"
    assert await theirs.offer(wait=0.2) is None
    await submitted(await site.user("ann"))
    assert await theirs.offer(wait=1) is None


async def test_a_pilot_cannot_hand_out_somebody_elses_sandbox_as_output(site: Site) -> None:
    pilot, bob = await site.pilot(), await site.user("bob")
    secret = await stored(bob, b"bob's results")
    job = await running(site, pilot)
    assert (await pilot.report(job, "done", 2, output=secret))["code"] == "forbidden"
    assert (await pilot.report(job, "done", 3, output="/etc/passwd"))["code"] == "malformed"
    assert await status(await site.user("ann"), job) == "Running"


async def test_a_replaced_process_is_fenced_off(site: Site) -> None:
    boss = await site.user("boss", "Operator")
    secret = (await boss.post("/api/v1/pilots", json={"stamp": "p1"})).json()["secret"]
    old = await site.pilot("p1", secret=secret)
    job = await running(site, old)
    new = await site.pilot("p1", secret=secret)
    for name, body in (("hello", {}), ("offer", {"offer": str(uuid4())}), ("reports", {}), ("bye", {})):
        refusal(await old.post(name, body), 410, "pilot-gone")
    asked = {"job": job, "attempt": 1, "checksum": "0" * 64, "size": 1, "format": "tar.bz2"}
    refusal(await old.post("sandbox", asked), 410, "pilot-gone")
    alive = {"alive": [{"job": job, "attempt": 1}]}
    async with asyncio.timeout(30):  # what the old process held is lost, and runs again as another attempt
        while not (answer := await new.call("reports", alive))["commands"]:
            await asyncio.sleep(0.1)
    assert answer["commands"] == [{"job": job, "attempt": 1, "command": "kill"}]
    match = await new.offer()
    assert (match["job"], match["attempt"]) == (job, 2)


async def test_the_same_process_again_is_the_same_incarnation(site: Site) -> None:
    boss = await site.user("boss", "Operator")
    secret = (await boss.post("/api/v1/pilots", json={"stamp": "p1"})).json()["secret"]
    process = str(uuid4())
    first = await site.pilot("p1", secret=secret, process=process)
    await site.pilot("p1", secret=secret, process=process)
    assert await first.call("reports", {}) == {"results": [], "commands": []}


async def test_only_the_right_secret_lets_a_pilot_in(site: Site) -> None:
    pilot, anybody = await site.pilot("p1"), await site.client()
    for change in ({"secret": "x" * 43}, {"stamp": "unknown"}, {"vo": "belle"}):
        refusal(await anybody.post("/api/v1/pilot/token", json=pilot.claim | change), 403, "pilot-secret")
    for change in ({"secret": "short"}, {"stamp": "../p1"}, {"vo": "LHCb\0"}, {"incarnation": "1"}):
        answer = await anybody.post("/api/v1/pilot/token", json=pilot.claim | change)
        refusal(answer, 422, "malformed")


async def test_the_secret_never_reaches_the_log(site: Site) -> None:
    pilot = await site.pilot("p1")
    rows = await site.work.runtime.pool.fetch("select data from log_pilots")
    assert rows
    assert not [row for row in rows if pilot.claim["secret"] in row["data"]]


async def test_a_pilot_that_was_given_up_may_prove_itself_again(site: Site) -> None:
    from domain.pilot import LosePilot

    pilot = await site.pilot("p1")
    boss = Principal("user", "boss", VO, rights=frozenset({"Operator"}))
    await site.world.ask(boss, [(uuid4(), LosePilot(VO, "p1", 1))])
    refusal(await pilot.post("reports", {}), 401, "no-token")
    again = await site.pilot("p1", secret=pilot.claim["secret"], process=pilot.claim["incarnation"])
    assert await again.call("reports", {}) == {"results": [], "commands": []}


async def test_a_pilots_token_opens_no_route_of_users(site: Site) -> None:
    pilot = await site.pilot("p1")
    for path in ("/api/v1/jobs", "/api/v1/pilots", "/api/v1/events", "/api/v1/status", "/api/v1/whoami"):
        refusal(await pilot.client.get(path), 403, "forbidden")
    refusal(await pilot.client.post("/api/v1/jobs", json={"jobs": [JOB]}), 403, "forbidden")


async def test_where_a_pilot_was_announced_for_counts_more_than_where_it_says_it_is(site: Site) -> None:
    pilot = await site.pilot("p1", announced="LCG.PIC.es")
    ann = await site.user("ann")
    assert (await ann.get("/api/v1/pilots/p1")).json()["site"] == "LCG.PIC.es"
    await submitted(ann, {**JOB, "sites": ["LCG.CERN.cern"]})
    assert await pilot.offer(wait=1) is None


@pytest.mark.parametrize("wait", ["nan", -1, "1e999"])
async def test_a_wait_is_a_time(site: Site, wait: Any) -> None:
    pilot = await site.pilot("p1")
    refusal(await pilot.post("offer", {"offer": str(uuid4()), "wait": wait}), 422, "malformed")
