"""The configuration over HTTP: who sees and changes what, caches, history, going back, and a look before a change."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from gateway_site import Site

BOSS = ("NormalUser", "CSAdministrator")
USERS = {"users": {"properties": ["NormalUser"]}, "admins": {"properties": ["NormalUser", "CSAdministrator"]}}


def vo(**more: Any) -> dict[str, Any]:
    return {"default_group": "users", "groups": USERS, **more}


async def written(client: httpx.AsyncClient, put: dict[str, Any], **more: Any) -> httpx.Response:
    revision = (await client.get("/api/v1/config")).json()["revision"]
    return await client.post("/api/v1/config", json={"expected": revision, "put": put, **more})


async def in_force(site: Site, revision: int) -> None:
    """Wait until the gateway has it."""
    while site.world.configuration().revision < revision:
        await asyncio.sleep(0.01)


@pytest.fixture
async def boss(site: Site) -> httpx.AsyncClient:
    """Who governs the installation; lhcb, the VO of everybody else, and cta are there."""
    boss = await site.user("boss", *BOSS)
    two = {"/registry/lhcb": vo(), "/registry/cta": vo(), "/systems/administrators": ["root"], "/registry/root": vo()}
    answer = await written(boss, two)
    assert answer.status_code == 200, answer.text
    await in_force(site, 1)
    return await site.user("root", *BOSS, vo="root")


async def test_the_first_change_is_laid_over_what_is_built_in(site: Site) -> None:
    boss = await site.user("boss", *BOSS)
    assert (await written(boss, {"/systems/name": "Grid"})).json()["changed"]
    await in_force(site, 1)
    shown = (await boss.get("/api/v1/config")).json()["value"]
    assert (
        shown["systems"] == {"name": "Grid"} and "lhcb" in shown["registry"] and "Laptop" in shown["resources"]["sites"]
    )


async def test_a_user_sees_nothing_of_another_vo_in_any_answer(site: Site, boss: httpx.AsyncClient) -> None:
    secret = {"/registry/cta/users/s-17": {"preferred_username": "hidden"}, "/operations/cta/times/silent_for": 7777,
              "/resources/sites/LCG.Hidden.fr": {"vos": ["cta"]}}  # fmt: skip
    answer = await written(boss, secret)
    assert answer.status_code == 200, answer.text
    await in_force(site, 2)
    ann = await site.user("ann")
    for path in ("/api/config/", "/api/v1/config", "/api/v1/config?revision=1", "/api/v1/config/health",
                 "/api/v1/config/history", "/api/v1/config/diff?old=1"):  # fmt: skip
        text = (await ann.get(path)).text.lower()
        assert "hidden" not in text and "7777" not in text, path
    assert (await ann.get("/api/v1/config", params={"section": "/registry/cta"})).status_code == 404
    assert "hidden" in (await boss.get("/api/v1/config")).text


async def test_who_is_no_administrator_changes_nothing(site: Site, boss: httpx.AsyncClient) -> None:
    ann = await site.user("ann")
    for path, body in (("", {"put": {}}), ("/rollback", {"revision": 1}), ("/preview", {"put": {}})):
        assert (await ann.post(f"/api/v1/config{path}", json={"expected": 1, **body})).status_code == 403


async def test_an_administrator_of_a_vo_is_held_to_its_section(site: Site, boss: httpx.AsyncClient) -> None:
    mine = await site.user("carol", *BOSS)
    assert (await written(mine, {"/operations/lhcb/times/silent_for": "2h"})).status_code == 200
    await in_force(site, 2)
    for place in ("/registry/cta/suspended", "/operations/Defaults/times/silent_for", "/resources/sites/X"):
        for path in ("", "/preview"):
            answer = await mine.post(f"/api/v1/config{path}", json={"expected": 2, "put": {place: {}}})
            assert (answer.status_code, answer.json()["code"]) == (403, "not-your-section"), (place, path)


async def test_a_whole_document_of_a_vo_leaves_the_others_alone(site: Site, boss: httpx.AsyncClient) -> None:
    mine = await site.user("carol", *BOSS)
    shown = (await mine.get("/api/v1/config")).json()["value"]
    shown["registry"]["lhcb"]["suspended"] = True
    answer = await mine.post("/api/v1/config", json={"expected": 1, "value": shown})
    assert answer.json()["places"] == ["/registry/lhcb/suspended"], answer.text
    await in_force(site, 2)
    assert site.world.configuration().vos == ["cta", "lhcb", "root"]


async def test_a_wrong_change_says_where_why_and_what_was_meant(site: Site, boss: httpx.AsyncClient) -> None:
    answer = await written(boss, {"/registry/cta/groups/users/job_shares": 5})
    assert answer.status_code == 422
    (wrong,) = answer.json()["problems"]
    assert wrong["field"] == "/registry/cta/groups/users/job_shares" and wrong["meant"] == "job_share"


async def test_of_two_who_saw_the_same_revision_one_is_told(site: Site, boss: httpx.AsyncClient) -> None:
    first, second = [
        await boss.post("/api/v1/config", json={"expected": 1, "put": {"/systems/name": name}}) for name in ("a", "b")
    ]
    assert first.status_code == 200 and (second.status_code, second.json()["code"]) == (409, "revision")


async def test_a_repeated_request_changes_it_once(site: Site, boss: httpx.AsyncClient) -> None:
    body = {"expected": 1, "put": {"/systems/name": "a"}}
    answers = [await boss.post("/api/v1/config", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.json()["revision"] for answer in answers] == [2, 2]


async def test_the_history_says_who_when_why_and_one_can_go_back(site: Site, boss: httpx.AsyncClient) -> None:
    await written(boss, {"/registry/cta/groups/users/job_share": 5}, reason="less")
    await in_force(site, 2)
    newest, _ = (await boss.get("/api/v1/config/history")).json()["revisions"]
    assert newest["reason"] == "less" and newest["author"].startswith("user:") and newest["revision"] == 2
    told = (await boss.get("/api/v1/config/diff", params={"old": 1, "new": 2})).json()["changes"]
    assert told == [{"place": "/registry/cta/groups/users/job_share", "old": None, "new": 5, "removed": False}]
    back = await boss.post("/api/v1/config/rollback", json={"expected": 2, "revision": 1})
    assert back.json()["revision"] == 3
    await in_force(site, 3)
    now, then = [(await boss.get("/api/v1/config", params={"revision": n})).json()["value"] for n in (3, 1)]
    assert now == then


async def test_who_has_the_newest_gets_304_and_no_body(site: Site, boss: httpx.AsyncClient) -> None:
    ann = await site.user("ann")
    answer = await ann.get("/api/config/")
    etag, modified = answer.headers["etag"], answer.headers["last-modified"]
    assert '"' not in etag
    for headers, status in (
        ({"If-None-Match": etag}, 304), ({"If-None-Match": f'"{etag}"'}, 304), ({"If-None-Match": "other"}, 200),
        ({"If-None-Match": "other", "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 304),
        ({"If-Modified-Since": modified}, 200), ({"If-Modified-Since": "yesterday"}, 200),
    ):  # fmt: skip
        again = await ann.get("/api/config/", headers=headers)
        assert (again.status_code, again.headers["etag"], again.headers["last-modified"]) == (status, etag, modified)
        assert bool(again.content) == (status == 200)


async def test_another_vos_change_leaves_the_cached_answer_good(site: Site, boss: httpx.AsyncClient) -> None:
    ann = await site.user("ann")
    etag = (await ann.get("/api/config/")).headers["etag"]
    await written(boss, {"/registry/cta/groups/users/job_share": 5})
    await in_force(site, 2)
    assert (await ann.get("/api/config/", headers={"If-None-Match": etag})).status_code == 304


async def test_the_contract_gets_the_names_it_knows(site: Site, boss: httpx.AsyncClient) -> None:
    found = (await (await site.user("ann")).get("/api/config/")).json()
    assert found.keys() == {"DIRAC", "Registry", "Operations", "Resources", "LocalSite", "LogLevel",
                            "MCTestingDestination", "Systems", "WebApp"}  # fmt: skip
    assert found["Registry"].keys() == {"lhcb"}
    assert found["Registry"]["lhcb"]["Groups"]["users"]["JobShare"] == 1000
    assert found["Operations"]["lhcb"]["JobDescription"]["MaxCPUTime"] == 500_000


async def test_a_broken_vo_is_told_so_and_the_others_work(site: Site, boss: httpx.AsyncClient) -> None:
    """Written by a release that knows more than this one."""
    from domain.configuration import STREAM, Installation
    from domain.messages import Origin
    from infra.bus.messages import now
    from infra.store import record

    store = site.work.runtime.store
    future = Installation.Changed(2, {"/registry/lhcb/groups/users/properties": ["FromTheFuture"]})
    async with store.transaction() as connection:
        await store.append(connection, "system", [record(future, STREAM, 2, Origin("user:x", "root", now()))])
    await in_force(site, 2)
    ann, bob = await site.user("ann"), await site.user("bob", vo="cta")
    refused = await ann.get("/api/config/")
    assert (refused.status_code, refused.json()["code"]) == (503, "vo-broken")
    assert (await bob.get("/api/config/")).status_code == 200
    health = (await boss.get("/api/v1/config/health")).json()
    assert health["vos"] == ["cta", "root"] and "FromTheFuture" not in str(health["vos"])
    assert health["broken"]["lhcb"][0]["field"] == "/registry/lhcb/groups/users/properties/0"


async def test_an_unknown_vo_in_a_good_token_is_no_fault_of_the_server(site: Site, boss: httpx.AsyncClient) -> None:
    assert (await (await site.user("eve", vo="nowhere")).get("/api/config/")).status_code in (403, 404)


async def test_a_look_before_the_change_tells_what_it_would_do(site: Site, boss: httpx.AsyncClient) -> None:
    queue = {"type": "SSH", "queues": {"long": {"tags": ["GPU"]}}}
    await written(boss, {"/resources/sites/LCG.GRIF.fr": {"ces": {"ce1": queue}}})
    await in_force(site, 2)
    ann = await site.user("ann", group="users")
    job = {"executable": "/bin/true", "tags": ["GPU"]}
    assert (await ann.post("/api/v1/jobs", json={"jobs": [job, job]})).status_code == 201
    await site.pilot("p1", announced="LCG.GRIF.fr", site="LCG.GRIF.fr", ce="ce1")
    body = {"expected": 2, "removed": ["/resources/sites/LCG.GRIF.fr"]}
    for _ in range(500):
        seen = (await boss.post("/api/v1/config/preview", json=body)).json()
        if len(seen["effects"]) == 2:
            break
        await asyncio.sleep(0.02)
    kinds = {effect["kind"]: effect for effect in seen["effects"]}
    assert kinds["jobs-unmatchable"]["affected"] == 2 and kinds["pilots-without-place"]["name"] == "LCG.GRIF.fr/ce1"
    assert seen["problems"] == [] and site.world.configuration().revision == 2


async def test_hostile_documents_are_refused_and_break_nothing(site: Site, boss: httpx.AsyncClient) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = {"a": deep}
    for put in ({"/systems/extra": deep}, {"/systems/name": "\ud800"}, {"/registry": 5}, {"/registry/x~2": {}},
                {"/registry/root": None}, {"/resources/sites": [1]}, {"/systems/extra/\0": 1}, {"": {}}):  # fmt: skip
        body = json.dumps({"expected": 1, "put": put})
        answer = await boss.post("/api/v1/config", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), (put, answer.text)
    assert site.world.configuration().revision == 1
    for path in ("/api/v1/config?section=nothing", "/api/v1/config?revision=99", "/api/v1/config/diff?old=99"):
        assert (await boss.get(path)).status_code in (404, 422), path
