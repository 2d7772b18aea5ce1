"""Jobs with input and output files, run by real pilots, with files on a disk and on real S3."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_site import VO, Site, refusal, submitted
from servers import SeaweedFS

from domain.schema import read
from pilot.build import build

ROUTE = "/api/v1/data"
HOME = f"/{VO}/user/a/ann"
NEAR = "LCG.CERN.cern"
SUM = {"executable": "/bin/sh", "arguments": ["-c", "cat one two > sum.txt; cat inputs.json"]}
Json = dict[str, Any]


@pytest.fixture
async def stored(site: Site, s3: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """A site with a directory and a bucket, both near it, and a real pilot there."""
    monkeypatch.setenv("S3_KEY", s3.access_key)
    monkeypatch.setenv("S3_SECRET", s3.secret_key)
    bucket = f"{s3.url}/jobs-{tmp_path.name.replace('_', '-')[-20:].lower()}"
    storage = {
        "DISK": {"backend": "local", "access": [{"protocol": "file", "url": f"file://{tmp_path}/disk"}]},
        "S3": {"backend": "s3", "access": [{"protocol": "http", "url": bucket}],
               "key_env": "S3_KEY", "secret_env": "S3_SECRET"},
        "AWAY": {"backend": "s3", "access": [{"protocol": "http", "url": "http://127.0.0.1:9/gone"}]},
    }  # fmt: skip
    sites = {NEAR: {"storage_elements": ["DISK", "S3"]}}
    configuration = site.work.runtime.configuration
    configuration.current = read(configuration.builtin | {"resources": {"storage_elements": storage, "sites": sites}})
    pilot = await started(site, tmp_path)
    yield site
    pilot.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(pilot.wait, 60) is not None


async def started(site: Site, place: Path) -> "subprocess.Popen[bytes]":
    boss = await site.user("boss", "Operator")
    secret = (await boss.post("/api/v1/pilots", json={"stamp": "real", "site": NEAR})).json()["secret"]
    command = [sys.executable, build(str(place / "pilot.pyz")), "--url", site.work.url, "--vo", VO, "--stamp", "real",
               "--site", NEAR, "--work-dir", str(place), "--processors", "4", "--memory-mb", "4000",
               "--cpu-power", "10", "--wait", "5", "--idle-exit", "300"]  # fmt: skip
    environment = {"PATH": os.environ["PATH"], "SPINOR_PILOT_SECRET": secret, "HOME": str(place)}
    with (place / "pilot.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=place)


async def put(client: httpx.AsyncClient, lfn: str, content: bytes, se: str) -> None:
    file = {"lfn": lfn, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "ses": [se]}
    (place,) = (await client.post(f"{ROUTE}/uploads", json={"files": [file]})).json()["results"]
    async with httpx.AsyncClient() as anybody:
        await anybody.post(place["url"], data=place["fields"], files={"file": ("file", content)})
    answer = await client.post(f"{ROUTE}/uploads/confirm", json={"files": [{"lfn": lfn, "se": se}]})
    assert "error" not in answer.json()["results"][0], answer.text


async def over(client: httpx.AsyncClient, job: int, *statuses: str) -> Json:
    """The job, once it is in one of these states."""
    for _ in range(1200):
        row: Json = (await client.get(f"/api/v1/jobs/{job}")).json()
        if row["status"] in statuses:
            return row
        await asyncio.sleep(0.05)
    raise AssertionError((await client.get(f"/api/v1/jobs/{job}/history")).text)


async def content(client: httpx.AsyncClient, lfn: str) -> bytes:
    (source,) = (await client.post(f"{ROUTE}/downloads", json={"lfns": [lfn]})).json()["results"]
    async with httpx.AsyncClient() as anybody:
        return (await anybody.get(source["urls"][0]["url"])).content


async def lookup(client: httpx.AsyncClient, lfn: str) -> Json:
    found: Json = (await client.post(f"{ROUTE}/lookup", json={"lfns": [lfn]})).json()["files"][lfn]
    return found


async def inputs(client: httpx.AsyncClient) -> list[str]:
    await put(client, f"{HOME}/one", b"one ", "S3")
    await put(client, f"{HOME}/two", b"two", "DISK")
    return [f"LFN:{HOME}/one", f"LFN:{HOME}/two"]


async def test_inputs_are_brought_and_outputs_are_stored_registered_and_told(stored: Site) -> None:
    ann = await stored.user("ann")
    names = await inputs(ann)
    (job,) = await submitted(ann, SUM | {"input_data": names, "output_data": ["sum.txt"], "output_se": ["S3"]})
    await over(ann, job, "Done", "Failed")
    lfn = f"{HOME}/{job // 1000}/{job}/sum.txt"
    file = await lookup(ann, lfn)
    assert (file["sha256"], [each["se"] for each in file["replicas"]]) == (
        hashlib.sha256(b"one two").hexdigest(),
        ["S3"],
    )
    assert await content(ann, lfn) == b"one two"
    story = (await ann.get(f"/api/v1/jobs/{job}/history")).text
    assert f"its output is stored and registered: {lfn}" in story
    chained, gone, wrong = await submitted(
        ann,
        {"executable": "/bin/cp", "arguments": ["sum.txt", "x"], "input_data": [f"LFN:{lfn}"],
         "output_data": [f"LFN:/{VO}/chained/x"]},
        {"executable": "/bin/true", "output_data": ["never.txt"]},
        {"executable": "/bin/touch", "arguments": ["y"], "output_data": ["LFN:/atlas/y"]},
    )  # fmt: skip
    assert (await over(ann, chained, "Done", "Failed"))["status"] == "Done"
    assert await content(ann, f"/{VO}/chained/x") == b"one two"
    for number, code in ((gone, "output-missing"), (wrong, "output-refused")):
        assert (await over(ann, number, "Done", "Failed"))["status"] == "Failed"
        assert (await ann.get(f"/api/v1/jobs/{number}/why")).json()["code"] == code


async def test_an_input_that_is_not_as_the_catalogue_has_it_fails_the_attempt(stored: Site, tmp_path: Path) -> None:
    ann = await stored.user("ann")
    await put(ann, f"{HOME}/bad", b"right", "DISK")
    (tmp_path / "disk" / f"{HOME}/bad".lstrip("/")).write_bytes(b"wrong")
    (job,) = await submitted(ann, {"executable": "/bin/true", "input_data": [f"LFN:{HOME}/bad"]})
    async with asyncio.timeout(60):
        while "input-download" not in (story := (await ann.get(f"/api/v1/jobs/{job}/history")).text):
            await asyncio.sleep(0.1)
    assert "sha256" in story
    await ann.post(f"/api/v1/jobs/{job}/kill")


async def test_a_superseded_attempt_registers_nothing_and_no_job_writes_what_it_did_not_describe(
    stored: Site, tmp_path: Path
) -> None:
    ann, pilot = await stored.user("ann"), await stored.pilot("by-hand")
    (job,) = await submitted(ann, SUM | {"output_data": ["sum.*"], "tags": ["by-hand"]})
    match = await pilot.offer(wait=20, tags=["by-hand"])
    assert match["job"] == job
    itself = await stored.client(match["token"]["access_token"])
    await pilot.report(job, "started", 1)
    file = {"name": "sum.txt", "size": 3, "sha256": hashlib.sha256(b"sum").hexdigest()}
    mine = "/api/v1/me/job/data/outputs"
    for name in ("other.txt", f"LFN:{HOME}/x", "../sum.txt/../../x"):
        (place,) = (await itself.post(mine, json={"files": [file | {"name": name}]})).json()["results"]
        assert place["error"]["code"] == "forbidden"
    (place,) = (await itself.post(mine, json={"files": [file]})).json()["results"]
    async with httpx.AsyncClient() as anybody:
        await anybody.post(place["url"], data=place["fields"], files={"file": ("file", b"sum")})
    assert (await pilot.report(job, "failed", 2, code="disk-full"))["ok"]
    sent = {"files": [{"name": "sum.txt", "se": place["se"]}]}
    refusal(await itself.post(f"{mine}/confirm", json=sent), 401, "job-token")
    assert (await lookup(ann, place["lfn"]))["status"] == "Announced"


async def ended(client: httpx.AsyncClient, request: str, *statuses: str) -> Json:
    """The request, once it is in one of these states."""
    for _ in range(1200):
        row: Json = (await client.get(f"{ROUTE}/requests/{request}")).json()
        if row["status"] in statuses:
            return row
        await asyncio.sleep(0.05)
    raise AssertionError(row)


async def said(boss: httpx.AsyncClient, status: str, access: str, se: str = "S3") -> None:
    which = {"resources": [{"kind": "se", "name": se}], "access": [access], "status": status, "reason": "a new roof"}
    assert (await boss.post("/api/v1/resources", json=which)).status_code == 200


async def test_an_output_that_had_to_go_elsewhere_is_moved_by_a_request_that_the_job_waits_for(stored: Site) -> None:
    ann, boss = await stored.user("ann"), await stored.user("boss", "Operator")
    await said(boss, "Banned", "write")
    await stored.work.runtime.resources.read()
    making = {"executable": "/bin/touch", "arguments": ["out.txt"], "output_data": ["out.txt"], "output_se": ["S3"]}
    job, hopeless, away = await submitted(ann, making, making, making | {"output_se": ["AWAY"]})
    for number in (job, hopeless, away):
        await over(ann, number, "Completed", "Failed")
    lfn = f"{HOME}/{job // 1000}/{job}/out.txt"
    assert [each["se"] for each in (await lookup(ann, lfn))["replicas"] if each["state"] == "Active"] == ["DISK"]
    rows = {row["job"]: row["request"] for row in (await ann.get(f"{ROUTE}/requests")).json()["requests"]}
    async with asyncio.timeout(60):
        while "a new roof" not in (why := (await ann.get(f"/api/v1/jobs/{job}/why")).json())["detail"]:
            await asyncio.sleep(0.1)
    assert (why["code"], why["pending"]) == ("pending", [rows[job]])
    async with asyncio.timeout(60):
        while "AWAY cannot be reached" not in (await ann.get(f"/api/v1/jobs/{away}/why")).json()["detail"]:
            await asyncio.sleep(0.1)
    await ann.post(f"{ROUTE}/requests/{rows[hopeless]}/cancel")
    assert (await over(ann, hopeless, "Done", "Failed"))["status"] == "Failed"
    assert (await ann.get(f"/api/v1/jobs/{hopeless}/why")).json()["code"] == "requests-failed"
    await said(boss, "Active", "write")
    assert (await over(ann, job, "Done", "Failed"))["status"] == "Done"
    assert [each["se"] for each in (await lookup(ann, lfn))["replicas"] if each["state"] == "Active"] == ["S3"]


async def test_files_are_copied_to_another_storage_element_and_what_cannot_be_is_told(
    stored: Site, tmp_path: Path
) -> None:
    ann, eve = await stored.user("ann"), await stored.user("eve", group="lhcb_guest")
    one, gone = f"{HOME}/one", f"{HOME}/gone"
    await put(ann, one, b"one", "DISK")
    await put(ann, gone, b"gone", "DISK")
    (tmp_path / "disk" / gone.lstrip("/")).unlink()
    wanted = {"lfns": [one], "operations": [{"verb": "replicate", "se": "S3"}, {"verb": "drop", "se": "DISK"}]}
    made = (await ann.post(f"{ROUTE}/requests", json=wanted | {"lfns": [one, f"{HOME}/never"]})).json()
    assert [each["error"]["code"] for each in made["refused"]] == ["file-unknown"]
    assert (await ended(ann, made["request"], "Done", "Failed"))["status"] == "Done"
    replicas = {each["se"]: each["state"] for each in (await lookup(ann, one))["replicas"]}
    assert replicas.pop("S3") == "Active" and "Active" not in replicas.values()
    assert await content(ann, one) == b"one"
    made = (await ann.post(f"{ROUTE}/requests", json=wanted | {"lfns": [gone]})).json()
    async with asyncio.timeout(60):
        while "there is no such file" not in (await ann.get(f"{ROUTE}/requests/{made['request']}/why")).json()["why"]:
            await asyncio.sleep(0.1)
    refusal(await eve.post(f"{ROUTE}/requests/{made['request']}/cancel"), 403, "forbidden")
    refusal(await eve.get(f"{ROUTE}/requests/{made['request']}"), 403, "forbidden")
    assert (await eve.get(f"{ROUTE}/requests")).json() == {"requests": []}
    assert (await ann.post(f"{ROUTE}/requests/{made['request']}/cancel")).json()["status"] == "Canceled"
    refusal(await eve.post(f"{ROUTE}/requests", json=wanted), 403, "data-forbidden")
    nowhere = wanted | {"operations": [{"verb": "replicate", "se": "NOWHERE"}]}
    refusal(await ann.post(f"{ROUTE}/requests", json=nowhere), 404, "se-unknown")
