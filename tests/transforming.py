"""What tests of transformations share: files in the catalogue, a transformation over them, the ends of its jobs."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from data_files import DISK
from gateway_site import JOB, Site
from httpx import AsyncClient

DATA, ROUTE = "/api/v1/data", "/api/v1/transformations"
Json = dict[str, Any]


async def registered(client: AsyncClient, *lfns: str, size: int = 10, ses: tuple[str, ...] = (DISK,)) -> None:
    """These files lie on storage already."""
    files = [{"lfn": lfn, "size": size, "ses": ses} for lfn in lfns]
    answer = await client.post(f"{DATA}/files", json={"files": files})
    assert answer.json()["counts"] == {"done": len(lfns)}, answer.text


async def made(
    client: AsyncClient, name: str, inputs: tuple[str, ...] = (), *, start: bool = True, **more: Any
) -> Json:
    """A transformation; its inputs are attached."""
    answer = await client.post(ROUTE, json={"name": name, "job": JOB, "retries": 0, **more})
    assert answer.status_code == 201, answer.text
    if inputs:
        answer = await client.post(f"{ROUTE}/{name}/inputs", json={"lfns": inputs})
        assert answer.json()["attached"] == len(set(inputs)), answer.text
    if start:
        await act(client, name, "start")
    return dict(answer.json())


async def act(client: AsyncClient, name: str, verb: str, **body: Any) -> Json:
    answer = await client.post(f"{ROUTE}/{name}/{verb}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def shown(client: AsyncClient, name: str) -> Json:
    answer = await client.get(f"{ROUTE}/{name}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def until(client: AsyncClient, name: str, holds: Callable[[Json], object], patience: int = 30) -> Json:
    """The transformation, once this holds of it."""
    for _ in range(20 * patience):
        if holds(found := await shown(client, name)):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"it never came so far: {found}")


async def tasks(client: AsyncClient, name: str, **query: Any) -> list[Json]:
    return list((await client.get(f"{ROUTE}/{name}/tasks", params=query)).json()["tasks"])


async def states(client: AsyncClient, name: str) -> dict[str, str]:
    """The state of every input."""
    found = (await client.get(f"{ROUTE}/{name}/files")).json()["files"]
    return {each["lfn"]: each["state"] for each in found}


async def work(site: Site, count: int, outcome: Callable[[Json], Json]) -> list[Json]:
    """A pilot takes so many jobs and ends each: what `outcome` says of its match is its last report."""
    pilot = await site.pilot(f"p-{uuid4()}")
    matches = []
    for _ in range(count):
        match = await pilot.offer()
        assert match, "there was no job"
        await pilot.report(match["job"], "started", 1, match["attempt"], host="n1", pid=1)
        end = outcome(match)
        await pilot.report(match["job"], end.pop("kind"), 2, match["attempt"], **end)
        matches.append(match)
    return matches


def well(match: Json) -> Json:
    return {"kind": "done", "exit_code": 0}


def badly(match: Json) -> Json:
    return {"kind": "failed", "code": "exit-code", "exit_code": 3}


async def audited(client: AsyncClient, name: str) -> Json:
    """What the audit says, which must be good."""
    found = await act(client, name, "audit")
    assert found["holds"], found
    return found
