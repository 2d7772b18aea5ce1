"""Statuses of resources: who may set them, what people are told, and when they end."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from gateway_site import ALL, Site, refusal, submitted

from infra.match_guard import PROBES

ROUTE = "/api/v1/resources"
CERN = {"kind": "site", "name": "LCG.CERN.cern"}
BAN = {"resources": [CERN], "status": "Banned", "reason": "cooling is down"}
KEEPERS = ALL | {"ServiceAdministrator"}


async def said(client: httpx.AsyncClient, **more: Any) -> list[dict[str, Any]]:
    answer = await client.post(ROUTE, json=BAN | more)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["resources"]
    return found


async def statuses(client: httpx.AsyncClient, **wanted: Any) -> list[tuple[str, ...]]:
    rows = (await client.get(ROUTE, params=wanted)).json()["resources"]
    return [(row["vo"], row["kind"], row["name"], row["access"], row["status"]) for row in rows]


async def test_a_site_is_banned_told_and_allowed_again(site: Site) -> None:
    ann, boss, eve = await site.user("ann"), await site.user("boss", *ALL), await site.user("eve", vo="belle")
    assert await said(boss) == [CERN | {"status": "Banned", "error": None}]
    (row,) = (await ann.get(ROUTE)).json()["resources"]
    assert (row["reason"], row["author"], row["vo"], row["former"]) == ("cooling is down", "boss", "lhcb", "Active")
    assert await statuses(eve) == []
    await said(boss, status="Active", reason="it is cold again")
    assert await statuses(ann) == []
    assert await statuses(ann, all=True) == [("lhcb", "site", "LCG.CERN.cern", "all", "Active")]
    told = (await ann.get(f"{ROUTE}/history", params=CERN)).json()["lines"]
    assert [(line["actor"], line["what"]) for line in told] == [
        ("boss", "site LCG.CERN.cern in lhcb is Banned, was Active: cooling is down"),
        ("boss", "site LCG.CERN.cern in lhcb is Active, was Banned: it is cold again"),
    ]


async def test_a_status_ends_at_its_time(site: Site) -> None:
    boss = await site.user("boss", *ALL)
    await said(boss, status="Draining", reason="old")
    await said(boss, until=(datetime.now(UTC) + timedelta(seconds=2)).isoformat())
    assert await statuses(boss) == [("lhcb", "site", "LCG.CERN.cern", "all", "Banned")]
    async with asyncio.timeout(60):
        while (await statuses(boss))[0][-1] != "Draining":
            await asyncio.sleep(0.1)
    (row,) = (await boss.get(f"{ROUTE}/one", params=CERN)).json()["statuses"]
    assert (row["reason"], row["former"], row["until"]) == ("old", "Banned", None)


async def test_storage_elements_have_a_status_for_each_access(site: Site) -> None:
    boss = await site.user("boss", *ALL)
    eos = {"kind": "se", "name": "CERN-EOS"}
    await said(boss, resources=[eos], access=["write"])
    assert await statuses(boss, kind="se") == [("lhcb", "se", "CERN-EOS", "write", "Banned")]
    await said(boss, resources=[eos])
    assert {row[3] for row in await statuses(boss, kind="se")} == {"read", "write", "check", "remove"}


async def test_who_may_say_what_of_which_vo(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", *ALL)
    manager, root = await site.user("max", "SiteManager"), await site.user("root", *KEEPERS)
    eve = await site.user("eve", vo="belle")
    refusal(await ann.post(ROUTE, json=BAN), 403, "forbidden")
    refusal(await boss.post(ROUTE, json=BAN | {"vo": "all"}), 403, "forbidden")
    refusal(await manager.post(ROUTE, json=BAN | {"vo": "all"}), 403, "forbidden")
    refusal(await root.post(ROUTE, json=BAN | {"vo": "belle"}), 403, "forbidden")
    await said(manager)
    await said(root, vo="all", status="Degraded")
    assert await statuses(ann) == [
        ("all", "site", "LCG.CERN.cern", "all", "Degraded"),
        ("lhcb", "site", "LCG.CERN.cern", "all", "Banned"),
    ]
    assert await statuses(eve) == [("all", "site", "LCG.CERN.cern", "all", "Degraded")]


async def test_what_cannot_be_set_is_refused_with_its_reason(site: Site) -> None:
    boss = await site.user("boss", *ALL)
    refusal(await boss.post(ROUTE, json=BAN | {"reason": " "}), 400, "resource")
    refusal(await boss.post(ROUTE, json=BAN | {"until": "2020-01-01T00:00:00Z"}), 400, "resource")
    refusal(await boss.post(ROUTE, json=BAN | {"access": ["read"]}), 400, "resource")
    names: list[dict[str, Any]] = [{"resources": [CERN | wrong]} for wrong in ({"name": "a\nb"}, {"kind": "moon"})]
    others = [{"resources": []}, {"status": "Closed"}, {"until": "2100-01-01T00:00:00"}, {"reason": "x" * 513}]
    for wrong in names + others:
        refusal(await boss.post(ROUTE, json=BAN | wrong), 422, "malformed")
    some = await said(boss, resources=[CERN, {"kind": "se", "name": "EOS"}], access=["read"])
    assert [each["error"] and each["error"]["code"] for each in some] == ["resource", None]
    (nothing,) = (await boss.get(f"{ROUTE}/one", params={"kind": "ce", "name": "x"})).json()["statuses"]
    assert nothing["status"] == "Active"


async def test_names_of_people_are_sealed_in_the_log_of_resources(site: Site) -> None:
    await said(await site.user("annabella", *ALL))
    rows = await site.work.runtime.pool.fetch("select data from log_resources")
    assert rows and not [row for row in rows if "annabella" in row["data"]]


async def test_a_job_whose_only_site_is_banned_is_held_and_freed_when_the_ban_ends(site: Site) -> None:
    ann, boss, pilot = await site.user("ann"), await site.user("boss", *ALL), await site.pilot()
    await said(boss)
    (job,) = await submitted(ann, {"executable": "/bin/true", "sites": ["LCG.CERN.cern"]})
    (other,) = await submitted(ann, {"executable": "/bin/true", "sites": ["LCG.CERN.cern", "LCG.PIC.es"]})
    async with asyncio.timeout(60):
        while not (row := (await ann.get(f"/api/v1/jobs/{job}")).json())["held"]:
            await asyncio.sleep(0.1)
        while (await ann.get(f"/api/v1/jobs/{other}")).json()["status"] != "Waiting":
            await asyncio.sleep(0.1)
    assert (row["held"], row["held_detail"]) == ("sites-unusable", "LCG.CERN.cern is Banned: cooling is down")
    why = (await ann.get(f"/api/v1/jobs/{job}/why")).json()
    assert (why["code"], why["codes"]) == ("held", ["sites-unusable"])
    assert await pilot.offer(wait=1) is None
    await said(boss, status="Active", reason="it is cold again")
    assert {(await pilot.offer(wait=20))["job"] for _ in range(2)} == {job, other}


async def test_a_banned_place_gets_nothing_and_a_place_on_probation_two_jobs(site: Site) -> None:
    ann, boss, pilot = await site.user("ann"), await site.user("boss", *ALL), await site.pilot()
    for status in ("Banned", "Draining", "Error"):
        await said(boss, status=status)
        await submitted(ann)
        assert await pilot.offer(wait=1) is None
    await said(boss, resources=[{"kind": "node", "name": "LCG.CERN.cern/n1"}], status="Probing")
    await said(boss, status="Degraded")
    for _ in range(PROBES):
        assert await pilot.offer(wait=20, processors=1)
    assert await pilot.offer(wait=1, processors=1) is None
    await said(boss, resources=[{"kind": "node", "name": "LCG.CERN.cern/n1"}], status="Active")
    assert await pilot.offer(wait=20, processors=1)


async def test_the_routes_of_diracx_tell_the_same(site: Site) -> None:
    ann, boss, eve = await site.user("ann"), await site.user("boss", *ALL), await site.user("eve", vo="belle")
    empty = await eve.get("/api/rss/site")
    assert (empty.json(), empty.headers["etag"], empty.headers["vary"]) == ({}, "empty-0-belle", "Authorization")
    assert empty.headers["last-modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    await said(boss)
    await said(boss, resources=[{"kind": "ce", "name": "ce1"}], status="Degraded", reason="slow")
    await said(boss, resources=[{"kind": "se", "name": "EOS"}], access=["write"], reason="full")
    answer = await ann.get("/api/rss/site")
    good = {"allowed": True, "warnings": None}
    banned = {"LCG.CERN.cern": {"all": {"allowed": False, "reason": "cooling is down"}}}
    assert answer.json() == banned | {"Laptop": {"all": good}}  # which is configured, and nothing was said of it
    degraded = (await ann.get("/api/rss/compute")).json()["ce1"]
    assert degraded == {"all": {"allowed": True, "warnings": "slow"}}
    eos = {"read": good, "write": {"allowed": False, "reason": "full"}, "check": good, "remove": good}
    assert (await ann.get("/api/rss/storage")).json()["EOS"] == eos
    assert (await ann.get("/api/rss/fts")).json() == {}
    tag = answer.headers["etag"]
    for given in (tag, f'"{tag}"'):
        again = await ann.get("/api/rss/site", headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await said(boss, status="Active", reason="cold")
    assert (await ann.get("/api/rss/site", headers={"If-None-Match": tag})).status_code == 200
    later = await ann.get("/api/rss/site", headers={"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"})
    assert later.status_code == 304
