"""Status, queues, pilots as people see them, dead letters, sandboxes, and the live log."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from gateway_site import ALL, JOB, VO, Site, refusal, stored, submitted

from infra.bus.messages import DeadLetter
from infra.deadletters import bury


async def test_status_queues_and_activity_answer(site: Site) -> None:
    ann = await site.user("ann")
    await submitted(ann, JOB, {**JOB, "cpu_time": 400})
    assert {"bus", "consumers", "dead_letters"} <= (await ann.get("/api/v1/status")).json().keys()
    async with asyncio.timeout(20):
        while len(queues := (await ann.get("/api/v1/queues")).json()["queues"]) < 2:
            await asyncio.sleep(0.05)
        while not (activity := (await ann.get("/api/v1/activity?minutes=5")).json()["activity"]):
            await asyncio.sleep(0.05)
    assert {(each["waiting"], each["requirements"]["cpu_time"]) for each in queues} == {(1, 86400), (1, 1800)}
    assert "job.submitted" in {each["topic"] for each in activity}
    foreign = await site.user("ann", vo="belle")
    assert (await foreign.get("/api/v1/queues")).json() == {"queues": []}
    neighbour, boss = await site.user("bob"), await site.user("boss", *ALL)
    assert (await neighbour.get("/api/v1/queues")).json() == {"queues": []}  # what others ask for is theirs
    assert len((await boss.get("/api/v1/queues")).json()["queues"]) == 2


async def test_health_needs_no_token(site: Site) -> None:
    anybody = await site.client()
    assert (await anybody.get("/api/v1/health/live")).json() == {"ok": True}
    assert (await anybody.get("/api/v1/health/ready")).json() == {"ok": True, "broken": []}


async def test_pilots_are_announced_by_those_who_may(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", "Operator")
    refusal(await ann.post("/api/v1/pilots", json={}), 403, "forbidden")
    first = (await boss.post("/api/v1/pilots", json={"site": "LCG.CERN.cern"})).json()
    assert len(first["secret"]) > 30
    assert (await boss.post("/api/v1/pilots", json={"stamp": "p1"})).status_code == 201
    refusal(await boss.post("/api/v1/pilots", json={"stamp": "p1"}), 410, "pilot-gone")
    refusal(await boss.post("/api/v1/pilots", json={"stamp": "a b"}), 422, "malformed")
    listed = (await ann.get("/api/v1/pilots?status=Submitted")).json()["pilots"]
    assert {pilot["stamp"] for pilot in listed} == {first["pilot"], "p1"}
    assert first["secret"] not in json.dumps(listed)


async def test_a_pilot_is_shown_with_the_jobs_one_may_see(site: Site) -> None:
    ann, bob, pilot = await site.user("ann"), await site.user("bob"), await site.pilot("p1")
    (job,) = await submitted(ann)
    await pilot.offer()
    assert [each["job"] for each in (await ann.get("/api/v1/pilots/p1")).json()["jobs"]] == [job]
    assert (await bob.get("/api/v1/pilots/p1")).json()["jobs"] == []
    history = (await bob.get("/api/v1/pilots/p1/history")).json()
    assert [line["topic"] for line in history["lines"]] == ["pilot.requested", "pilot.admitted", "pilot.started"]
    for path in ("/api/v1/pilots/p2", "/api/v1/pilots/p2/history"):
        refusal(await ann.get(path), 404, "pilot-unknown")
    refusal(await ann.get("/api/v1/pilots/p%00"), 422, "malformed")


async def test_dead_letters_belong_to_their_vo(site: Site) -> None:
    now = datetime.now(UTC)
    ids = {vo: uuid4() for vo in (VO, "belle")}
    for vo, id_ in ids.items():
        body = json.dumps({"id": str(id_), "topic": "job.kill", "data": {"job": 1}, "vo": vo, "actor": "user:x"})
        letter = DeadLetter(id_, "commands", "job.kill", vo, "user:x", body, "broken", "why", 4, now, now)
        await bury(site.work.runtime.pool)(letter)
    ann, boss = await site.user("ann"), await site.user("boss", *ALL)
    refusal(await ann.get("/api/v1/dead-letters"), 403, "forbidden")
    letters = (await boss.get("/api/v1/dead-letters")).json()["dead_letters"]
    assert [each["id"] for each in letters] == [str(ids[VO])]
    answer = await boss.post("/api/v1/dead-letters/send-again", json={"letters": [str(id_) for id_ in ids.values()]})
    results = answer.json()["results"]
    assert [each["error"] and each["error"]["code"] for each in results] == [None, "not-found"]
    assert (await boss.get("/api/v1/dead-letters")).json()["dead_letters"] == []


async def test_a_sandbox_goes_in_and_out(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob")
    pfn = await stored(ann, b"data")
    assert pfn.startswith(f"SB:SandboxSE|/S3/sandboxes/{VO}/lhcb_user/")
    assert "/ann/" not in pfn
    answer = (await ann.get("/api/jobs/sandbox", params={"pfn": pfn})).json()
    assert answer["expires_in"] == 300
    assert (await (await site.client()).get(answer["url"])).content == b"data"
    plain = pfn.partition("|")[2]
    assert (await ann.get("/api/jobs/sandbox", params={"pfn": plain})).status_code == 200
    refusal(await bob.get("/api/jobs/sandbox", params={"pfn": pfn}), 403, "forbidden")
    foreign = await site.user("ann", "JobAdministrator", vo="belle")
    refusal(await foreign.get("/api/jobs/sandbox", params={"pfn": pfn}), 403, "forbidden")
    again = {"checksum": hashlib.sha256(b"data").hexdigest(), "size": 4, "format": "tar.bz2"}
    assert (await ann.post("/api/jobs/sandbox", json=again)).json() == {"pfn": pfn, "url": None, "fields": {}}


async def test_a_sandbox_that_was_never_uploaded_is_unknown(site: Site) -> None:
    ann = await site.user("ann")
    body = {"checksum": "0" * 64, "size": 4, "format": "tar.zst"}
    pfn = (await ann.post("/api/jobs/sandbox", json=body)).json()["pfn"]
    refusal(await ann.get("/api/jobs/sandbox", params={"pfn": pfn}), 404, "sandbox-unknown")
    refusal(await ann.post("/api/jobs/sandbox", json=body | {"size": 2**40}), 413, "sandbox-too-large")


@pytest.mark.parametrize(
    "change",
    [{"checksum": "xyz"}, {"size": 0}, {"format": "zip"}, {"checksum_algorithm": "md5"}, {"checksum": "A" * 64}],
)
async def test_what_announces_no_sandbox_is_refused(site: Site, change: dict[str, Any]) -> None:
    ann = await site.user("ann")
    body = {"checksum": "0" * 64, "size": 4, "format": "tar.bz2"} | change
    refusal(await ann.post("/api/jobs/sandbox", json=body), 422, "malformed")


@pytest.mark.parametrize("pfn", ["", "x", "/S3/b/../../x", "SB:SandboxSE|/S3/sandboxes/lhcb/g/../sha256:" + "0" * 64])
async def test_what_is_no_pfn_is_refused(site: Site, pfn: str) -> None:
    ann = await site.user("ann")
    refusal(await ann.get("/api/jobs/sandbox", params={"pfn": pfn}), 422, "malformed")


class Listener:
    """Reads server-sent events."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self, **wanted: Any) -> dict[str, Any]:
        """The next event that has these fields."""
        found: dict[str, Any] = {}
        async with asyncio.timeout(30):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name in ("id", "event"):
                    found[name] = value
                elif name == "data":
                    event = found | json.loads(value)
                    if wanted.items() <= event.items():
                        return event
        raise AssertionError("the stream ended")


