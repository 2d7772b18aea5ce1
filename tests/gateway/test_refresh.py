"""A login goes on with refresh tokens: each is good once, a lost answer locks nobody out, a thief ends it for both."""

import asyncio
from typing import Any

import httpx
import pytest
from login_site import CLIENT, LoginSite, lhcb

pytestmark = pytest.mark.asyncio(loop_scope="module")
REUSED = "Revoked refresh token reused: potential attack detected. You must authenticate again"


async def refresh(site: LoginSite, tokens: Any, request: str = "") -> httpx.Response:
    form = {"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": tokens["refresh_token"]}
    headers = {"x-ms-client-request-id": request} if request else {}
    return await site.http.post("/api/auth/token", data=form, headers=headers)


def grace(site: LoginSite, seconds: int) -> None:
    assert site.work.world
    site.work.world.identity.grace = seconds  # type: ignore[misc]


async def test_each_refresh_token_is_good_once(login_site: LoginSite) -> None:
    first = await login_site.log_in("ann")
    second = (await refresh(login_site, first)).json()
    assert second["refresh_token"] != first["refresh_token"]
    third = (await refresh(login_site, second)).json()
    assert (await login_site.get("/api/auth/userinfo", third["access_token"])).status_code == 200


async def test_a_token_that_comes_again_ends_every_session_of_its_owner(login_site: LoginSite) -> None:
    stolen, elsewhere, other = [await login_site.log_in(name) for name in ("ann", "ann", "bob")]
    newer = (await refresh(login_site, stolen)).json()
    again = await refresh(login_site, stolen)
    assert (again.status_code, again.json()["detail"]) == (401, REUSED)
    assert again.headers["www-authenticate"] == "Bearer"
    assert (await refresh(login_site, newer)).status_code == 401
    assert (await refresh(login_site, elsewhere)).status_code == 401
    assert (await refresh(login_site, other)).status_code == 200
    ended = [facts["reason"] for topic, facts in await login_site.audit() if topic == "session.ended"]
    assert ended == ["reuse", "reuse"]


async def test_the_same_request_again_gets_the_same_successor(login_site: LoginSite) -> None:
    first = await login_site.log_in("ann")
    answers = [(await refresh(login_site, first, "request-1")).json()["refresh_token"] for _ in range(3)]
    assert len(set(answers)) == 1
    at_once = await asyncio.gather(*(refresh(login_site, {"refresh_token": answers[0]}, "r2") for _ in range(8)))
    assert {answer.status_code for answer in at_once} == {200}
    assert len({answer.json()["refresh_token"] for answer in at_once}) == 1


async def test_a_lost_answer_may_be_asked_for_again_within_the_grace(login_site: LoginSite) -> None:
    grace(login_site, 60)
    first = await login_site.log_in("ann")
    lost = (await refresh(login_site, first)).json()
    again = (await refresh(login_site, first)).json()
    assert again["refresh_token"] == lost["refresh_token"]
    assert (await refresh(login_site, again)).status_code == 200
    assert (await refresh(login_site, first)).status_code == 401  # its successor was used: this is no lost answer


async def test_what_somebody_may_do_is_looked_at_again(login_site: LoginSite) -> None:
    ann = await login_site.log_in("ann", "vo:lhcb group:lhcb_prod")
    registry = lhcb(login_site.provider)
    await login_site.configure(registry | {"rules": registry["rules"][:1]}, "lhcb")
    refused = await refresh(login_site, ann)
    assert (refused.status_code, refused.json()["code"]) == (403, "not-member")
    await login_site.configure(registry, "lhcb")
    assert (await refresh(login_site, ann)).status_code == 200  # a refusal has not used the token up


