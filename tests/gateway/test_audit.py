"""Who logged in, who was refused, what ended: asked for by managers of a VO, and by everybody about themselves."""

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
import pytest
from gateway_site import Site, refusal
from login_site import LoginSite, Terminal

from infra import purging
from infra.bus.messages import Request

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def told(client: httpx.AsyncClient, **asked: object) -> list[str]:
    answer = await client.get("/api/v1/audit", params={name: str(value) for name, value in asked.items()})
    assert answer.status_code == 200, answer.text
    return [line["what"] for line in answer.json()["lines"]]


async def until(client: httpx.AsyncClient, count: int, **asked: object) -> list[str]:
    """The lines, once the log is final as far as that."""
    async with asyncio.timeout(60):
        while len(found := await told(client, **asked)) < count:
            await asyncio.sleep(0.05)
    return found


async def test_managers_see_their_vo_others_themselves_and_nobody_a_secret(
    login_site: LoginSite, tmp_path: Path
) -> None:  # fmt: skip
    people = Site(login_site.work, login_site.stack)
    boss = await people.user("boss", "Operator")
    since = (await boss.get("/api/v1/audit")).json()["last"] or -1
    tokens = await login_site.log_in("ann")
    session = (await login_site.get("/api/auth/sessions", tokens["access_token"])).json()["sessions"][0]["session"]
    used = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert (await login_site.token(**used)).status_code == 200
    assert (await login_site.token(**used)).status_code == 401
    flow = await login_site.device("vo:lhcb")
    await login_site.approve(flow, "eve")
    assert (await login_site.poll(flow)).status_code == 403
    every = await until(boss, 5, after=since)
    assert [text.partition(",")[0] for text in every] == [
        "ann logged in (device) as lhcb_user", "new tokens were given out (number 2 of the session)",
        "the session ended: a used refresh token came again", "a refresh was refused: token reused",
        "a login was refused: not registered",
    ]  # fmt: skip
    ann = await people.client(tokens["access_token"])
    assert await told(ann, after=since) == every[:4]  # nothing of eve's
    assert await told(boss, after=since, user="ann") == every[:4]
    assert await told(boss, after=since, kind="logins") == every[:1]
    assert len(await told(boss, after=since, kind="revocations", until="2026-01-01T00:00:00Z")) == 0
    refusal(await ann.get("/api/v1/audit", params={"user": "eve"}), 403, "forbidden")
    life = (await ann.get(f"/api/v1/sessions/{session}/history")).json()["lines"]
    assert [line["what"] for line in life] == every[:3]
    stranger = await people.user("stranger")
    assert (await stranger.get(f"/api/v1/sessions/{session}/history")).status_code == 403
    everything = (await boss.get("/api/v1/audit", params={"limit": 1000})).text
    assert not any(word in everything for word in (tokens["access_token"], tokens["refresh_token"], "sub-ann"))


async def test_a_terminal_lists_and_follows(login_site: LoginSite, tmp_path: Path) -> None:
    terminal = Terminal(login_site, tmp_path)
    assert (await terminal.log_in("typed-elsewhere", "lhcb", "--group", "lhcb_admin"))[0] == 0
    follower = await terminal.start("audit", "--follow", "--json")
    assert follower.stdout
    async with asyncio.timeout(60):
        while json.loads(await follower.stdout.readline())["topic"] != "session.opened":
            pass
        await login_site.log_in("bob")
        while "bob logged in" not in json.loads(await follower.stdout.readline())["what"]:
            pass
    follower.terminate()
    await follower.communicate()
    status, shown = await terminal.run("sessions", "list", "--json")
    session = json.loads(shown)[0]["session"]
    status, shown = await terminal.run("history", "session", session)
    assert status == 0 and "logged in (device) as lhcb_admin" in shown


async def test_the_row_of_a_session_goes_a_month_after_its_end_and_its_history_stays(login_site: LoginSite) -> None:
    tokens = await login_site.log_in("ann")
    runtime = login_site.work.runtime
    (session,) = await runtime.pool.fetch("update sessions set until = now() - interval '31 days' returning session")
    await login_site.log_in("bob")
    purge = Request(id=uuid4(), topic="system.purge", data=msgspec.Raw(b"{}"), vo="", actor="timer:purge")
    outcome = await purging.service(runtime)(purge)
    assert outcome.parameters["forgotten"]["sessions"] == 1
    assert await runtime.pool.fetchval("select array_agg(name) from sessions") == ["bob"]
    ann = await login_site.get(f"/api/v1/sessions/{session[0]}/history", tokens["access_token"])
    assert "ann logged in" in ann.text
