"""Lists, one job, its history and output, and what may be done to it."""

from uuid import uuid4

import pytest
from gateway_site import JOB, VO, Site, refusal, stored, submitted

from domain.job import FailJob, FinishJob, StartJob
from domain.matching import Offer
from gateway.ports import Principal


async def test_a_list_is_read_page_by_page_newest_first(site: Site) -> None:
    ann = await site.user("ann")
    numbers = await submitted(ann, *[JOB] * 25)
    seen: list[int] = []
    after = 0
    while after is not None:
        page = (await ann.get("/api/v1/jobs", params={"limit": 10, "after": after})).json()
        seen += [row["job"] for row in page["jobs"]]
        after = page["next"]
    assert seen == numbers[::-1]


async def test_filters_restrict_a_list(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", "JobAdministrator", group="lhcb_admin")
    await submitted(ann, JOB, {**JOB, "name": "two"}, {**JOB, "sites": ["LCG.PIC.es"]})
    await submitted(boss)
    for query, count in (
        ("", 4), ("owner=ann", 3), ("owner=me", 1), ("group=lhcb_admin", 1), ("name=two", 1), ("site=LCG.PIC.es", 1),
        ("status=Done", 0), ("owner=%00", 0), ("pilot=p1", 0), ("job_type=User", 4), ("owner=ann&name=two", 1),
    ):  # fmt: skip
        answer = await boss.get(f"/api/v1/jobs?{query}")
        assert len(answer.json()["jobs"]) == count, query


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=-1", "after=999999999999999999999"])
async def test_what_is_no_page_is_refused(site: Site, query: str) -> None:
    ann = await site.user("ann")
    refusal(await ann.get(f"/api/v1/jobs?{query}"), 422, "malformed")


async def test_people_see_their_own_jobs_and_administrators_all(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob", group="other")
    boss, foreign = await site.user("boss", "JobAdministrator"), await site.user("boss", "JobAdministrator", vo="belle")
    peer = await site.user("peer", "NormalUser", "JobSharing")
    (job,) = await submitted(ann)
    seen = [len((await who.get("/api/v1/jobs")).json()["jobs"]) for who in (ann, bob, boss, foreign, peer)]
    assert seen == [1, 0, 1, 0, 1]
    for path in ("", "/description", "/history", "/why", "/output"):
        refusal(await bob.get(f"/api/v1/jobs/{job}{path}"), 403, "job-not-yours")
        refusal(await foreign.get(f"/api/v1/jobs/{job}{path}"), 404, "job-unknown")
        refusal(await ann.get(f"/api/v1/jobs/{job + 1}{path}"), 404, "job-unknown")
    assert (await boss.get(f"/api/v1/jobs/{job}")).status_code == 200
    counts = [(await who.get("/api/v1/jobs/summary")).json()["counts"] for who in (ann, bob, boss)]
    assert [sum(each["count"] for each in found) for found in counts] == [1, 0, 1]


@pytest.mark.parametrize("job", ["0", "-1", "x", str(2**48), str(2**70), "1%00"])
async def test_what_is_no_job_number_is_refused(site: Site, job: str) -> None:
    ann = await site.user("ann")
    refusal(await ann.get(f"/api/v1/jobs/{job}"), 422, "malformed")


async def test_a_summary_counts_by_what_is_asked(site: Site) -> None:
    ann = await site.user("ann")
    await submitted(ann, JOB, JOB, {**JOB, "sites": ["LCG.PIC.es"]})
    answer = (await ann.get("/api/v1/jobs/summary?by=site,owner")).json()
    assert answer["by"] == ["site", "owner"]
    assert {(each["site"], each["owner"], each["count"]) for each in answer["counts"]} == {
        ("ANY", "ann", 2),
        ("LCG.PIC.es", "ann", 1),
    }
    refusal(await ann.get("/api/v1/jobs/summary?by=description"), 400, "malformed")


async def test_the_owner_kills_and_others_do_not(site: Site) -> None:
    ann, bob, foreign = await site.user("ann"), await site.user("bob"), await site.user("ann", vo="belle")
    (job,) = await submitted(ann)
    refusal(await bob.post(f"/api/v1/jobs/{job}/kill"), 403, "job-not-yours")
    refusal(await foreign.post(f"/api/v1/jobs/{job}/kill"), 404, "job-unknown")
    answer = await ann.post(f"/api/v1/jobs/{job}/kill", json={"reason": "a mistake"})
    assert answer.json() == {"job": job, "status": "Killed"}
    refusal(await ann.post("/api/v1/jobs/4711/kill"), 404, "job-unknown")


async def test_many_are_killed_at_once_each_with_its_result(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob")
    mine, others = await submitted(ann, JOB, JOB), await submitted(bob)
    answer = await ann.post("/api/v1/jobs/kill", json={"jobs": [*mine, *others, 4711, mine[0]], "reason": "x"})
    results = answer.json()["jobs"]
    assert [each.get("status") or each["error"]["code"] for each in results] == [
        "Killed", "Killed", "job-not-yours", "job-unknown",
    ]  # fmt: skip
    assert answer.json()["counts"] == {"done": 2, "refused": 2}
    for body in ({"jobs": []}, {"jobs": [0]}, {"jobs": [2**50]}, {}, {"jobs": "1"}):
        refusal(await ann.post("/api/v1/jobs/kill", json=body), 422, "malformed")


async def test_a_repeated_key_acts_once(site: Site) -> None:
    ann = await site.user("ann")
    (job,) = await submitted(ann)
    headers = {"idempotency-key": "k"}
    assert (await ann.post(f"/api/v1/jobs/{job}/kill", headers=headers)).json()["status"] == "Killed"
    assert (await ann.post(f"/api/v1/jobs/{job}/reschedule", headers=headers)).status_code == 200
    again = await ann.post(f"/api/v1/jobs/{job}/kill", headers=headers)
    assert again.status_code == 200
    assert again.json()["status"] != "Killed"


async def test_a_remembered_refusal_stays_one(site: Site) -> None:
    ann = await site.user("ann")
    (job,) = await submitted(ann)
    headers = {"idempotency-key": "k"}
    refusal(await ann.post(f"/api/v1/jobs/{job + 1}/kill", headers=headers), 404, "job-unknown")
    await submitted(ann)
    refusal(await ann.post(f"/api/v1/jobs/{job + 1}/kill", headers=headers), 404, "job-unknown")
    assert (await ann.post(f"/api/v1/jobs/{job + 1}/kill")).status_code == 200


async def test_a_killed_job_runs_again_and_a_deleted_one_is_gone(site: Site) -> None:
    ann = await site.user("ann")
    (job,) = await submitted(ann)
    await ann.post(f"/api/v1/jobs/{job}/kill")
    answer = await ann.post("/api/v1/jobs/reschedule", json={"jobs": [job]})
    assert answer.json()["counts"] == {"done": 1}
    assert (await ann.post(f"/api/v1/jobs/{job}/delete")).json() == {"job": job, "status": "Deleted"}
    assert (await ann.get("/api/v1/jobs")).json()["jobs"] == []


async def test_a_history_says_who_did_what_and_because_of_what(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot("p1")
    (job,) = await submitted(ann)
    await pilot.offer()
    await pilot.report(job, "started", 1, host="n1")
    await ann.post(f"/api/v1/jobs/{job}/kill", json={"reason": "a mistake"})
    lines = (await ann.get(f"/api/v1/jobs/{job}/history")).json()["lines"]
    assert [(line["actor"], line["what"], line["because"]) for line in lines] == [
        ("ann", "ann submitted the job “one” for group lhcb_user", "a request"),
        ("policy scheduling", "nothing speaks against running the job", "policy scheduling, after job submitted"),
        ("policy scheduling", "the job waits for a pilot (attempt 1, priority 1)",
         "policy scheduling, after job submitted"),
        ("matcher", "pilot p1 at LCG.CERN.cern got the job (attempt 1)", "a pilot offered what it needs"),
        ("pilot p1", "the program runs on n1", "the pilot's report of 03:04:05"),
        ("ann", "the job was killed: a mistake", "a request"),
    ]  # fmt: skip
    assert lines[3]["fields"]["pilot"] == "p1"
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)


async def test_a_history_with_its_pilot_tells_what_happened_to_that_too(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot("p1")
    (job,) = await submitted(ann)
    await pilot.offer()
    answer = await ann.get(f"/api/v1/jobs/{job}/history?include_pilot=true")
    topics = [line["topic"] for line in answer.json()["lines"]]
    assert {"pilot.admitted", "pilot.started"} <= set(topics)
    assert topics[-1] == "job.matched"
    assert pilot.claim["secret"] not in answer.text
    assert '"secret"' not in answer.text


async def test_an_output_that_is_gone_or_not_the_owners_is_refused(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob")
    (job,) = await submitted(ann)
    secret = await stored(bob, b"bob's")
    refusal(await ann.get(f"/api/v1/jobs/{job}/output"), 404, "no-output")
    offer = Offer(uuid4(), "p1", VO, processors=1)
    given = await site.world.offer(offer, 20)
    assert given.job == job
    who = Principal("pilot", "p1", VO)  # a pilot that lies, behind the gateway's back
    await site.world.ask(
        who, [(uuid4(), StartJob(job, 1, 1, "p1")), (uuid4(), FinishJob(job, 1, 2, "p1", output=secret))]
    )
    refusal(await ann.get(f"/api/v1/jobs/{job}/output"), 404, "sandbox-unknown")


async def test_a_description_is_shown_complete(site: Site) -> None:
    ann = await site.user("ann")
    (job,) = await submitted(ann, {"executable": "/bin/run", "arguments": "--id %j"})
    found = (await ann.get(f"/api/v1/jobs/{job}/description")).json()
    assert (found["arguments"], found["cpu_time"], found["std_output"]) == (f"--id {job}", 86400, "std.out")


async def test_a_name_that_grows_with_the_jobs_number_still_runs(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot()
    numbers = await submitted(ann, *[{"executable": "/bin/run", "name": "n" * 126 + "%j"}] * 11)
    await ann.post("/api/v1/jobs/kill", json={"jobs": numbers[:-2]})
    matches = [await pilot.offer(), await pilot.offer()]
    assert [match["job"] for match in matches] == [10, 11]
    assert matches[1]["description"]["name"] == "n" * 126 + "11"
    assert matches[1]["description"]["std_output"] == "std.out"


async def test_a_failed_jobs_attempts_are_counted(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot()
    (job,) = await submitted(ann)
    await pilot.offer()
    who = Principal("pilot", "p1", VO)
    fail = FailJob(job, 1, 2, "p1", code="exit-code", exit_code=3)
    await site.world.ask(who, [(uuid4(), StartJob(job, 1, 1, "p1")), (uuid4(), fail)])
    for attempt in (2, 3, 4):
        answer = await ann.post(f"/api/v1/jobs/{job}/reschedule")
        assert answer.status_code == 200, answer.text
        await ann.post(f"/api/v1/jobs/{job}/kill")
        assert (await ann.get(f"/api/v1/jobs/{job}")).json()["attempt"] == attempt
    refusal(await ann.post(f"/api/v1/jobs/{job}/reschedule"), 409, "rescheduled-too-often")