@pytest.mark.parametrize("kind", ["user", "group", "vo"])
async def test_whoever_is_suspended_is_not_refreshed(login_site: LoginSite, kind: str) -> None:
    bob = await login_site.log_in("bob")
    boss = await login_site.log_in("typed-elsewhere", "vo:lhcb group:lhcb_admin")
    name = {"user": "bob", "group": "lhcb_user", "vo": "lhcb"}[kind]
    answer = await login_site.http.post(
        "/api/v1/suspensions", json={"kind": kind, "name": name, "reason": "a test"},
        headers={"Authorization": f"Bearer {boss['access_token']}"},
    )  # fmt: skip
    assert answer.status_code in (200, 201), answer.text
    async with asyncio.timeout(30):
        while (refused := await refresh(login_site, bob)).status_code == 200:
            bob = refused.json()
            await asyncio.sleep(0.1)
    assert refused.status_code in (401, 403), refused.text


async def test_logging_out_ends_the_session_and_tells_nobody_what_it_was(login_site: LoginSite) -> None:
    tokens = await login_site.log_in("ann")
    for given in (tokens["access_token"], "garbage", tokens["refresh_token"], tokens["refresh_token"]):
        answer = await login_site.post("revoke", token=given, token_type_hint="refresh_token")
        assert (answer.status_code, answer.json()) == (200, "Refresh token revoked")
    assert (await refresh(login_site, tokens)).status_code == 401
    assert (await login_site.post("revoke", token="x", token_type_hint="access_token")).status_code == 400
    assert (await login_site.post("revoke", token="x", client_id="other")).status_code == 401


async def test_sessions_are_listed_and_ended_by_their_owner_and_by_who_manages_them(login_site: LoginSite) -> None:
    ann, bob = await login_site.log_in("ann"), await login_site.log_in("bob")
    boss = await login_site.log_in("typed-elsewhere", "vo:lhcb group:lhcb_admin")
    path = "/api/auth/refresh-tokens"
    (mine,) = (await login_site.get(path, ann["access_token"])).json()
    assert (mine["Status"], mine["Sub"]) == (1, "lhcb:sub-ann")
    assert len((await login_site.get(path, boss["access_token"])).json()) == 3

    async def delete(tokens: Any, token: str) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        return await login_site.http.delete(f"{path}/{token}", headers=bearer)

    assert (await delete(bob, mine["JTI"])).status_code == 403
    assert (await delete(ann, "x")).status_code == 400
    assert (await delete(ann, "01a20e7a-42e4-7e68-8b88-0ca80bd70001")).status_code == 404
    answer = await delete(boss, mine["JTI"])
    assert (answer.status_code, answer.json()) == (200, "Refresh token revoked")
    assert (await refresh(login_site, ann)).status_code == 401
    assert (await login_site.get(path, ann["access_token"])).json() == []


async def test_a_refresh_token_keeps_the_end_of_its_login(login_site: LoginSite) -> None:
    assert login_site.work.world
    identity = login_site.work.world.identity
    tokens = await login_site.log_in("ann")
    newer = (await refresh(login_site, tokens)).json()
    opened = login_site.work.world._tokens.opened
    assert opened(newer["refresh_token"])["exp"] == opened(tokens["refresh_token"])["exp"]
    assert identity.session_seconds == 3600


async def test_keys_are_rotated_without_ending_a_login(login_site: LoginSite) -> None:
    from infra.keys import rotate

    tokens = await login_site.log_in("ann")
    before = (await login_site.get("/.well-known/jwks.json")).json()["keys"]
    await rotate(login_site.work.runtime, at_once=False)
    async with asyncio.timeout(30):
        while (keys := (await login_site.get("/.well-known/jwks.json")).json()["keys"]) == before:
            await asyncio.sleep(0.05)
    assert keys[0]["kid"] == before[1]["kid"]  # what was published as the next one
    assert before[0]["kid"] in [key["kid"] for key in keys]
    assert (await login_site.get("/api/auth/userinfo", tokens["access_token"])).status_code == 200
    assert (await refresh(login_site, tokens)).status_code == 200
    await rotate(login_site.work.runtime, at_once=True)
    async with asyncio.timeout(30):
        while (await login_site.get("/api/auth/userinfo", tokens["access_token"])).status_code == 200:
            await asyncio.sleep(0.05)
    refused = await refresh(login_site, tokens)
    assert (refused.status_code, "No key for kid" in refused.json()["detail"]) == (401, True)