@asynccontextmanager
async def listening(client: httpx.AsyncClient, **headers: str) -> AsyncIterator[Listener]:
    async with client.stream("GET", "/api/v1/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Listener(answer)


async def test_what_happens_is_told_as_it_happens(site: Site) -> None:
    ann = await site.user("ann")
    (old,) = await submitted(ann)
    async with listening(ann) as listener:
        past = await listener.next(job=old, event="job.submitted")
        assert past["what"] == "ann submitted the job “one” for group lhcb_user"
        (job,) = await submitted(ann)
        event = await listener.next(job=job, event="job.submitted")
        assert (event["actor"], event["topic"], event["id"]) == ("ann", "job.submitted", str(event["position"]))


async def test_a_listener_resumes_where_it_was_without_loss_or_repetition(site: Site) -> None:
    ann = await site.user("ann")
    (job,) = await submitted(ann)
    async with asyncio.timeout(20):
        while (await ann.get(f"/api/v1/jobs/{job}")).json()["status"] != "Waiting":
            await asyncio.sleep(0.05)
    async with listening(ann) as listener:
        last = await listener.next(job=job, event="job.queued")
    missed = await submitted(ann, *[JOB] * 700)
    async with listening(ann, **{"last-event-id": last["id"]}) as listener:
        events = [await listener.next() for _ in range(3 * len(missed))]
        (new,) = await submitted(ann)
        assert (await listener.next(event="job.submitted"))["job"] == new
    assert len({event["id"] for event in events}) == len(events)
    assert {event["job"] for event in events} == set(missed)


async def test_a_listener_hears_only_what_it_may_see(site: Site) -> None:
    ann, bob, foreign = await site.user("ann"), await site.user("bob"), await site.user("x", "JobMonitor", vo="belle")
    async with listening(bob) as his, listening(foreign) as theirs:
        await submitted(ann)
        (job,) = await submitted(bob)
        assert (await his.next())["job"] == job
        (other,) = await submitted(foreign)
        assert (await theirs.next())["job"] == other
