"""Submitting: all or none, once however often it is sent, and only what is one's own."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from gateway_site import JOB, Site, refusal, stored, submitted

from domain.errors import Code, Refused
from gateway.intake import results
from gateway.ports import Answer

WRONG = {"executable": "/bin/true", "cpu_time": -1}


async def count(client: httpx.AsyncClient) -> int:
    return len((await client.get("/api/v1/jobs")).json()["jobs"])


async def test_json_jdl_and_plain_text_all_submit(site: Site) -> None:
    ann = await site.user("ann")
    jdl = '[Executable = "/bin/echo"; JobName = "told"; Parameters = 3; Arguments = "%n";]'
    answers = [
        await ann.post("/api/v1/jobs", json={"jobs": [JOB, {**JOB, "name": "two"}]}),
        await ann.post("/api/v1/jobs", json={"jdl": jdl}),
        await ann.post("/api/v1/jobs", content=jdl, headers={"content-type": "text/plain"}),
    ]
    assert [answer.status_code for answer in answers] == [201] * 3
    jobs = [job for answer in answers for job in answer.json()["jobs"]]
    assert [job["job"] for job in jobs] == list(range(1, 9))
    assert {job["status"] for job in jobs} == {"Received"}
    described = (await ann.get("/api/v1/jobs/5/description")).json()
    assert (described["executable"], described["arguments"]) == ("/bin/echo", "2")


async def test_the_same_request_with_the_same_key_gives_the_same_jobs(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob")
    headers = {"idempotency-key": "k1"}
    answers = [await ann.post("/api/v1/jobs", json={"jobs": [JOB, JOB]}, headers=headers) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert await count(ann) == 2
    await bob.post("/api/v1/jobs", json={"jobs": [JOB, JOB]}, headers=headers)
    assert await count(bob) == 2


async def test_a_key_of_the_clients_request_id_counts_too(site: Site) -> None:
    ann = await site.user("ann")
    for _ in range(2):
        await ann.post("/api/v1/jobs", json={"jobs": [JOB]}, headers={"x-ms-client-request-id": "k2"})
    assert await count(ann) == 1


async def test_a_key_with_another_body_is_refused(site: Site) -> None:
    ann = await site.user("ann")
    headers = {"idempotency-key": "k1"}
    await ann.post("/api/v1/jobs", json={"jobs": [JOB]}, headers=headers)
    refusal(await ann.post("/api/v1/jobs", json={"jobs": [JOB, JOB]}, headers=headers), 422, "key-reused")
    assert await count(ann) == 1


async def test_the_same_key_ten_times_at_once_is_one_submission(site: Site) -> None:
    ann = await site.user("ann")
    post = ann.post
    answers = await asyncio.gather(
        *(post("/api/v1/jobs", json={"jobs": [JOB] * 20}, headers={"idempotency-key": "k"}) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert await count(ann) == 20


async def test_one_wrong_job_means_that_nothing_is_submitted(site: Site) -> None:
    ann = await site.user("ann")
    answer = await ann.post("/api/v1/jobs", json={"jobs": [JOB, WRONG, JOB]})
    found = refusal(answer, 422, "description")
    assert (found["rejected"], found["accepted"], found["field"]) == (1, 2, "cpu_time")
    assert [each["index"] for each in found["jobs"]] == [1]
    assert await count(ann) == 0


async def test_partial_submits_what_is_right_and_says_what_is_not(site: Site) -> None:
    ann = await site.user("ann")
    answer = await ann.post("/api/v1/jobs?partial=true", json={"jobs": [WRONG, JOB, WRONG, JOB]})
    assert answer.status_code == 201
    assert [job.get("job") or job["error"]["code"] for job in answer.json()["jobs"]] == [
        "description", 1, "description", 2,
    ]  # fmt: skip
    refusal(await ann.post("/api/v1/jobs?partial=true", json={"jobs": [WRONG]}), 422, "description")


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b'{"jobs": []}', "application/json", 400, "malformed"),
        (b'{"jobs": {}}', "application/json", 400, "malformed"),
        (b'{"jobs": [{}], "other": 1}', "application/json", 400, "malformed"),
        (b'{"jobs": [', "application/json", 400, "malformed"),
        (b"[" * 100_000, "application/json", 400, "malformed"),
        (b"", "application/json", 400, "malformed"),
        (b"\xff\xfe", "text/plain", 400, "malformed"),
        (b"[ Executable = ", "text/plain", 422, "jdl-syntax"),
        (b"<jobs/>", "application/xml", 415, "media-type"),
        (b'{"jobs": [1]}', "application/json", 422, "malformed"),
    ],
)
async def test_what_is_no_submission_is_refused(site: Site, content: bytes, kind: str, status: int, code: str) -> None:
    ann = await site.user("ann")
    answer = await ann.post("/api/v1/jobs", content=content, headers={"content-type": kind})
    refusal(answer, status, code)
    assert await count(ann) == 0


async def test_too_many_jobs_are_refused_together(site: Site) -> None:
    ann = await site.user("ann")
    refusal(await ann.post("/api/v1/jobs", json={"jobs": [JOB] * 10_001}), 422, "too-many")


async def test_a_huge_body_is_refused(site: Site) -> None:
    ann = await site.user("ann")
    body = b'{"jobs": [' + b" " * (65 << 20) + b"]}"
    refusal(
        await ann.post("/api/v1/jobs", content=body, headers={"content-type": "application/json"}), 413, "too-large"
    )


async def test_somebody_elses_sandbox_is_no_input(site: Site) -> None:
    ann, bob, boss = await site.user("ann"), await site.user("bob"), await site.user("boss", "JobAdministrator")
    pfn = await stored(ann, b"ann's data")
    body = {"jobs": [{**JOB, "input_sandbox": [pfn]}]}
    assert (await ann.post("/api/v1/jobs", json=body)).status_code == 201
    refusal(await bob.post("/api/v1/jobs", json=body), 422, "sandbox-unknown")
    assert (await boss.post("/api/v1/jobs", json=body)).status_code == 201
    foreign = await site.user("ann", "JobAdministrator", vo="belle")
    refusal(await foreign.post("/api/v1/jobs", json=body), 422, "sandbox-unknown")


async def test_nobody_submits_under_another_name(site: Site) -> None:
    ann = await site.user("ann")
    answer = await ann.post("/api/v1/jobs", json={"jobs": [{**JOB, "owner": "bob"}]})
    assert refusal(answer, 422, "description")["field"] == "owner"


async def test_ten_thousand_different_jobs_in_one_request(site: Site) -> None:
    ann = await site.user("ann")
    jobs = [{"executable": "/bin/run", "name": f"job {n}", "arguments": str(n)} for n in range(10_000)]
    content = msgspec.json.encode({"jobs": jobs})
    headers = {"content-type": "application/json", "idempotency-key": "many"}
    answer = await ann.post("/api/v1/jobs", content=content, headers=headers)
    assert answer.status_code == 201
    assert [job["job"] for job in answer.json()["jobs"]] == list(range(1, 10_001))
    described = (await ann.get("/api/v1/jobs/7777/description")).json()
    assert (described["name"], described["arguments"]) == ("job 7776", "7776")
    again = await ann.post("/api/v1/jobs", content=content, headers=headers)
    assert again.json() == answer.json()


def test_a_job_that_exists_already_is_success_only_if_it_is_of_this_submission() -> None:
    exists: Any = [Answer(UUID(int=1), refusal=Refused(Code.JOB_EXISTS, job=5))]
    assert list(results(5, exists, frozenset({5}))) == [{"job": 5, "status": "Received"}]
    (result,) = results(5, exists, frozenset())
    assert result["error"]["code"] == "job-exists"


async def test_a_number_that_somebody_has_already_is_never_taken_for_ones_own(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob")
    await submitted(ann, JOB, JOB)
    await site.work.runtime.pool.execute("update job_numbers set last = 0")  # as after a restore that went wrong
    answer = await bob.post("/api/v1/jobs", json={"jobs": [JOB, JOB]})
    assert [job["error"]["code"] for job in answer.json()["jobs"]] == ["job-exists"] * 2


def test_a_passing_fault_in_the_middle_refuses_the_whole_answer() -> None:
    answers: Any = [Answer(UUID(int=1)), Answer(UUID(int=2), refusal=Refused(Code.DATABASE_AWAY))]
    with pytest.raises(Refused):
        list(results(1, answers, frozenset()))


async def test_numbers_are_never_shared(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob")
    batches = await asyncio.gather(*(submitted(client, *[JOB] * 7) for client in (ann, bob) * 5))
    numbers = [number for batch in batches for number in batch]
    assert sorted(numbers) == list(range(1, 71))


async def test_long_keys_that_begin_alike_are_two_keys(site: Site) -> None:
    ann, begin = await site.user("ann"), "k" * 200
    one, two, again = [
        await ann.post("/api/v1/jobs", json={"jobs": [JOB]}, headers={"Idempotency-Key": begin + end}) for end in "121"
    ]
    assert one.json() == again.json() != two.json()
