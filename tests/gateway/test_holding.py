"""Offers and listeners are held; nobody may have so many of them that others get none."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from gateway_site import JOB, Site, refusal, submitted

from gateway.holding import LISTENERS, OFFERS

ROOM = httpx.Limits(max_connections=200)


def wide(site: Site, client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same asker, with room for many requests at a time."""
    return httpx.AsyncClient(base_url=site.work.url, headers=client.headers, timeout=30, limits=ROOM)


async def held(client: httpx.AsyncClient, count: int, wait: float) -> list[httpx.Response]:
    async def one() -> httpx.Response:
        body = {"offer": str(uuid4()), "processors": 1, "memory_mb": 100, "cpu_seconds": 10**6, "wait": wait}
        return await client.post("/api/v1/pilot/offer", json=body)

    return await asyncio.gather(*(one() for _ in range(count)))


async def test_a_pilot_holds_few_offers_and_others_theirs(site: Site) -> None:
    greedy, other = await site.pilot("greedy"), await site.pilot("other")
    async with wide(site, greedy.client) as client:
        holding = asyncio.create_task(held(client, 30, 4.0))
        await asyncio.sleep(1.5)
        first, second = await submitted(await site.user("ann"), JOB, JOB | {"tags": ["mine"]})
        assert (await other.offer(20, tags=["mine"]))["job"] in (first, second)
        answers = await holding
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 30 - OFFERS
    assert refusal(refused[0], 429, "too-many-held")["limit"] == OFFERS
    assert refused[0].headers["retry-after"]
    assert (await held(greedy.client, 1, 0))[0].is_success  # what was held is held no more


async def test_a_user_has_few_listeners_and_gets_another_when_one_has_gone(site: Site) -> None:
    ann = await site.user("ann")

    async def listen(client: httpx.AsyncClient, opened: list[int], stop: asyncio.Event) -> None:
        async with client.stream("GET", "/api/v1/events") as answer:
            opened.append(answer.status_code)
            await stop.wait()

    async with wide(site, ann) as client:
        opened: list[int] = []
        stop = asyncio.Event()
        tasks = [asyncio.create_task(listen(client, opened, stop)) for _ in range(LISTENERS)]
        while len(opened) < LISTENERS:
            await asyncio.sleep(0.02)
        refusal(await client.get("/api/v1/events"), 429, "too-many-held")
        stop.set()
        await asyncio.gather(*tasks)
        while (await _status(client)) == 429:
            await asyncio.sleep(0.05)
        assert set(opened) == {200} == {await _status(client)}


async def _status(client: httpx.AsyncClient) -> int:
    async with client.stream("GET", "/api/v1/events") as answer:
        return answer.status_code


async def test_a_listener_is_asked_for_a_token_again_after_a_while(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.events.LONGEST", 0.5)
    monkeypatch.setattr("gateway.events.PULSE", 0.2)
    monkeypatch.setattr("gateway.events.SOON", 0.2)
    ann: Any = await site.user("ann")
    async with asyncio.timeout(10), ann.stream("GET", "/api/v1/events") as answer:
        assert b"".join([part async for part in answer.aiter_bytes()]).startswith(b": listening")
