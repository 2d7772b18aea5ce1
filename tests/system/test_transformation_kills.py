"""Files through a transformation while processes are killed and jobs are reset: every input once, the bad ones told."""

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest
from system.fleet import Fleet, Part
from system.people import SITE, VO, Json, Told, User, crew, done, fetched, insist, person

from infra.tokens import Tokens, installation_secret

pytestmark = [pytest.mark.servers, pytest.mark.slow]
ROUTE = "/api/v1/transformations"
FILES, BULK = 120, 20
BAD = {f"/{VO}/storm/{n % 10}/bad-{n}" for n in (3, 77, 111)}
LFNS = [next((bad for bad in BAD if bad.endswith(f"-{n}")), f"/{VO}/storm/{n % 10}/{n}") for n in range(FILES)]
NAME = "storm"
VICTIMS = ["consume", "dispatch", "timers", "consume"]


def verdict(match: Json) -> Json:
    """A job fails that has a bad file among its inputs."""
    if "/bad-" in json.dumps(match["description"]):
        return {"kind": "failed", "code": "exit-code", "exit_code": 3, "detail": "a bad file"}
    return done(match)


def second(fleet: Fleet) -> None:
    """Another process that decides commands: two that pack at once."""
    first = fleet.parts["dispatch"]
    fleet.parts["second"] = Part("second", first.command, first.environment, fleet.data / "second.log")
    fleet.parts["second"].start()


async def registering(client: httpx.AsyncClient, sent: Counter[str], chance: random.Random) -> None:
    for start in range(0, FILES, BULK):
        files = [{"lfn": lfn, "size": 1, "ses": ["LOCAL-DISK"]} for lfn in LFNS[start : start + BULK]]
        answer = await insist(client, "/api/v1/data/files", {"files": files}, sent)
        assert answer["counts"] == {"done": BULK}, answer
        await asyncio.sleep(chance.uniform(0.1, 0.6))


async def meddling(client: httpx.AsyncClient, sent: Counter[str], chance: random.Random, stop: asyncio.Event) -> None:
    """Somebody who pauses, starts, extends, tries again what failed and resets jobs, at the worst moments."""
    while not stop.is_set():
        verb = chance.choice(["pause", "start", "start", "extend", "retry"])
        with suppress(Told):
            await insist(client, f"{ROUTE}/{NAME}/{verb}", {}, sent, headers={"Idempotency-Key": str(uuid4())})
        page = (await fetched(client, f"{ROUTE}/{NAME}/tasks?limit=1000")).json()["tasks"]
        if jobs := [each["job"] for each in chance.sample(page, min(3, len(page)))]:
            with suppress(Told):
                body, key = {"jobs": jobs, "reason": "impatience"}, {"Idempotency-Key": str(uuid4())}
                await insist(client, "/api/v1/jobs/reset", body, sent, headers=key)
        await asyncio.sleep(0.3)


async def shown(client: httpx.AsyncClient) -> Json:
    return dict((await fetched(client, f"{ROUTE}/{NAME}")).json())


@pytest.mark.timeout(240)
async def test_every_input_is_processed_once_whatever_is_killed_and_reset(fleet: Fleet, chance: random.Random) -> None:
    second(fleet)
    token = person(Tokens(installation_secret("", fleet.data)))
    sent: Counter[str] = Counter()
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=fleet.url, headers=headers, timeout=60) as client:
        wanted = {"name": NAME, "job": {"executable": "/bin/true", "sites": [SITE]}, "path": f"/{VO}/storm",
                  "group_size": 5, "retries": 1, "then": "split"}  # fmt: skip
        await insist(client, ROUTE, wanted, sent)
        await insist(client, f"{ROUTE}/{NAME}/start", {}, sent)
        stop = asyncio.Event()
        meddler = asyncio.create_task(meddling(client, sent, chance, stop))
        pilots = await crew(fleet.url, User(client), 3, verdict)
        files = asyncio.create_task(registering(client, sent, chance))
        for victim in chance.sample(VICTIMS, len(VICTIMS)):
            await asyncio.sleep(chance.uniform(0.3, 1.0))
            fleet.parts[victim].kill()
        await files
        stop.set()
        await meddler
        found = await _drained(client, sent)
        await pilots.end()
        audit: Any = await insist(client, f"{ROUTE}/{NAME}/audit", {}, sent)
        page = (await fetched(client, f"{ROUTE}/{NAME}/files?limit=1000")).json()["files"]
    assert audit["holds"], audit
    assert (found["attached"], found["processed"], found["quarantined"]) == (FILES, FILES - len(BAD), len(BAD))
    assert {each["lfn"] for each in page} == set(LFNS)
    assert {each["lfn"]: each["code"] for each in page if each["state"] == "Quarantined"} == dict.fromkeys(
        BAD, "exit-code"
    )
    assert sum(part.killed for part in fleet.parts.values()) == len(VICTIMS)


async def _drained(client: httpx.AsyncClient, sent: Counter[str]) -> Json:
    while (await shown(client))["attached"] < FILES:
        await asyncio.sleep(0.2)
    with suppress(Told):
        await insist(client, f"{ROUTE}/{NAME}/start", {}, sent)
    await insist(client, f"{ROUTE}/{NAME}/drain", {}, sent)
    while (found := await shown(client))["status"] != "Completed":
        await asyncio.sleep(0.2)
    return found
