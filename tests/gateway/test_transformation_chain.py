"""Two chained transformations with real payloads, run by a real pilot: what one stores, the other takes."""

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
from data_files import DISK, put
from gateway_site import VO, Site
from transforming import DATA, act, audited, made, states, until

from pilot.build import build

NEAR = "LCG.CERN.cern"
RAW = tuple(f"/{VO}/raw/r{n}" for n in range(6))
BAD = f"/{VO}/raw/bad"
# A file's content is its own name (see data_files.put); a payload that finds "bad" in one of its inputs fails.
MERGE = {"executable": "/bin/sh",
         "arguments": ["-c", "cat r[0-9] bad > all; grep -q /bad all && exit 3; cat r[0-9] > m_{task}"],
         "output_data": ["m_{task}"], "output_path": f"LFN:/{VO}/merged"}  # fmt: skip
COUNT = {"executable": "/bin/sh", "arguments": ["-c", "cat m_* | wc -c > n_{task}"],
         "output_data": ["n_{task}"], "output_path": f"LFN:/{VO}/counted"}  # fmt: skip


@pytest.fixture
async def piloted(site: Site, tmp_path: Path) -> AsyncIterator[Site]:
    """The site, with a real pilot at work."""
    boss = await site.user("boss", "Operator")
    secret = (await boss.post("/api/v1/pilots", json={"stamp": "real", "site": NEAR})).json()["secret"]
    command = [sys.executable, build(str(tmp_path / "pilot.pyz")), "--url", site.work.url, "--vo", VO,
               "--stamp", "real", "--site", NEAR, "--work-dir", str(tmp_path), "--processors", "4",
               "--memory-mb", "4000", "--cpu-power", "10", "--wait", "5", "--idle-exit", "300"]  # fmt: skip
    environment = {"PATH": os.environ["PATH"], "SPINOR_PILOT_SECRET": secret, "HOME": str(tmp_path)}
    with (tmp_path / "pilot.log").open("ab") as log:
        pilot = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=tmp_path)
    yield site
    pilot.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(pilot.wait, 60) is not None


async def content(client: httpx.AsyncClient, lfn: str) -> bytes:
    (source,) = (await client.post(f"{DATA}/downloads", json={"lfns": [lfn]})).json()["results"]
    async with httpx.AsyncClient() as anybody:
        return (await anybody.get(source["urls"][0]["url"])).content


@pytest.mark.timeout(240)
async def test_what_one_transformation_stores_the_next_one_takes(piloted: Site) -> None:
    ann = await piloted.user("ann")
    await made(ann, "merge", path=f"/{VO}/raw", group_size=2, job=MERGE, then="split")
    await made(ann, "count", path=f"/{VO}/merged", plugin="OnePerFile", job=COUNT)
    await put(ann, *RAW[:3], BAD, *RAW[3:])
    await until(ann, "merge", lambda it: it["attached"] == 7)
    await act(ann, "merge", "drain")
    first = await until(ann, "merge", lambda it: it["status"] == "Completed", 200)
    assert (first["processed"], first["quarantined"]) == (6, 1)
    assert {lfn for lfn, state in (await states(ann, "merge")).items() if state == "Quarantined"} == {BAD}
    second = await until(ann, "count", lambda it: it["processed"] == first["done_tasks"], 200)
    assert second["attached"] == first["done_tasks"], "each output is an input of the next, once"
    merged, counted = set(await states(ann, "count")), 0
    found: Any = (await ann.post(f"{DATA}/lookup", json={"lfns": sorted(merged)})).json()["files"]
    for lfn in merged:
        data = await content(ann, lfn)
        assert hashlib.sha256(data).hexdigest() == found[lfn]["sha256"]
    answer = await ann.get(f"{DATA}/list", params={"path": f"/{VO}/counted"})
    for file in answer.json()["files"]:
        counted += int(await content(ann, file["lfn"]))
        assert [each["se"] for each in (await lookup(ann, file["lfn"]))["replicas"]] == [DISK]
    assert counted == sum(len(lfn) for lfn in RAW), "every good input is in exactly one output"
    for name in ("merge", "count"):
        await audited(ann, name)


async def lookup(client: httpx.AsyncClient, lfn: str) -> dict[str, Any]:
    return dict((await client.post(f"{DATA}/lookup", json={"lfns": [lfn]})).json()["files"][lfn])
