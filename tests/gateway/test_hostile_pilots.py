"""Pilots that say what no honest one says: nothing breaks, nothing stays in the log that nobody can read."""

import json
from typing import Any

import httpx
import pytest
from gateway_site import Pilot, Site, submitted

from domain.job import MOST_NOTES
from domain.values import job_stream

Json = dict[str, Any]
HALF = "\ud800"  # one half of a surrogate pair: JSON may say it, UTF-8 cannot


@pytest.fixture
async def pilot(site: Site) -> Pilot:
    return await site.pilot()


@pytest.fixture
async def job(site: Site, pilot: Pilot) -> int:
    """A job that runs in the pilot."""
    (number,) = await submitted(await site.user("ann"))
    assert (await pilot.offer())["job"] == number
    assert (await pilot.report(number, "started", 1))["ok"]
    return number


async def said(pilot: Pilot, body: Json | str) -> Json:
    """The answer to a body that no client library would write."""
    text = body if isinstance(body, str) else json.dumps(body)
    answer = await pilot.client.post(
        "/api/v1/pilot/reports", content=text, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def read(site: Site, job: int, what: str = "") -> httpx.Response:
    answer = await (await site.user("ann")).get(f"/api/v1/jobs/{job}{what}")
    assert answer.status_code == 200, answer.text
    return answer


async def test_values_nested_without_end_never_reach_the_log(site: Site, pilot: Pilot, job: int) -> None:
    for depth in (17, 100, 400, 800):
        report = f'{{"job":{job},"attempt":1,"seq":{depth},"kind":"parameters","values":{{"a":%s1%s}}}}'
        found = await said(pilot, f'{{"reports":[{report % ("[" * depth, "]" * depth)}]}}')
        assert found["results"][0]["code"] == "malformed"
    shallow = {"a": [[[{"b": [1, {"c": "d"}]}]]]}
    assert (await pilot.report(job, "parameters", 2, values=shallow))["ok"]
    assert (await read(site, job, "/history")).json()["lines"][-1]["fields"]["values"] == shallow
    await read(site, job, "/why")


@pytest.mark.parametrize("field", ["minor", "application", "host", "detail", "kind", "code", "output"])
async def test_text_that_no_encoding_can_write_does_not_break_the_call(
    site: Site, pilot: Pilot, job: int, field: str
) -> None:
    report = {"job": job, "attempt": 1, "seq": 2, "kind": "progress", field: f"x{HALF}"}
    other = {"job": job, "attempt": 1, "seq": 3, "kind": "progress", "application": "event 3"}
    results = (await said(pilot, {"reports": [report, other]}))["results"]
    assert [result["seq"] for result in results] == [2, 3]
    assert results[1]["ok"]
    assert (await read(site, job)).json()["application_status"] == "event 3"


@pytest.mark.parametrize(
    "named", [{"job": "999"}, {"job": HALF}, {"attempt": "7"}, {"attempt": 2**40}, {"job": [1]}, {"seq": 1e300}]
)
async def test_reports_of_attempts_that_cannot_exist_are_refused_one_by_one(
    pilot: Pilot, job: int, named: Json
) -> None:
    report = {"job": job, "attempt": 1, "seq": 2, "kind": "progress"}
    results = (await said(pilot, {"reports": [report | named, report]}))["results"]
    assert [result["ok"] for result in results] == [False, True]


async def test_a_clock_that_says_the_year_one_is_not_believed(site: Site, pilot: Pilot, job: int) -> None:
    for seq, at in enumerate(("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"), 2):
        assert (await pilot.report(job, "progress", seq, at=at))["ok"]
    report = {"job": job, "attempt": 1, "seq": 9, "kind": "done", "at": "0001-01-01T00:00:00+23:59"}
    assert (await said(pilot, {"reports": [report]}))["results"][0]["ok"]
    assert (await read(site, job)).json()["ended_at"] > "2026"


async def test_a_sign_of_life_keeps_what_is_known_of_it_and_nothing_else(site: Site, pilot: Pilot, job: int) -> None:
    alive: Json = {"job": job, "attempt": 1, "rss_mb": 5, "cpu_seconds": 10**40, "disk_mb": float("nan")}
    alive |= {f"k{number}": number for number in range(5000)} | {HALF: 1, "stdout_tail": f"a\0{HALF}\x1b[2J"}
    assert (await said(pilot, {"alive": [alive]}))["commands"] == []
    await site.work.runtime.liveness.flush()
    stream = job_stream(job)
    report = (await site.world.last_heard([stream]))[stream][1]
    assert report == {"rss_mb": 5, "stdout_tail": "a\N{REPLACEMENT CHARACTER}?\x1b[2J"}


@pytest.mark.parametrize("named", [{"attempt": 2**70}, {"attempt": -(2**70)}, {"job": 2**70}, {"job": -5}, {"job": {}}])
async def test_signs_of_life_of_what_cannot_exist_are_passed_over(pilot: Pilot, job: int, named: Json) -> None:
    alive = {"job": job, "attempt": 1}
    assert (await said(pilot, {"alive": [alive | named, alive]}))["commands"] == []


async def test_a_pilot_cannot_fill_the_history_of_a_job_without_end(pilot: Pilot, job: int) -> None:
    assert (await pilot.report(job, "progress", MOST_NOTES))["ok"]
    assert (await pilot.report(job, "progress", MOST_NOTES + 1))["code"] == "too-many"
    assert (await pilot.report(job, "parameters", MOST_NOTES + 2, values={"a": 1}))["code"] == "too-many"
    assert (await pilot.report(job, "done", MOST_NOTES + 3))["ok"]
