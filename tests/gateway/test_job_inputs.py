"""Jobs with input files: near which sites they wait, why they cannot have their inputs, and what frees them."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_site import VO, Site, refusal, submitted

from domain.schema import read

ROUTE = "/api/v1/data"
BOTH, EAST, WEST = f"/{VO}/run/both", f"/{VO}/run/east", f"/{VO}/run/west"
CERN, OTHER = "LCG.CERN.cern", "LCG.Other.org"


@pytest.fixture
async def near(site: Site, tmp_path: Path) -> Site:
    """Two sites, each with a storage element."""
    names = {"EAST": CERN, "WEST": OTHER}
    storage = {name: {"backend": "local", "access": [{"protocol": "file", "url": f"file://{tmp_path}/{name}"}]}
               for name in names}  # fmt: skip
    sites = {where: {"storage_elements": [name]} for name, where in names.items()}
    configuration = site.work.runtime.configuration
    configuration.current = read(configuration.builtin | {"resources": {"storage_elements": storage, "sites": sites}})
    return site


async def registered(client: httpx.AsyncClient, lfn: str, *ses: str) -> None:
    digest = hashlib.sha256(lfn.encode()).hexdigest()
    answer = await client.post(
        f"{ROUTE}/files", json={"files": [{"lfn": lfn, "size": 3, "sha256": digest, "ses": ses}]}
    )
    (result,) = answer.json()["results"]
    assert "error" not in result, result


def wanting(*lfns: str, **more: Any) -> dict[str, Any]:
    return {"executable": "/bin/true", "input_data": [f"LFN:{lfn}" for lfn in lfns]} | more


async def told(client: httpx.AsyncClient, job: int, code: str) -> dict[str, Any]:
    """Why the job is where it is, once that is for this reason."""
    for _ in range(600):
        why: dict[str, Any] = (await client.get(f"/api/v1/jobs/{job}/why")).json()
        if why["code"] == code:
            return why
        await asyncio.sleep(0.05)
    raise AssertionError(why)


async def test_a_job_waits_near_all_of_its_inputs(near: Site) -> None:
    ann, pilot = await near.user("ann"), await near.pilot()
    await registered(ann, BOTH, "EAST", "WEST")
    await registered(ann, EAST, "EAST")
    await registered(ann, WEST, "WEST")
    here, there, nowhere, elsewhere = await submitted(
        ann, wanting(BOTH, EAST), wanting(BOTH, WEST), wanting(EAST, WEST), wanting(BOTH, banned_sites=[CERN, OTHER])
    )
    assert (await pilot.offer(wait=20))["job"] == here
    assert await pilot.offer(wait=1) is None
    detail = (await told(ann, nowhere, "input-unavailable"))["detail"]
    assert f"{EAST} near {CERN}; {WEST} near {OTHER}" in detail
    assert "bans them" in (await told(ann, elsewhere, "input-unavailable"))["detail"]
    story = (await ann.get(f"/api/v1/jobs/{here}/history")).json()
    assert f"its inputs are near {CERN}" in str(story)
    await ann.post(f"{ROUTE}/replicas/add", json={"se": "EAST", "lfns": [WEST]})
    assert {(await pilot.offer(wait=20, processors=1))["job"] for _ in range(2)} == {there, nowhere}


async def test_a_job_whose_input_is_not_there_yet_goes_on_when_it_comes_and_is_held_when_it_goes(near: Site) -> None:
    ann, pilot = await near.user("ann"), await near.pilot(site="elsewhere")
    assert await pilot.offer(wait=0) is None
    (job,) = await submitted(ann, wanting(EAST))
    why = await told(ann, job, "input-unknown")
    assert (f"there is no file {EAST}" in why["detail"], why["who"]) == (True, "user")
    await registered(ann, EAST, "EAST")
    await told(ann, job, "site")
    await ann.post(f"{ROUTE}/replicas/lose", json={"se": "EAST", "lfns": [EAST], "reason": "the disk died"})
    assert "no storage element has a good replica" in (await told(ann, job, "input-unavailable"))["detail"]
    await ann.post(f"{ROUTE}/replicas/trust", json={"se": "EAST", "lfns": [EAST]})
    await told(ann, job, "site")
    assert await pilot.offer(wait=1) is None


async def test_a_banned_storage_element_holds_its_jobs_until_it_is_allowed(near: Site) -> None:
    ann, boss, pilot = await near.user("ann"), await near.user("boss", "Operator"), await near.pilot()
    await registered(ann, EAST, "EAST")
    waits, other = await submitted(ann, wanting(EAST, sites=[CERN], tags=["none"]), wanting(EAST))
    assert (await pilot.offer(wait=20, processors=1))["job"] == other
    which = {"resources": [{"kind": "se", "name": "EAST"}], "access": ["read"]}
    await boss.post("/api/v1/resources", json=which | {"status": "Banned", "reason": "its roof leaks"})
    why = await told(ann, waits, "storage-banned")
    assert ("EAST is Banned: its roof leaks" in why["detail"], why["who"]) == (True, "operator")
    (later,) = await submitted(ann, wanting(EAST))
    await told(ann, later, "storage-banned")
    await boss.post("/api/v1/resources", json=which | {"status": "Active", "reason": "mended"})
    assert (await pilot.offer(wait=20, processors=1))["job"] == later
    await told(ann, waits, "tag")


async def test_files_of_another_vo_and_names_that_no_file_has_are_refused_at_once(near: Site) -> None:
    ann = await near.user("ann")
    for lfn, problem in (("/atlas/x", "is not a file of"), (f"/{VO}/../x", "cannot be a logical file name")):
        answer = await ann.post("/api/v1/jobs", json={"jobs": [wanting(lfn)]})
        assert problem in refusal(answer, 422, "description")["detail"]
