"""Two hundred files on real storage while processes are killed: nothing dark, nothing lost in silence."""

import asyncio
import hashlib
import random
import zlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from servers import SeaweedFS
from system.fleet import Fleet, connected
from system.people import VO, insist, person

from domain.configuration import ChangeConfiguration
from domain.messages import Origin
from domain.schema import builtin
from infra.app import CORE
from infra.decider import Ask, Decider
from infra.store import Store
from infra.tokens import Tokens, installation_secret

pytestmark = [pytest.mark.servers, pytest.mark.slow]
ROUTE = "/api/v1/data"
FILES = 200
BULK = 10
Json = dict[str, Any]


@pytest.fixture
async def stored(fleet: Fleet, s3: SeaweedFS) -> Fleet:
    """The fleet with a directory and a bucket; its processes have the keys in their environment only."""
    storage = {
        "DISK": {"backend": "local", "access": [{"protocol": "file", "url": f"file://{fleet.data}/disk"}]},
        "S3": {"backend": "s3", "access": [{"protocol": "http", "url": f"{s3.url}/kills-{fleet.port}"}],
               "key_env": "SE_KEY", "secret_env": "SE_SECRET"},
    }  # fmt: skip
    change = {f"/resources/storage_elements/{name}": each for name, each in storage.items()}
    change |= {f"/registry/{VO}": builtin(VO)["registry"][VO]}
    async with connected(fleet.database) as pool:
        decider = Decider(CORE, Store(pool, CORE.codec()))
        root = Origin("operator:root", "", datetime.now(UTC), rights=frozenset({"CSAdministrator"}))
        async with decider.store.transaction() as connection:
            (verdict,) = await decider.decide(connection, [Ask(ChangeConfiguration(0, change), root)])
        assert verdict.refusal is None, verdict.refusal
    for name in ("gateway", "dispatch"):
        fleet.parts[name].environment |= {"SE_KEY": s3.access_key, "SE_SECRET": s3.secret_key}
        fleet.parts[name].kill()
    await asyncio.sleep(1)
    await fleet.ready()
    return fleet


def content(number: int) -> bytes:
    return f"event {number}\n".encode() * (number + 1)


def described(number: int) -> Json:
    data = content(number)
    return {"lfn": f"/{VO}/kills/{number % 7}/{number}", "size": len(data), "adler32": f"{zlib.adler32(data):08x}",
            "sha256": hashlib.sha256(data).hexdigest(), "ses": ["DISK" if number % 2 else "S3"]}  # fmt: skip


async def put(client: httpx.AsyncClient, numbers: list[int], sent: Counter[str]) -> None:
    """As the command line does it; whatever gets no answer is done again."""
    files = {described(number)["lfn"]: number for number in numbers}
    while files:
        body = {"files": [described(number) for number in files.values()]}
        places = (await insist(client, f"{ROUTE}/uploads", body, sent))["results"]
        written = []
        for place in places:
            assert "error" not in place, place
            if place["url"] and await _sent(place, content(files[place["lfn"]])):
                written.append({"lfn": place["lfn"], "se": place["se"]})
            elif not place["url"]:
                files.pop(place["lfn"])
        results = await insist(client, f"{ROUTE}/uploads/confirm", {"files": written}, sent) if written else {}
        for result in results.get("results", ()):
            if "error" not in result:
                files.pop(result["lfn"], None)


async def _sent(place: Json, data: bytes) -> bool:
    async with httpx.AsyncClient(timeout=30) as anybody:
        try:
            return (await anybody.post(place["url"], data=place["fields"], files={"file": ("f", data)})).is_success
        except httpx.HTTPError:
            return False


async def checked(client: httpx.AsyncClient, se: str, sent: Counter[str]) -> Json:
    check = (await insist(client, f"{ROUTE}/elements/{se}/check", {}, sent))["check"]
    while True:
        row = (await client.get(f"{ROUTE}/checks/{check}")).json()
        if row["status"] != "Running":
            assert row["problem"] is None, row
            return dict(row)
        await asyncio.sleep(0.2)


@pytest.mark.timeout(240)
async def test_nothing_is_dark_or_lost_in_silence_when_processes_are_killed(
    stored: Fleet, chance: random.Random
) -> None:
    token = person(Tokens(installation_secret("", stored.data)))
    sent: Counter[str] = Counter()
    async with httpx.AsyncClient(
        base_url=stored.url, headers={"Authorization": f"Bearer {token}"}, timeout=60
    ) as client:
        bulks = [list(range(start, start + BULK)) for start in range(0, FILES, BULK)]
        putting = asyncio.gather(*(put(client, bulk, sent) for bulk in bulks[:-1]))
        for victim in ("gateway", "dispatch", "gateway", "dispatch"):
            await asyncio.sleep(chance.uniform(0.2, 0.8))
            stored.parts[victim].kill()
        await putting
        # The last ones are given up in the middle: announced, half of them written, none confirmed.
        places = (await insist(client, f"{ROUTE}/uploads", {"files": [described(n) for n in bulks[-1]]}, sent))[
            "results"
        ]
        for place, number in list(zip(places, bulks[-1], strict=True))[:5]:
            assert await _sent(place, content(number))
        rows = [await checked(client, se, sent) for se in ("DISK", "S3")]
        assert sum(row["listed"] for row in rows) == FILES - 5
        lfns = {described(number)["lfn"]: described(number) for number in range(FILES)}
        found = (await insist(client, f"{ROUTE}/lookup", {"lfns": list(lfns)}, sent))["files"]
        findings = (await client.get(f"{ROUTE}/findings")).json()["findings"]
    given_up = {described(number)["lfn"] for number in bulks[-1][5:]}
    assert {row["lfn"]: row["kind"] for row in findings} == dict.fromkeys(given_up, "unconfirmed")
    assert all(row["since"] and row["until"] for row in findings)
    for lfn, file in found.items():
        state = "Intended" if lfn in given_up else "Active"
        assert [each["state"] for each in file["replicas"]] == [state], file
        assert file["sha256"] == lfns[lfn]["sha256"]
    assert stored.parts["gateway"].killed + stored.parts["dispatch"].killed == 6
