"""What somebody might try at the login routes: to be logged in by others, to fill the log, to lock out who helps."""

import asyncio

import pytest
from login_site import LoginSite, lhcb

from domain.errors import Refused

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_link_that_somebody_sent_logs_nobody_in_until_they_say_that_the_terminal_is_theirs(
    login_site: LoginSite,
) -> None:
    flow = await login_site.device("vo:lhcb group:lhcb_prod")
    page = await login_site.approve(flow, "ann", confirm=False)
    code = flow["user_code"]
    for shown in (f"{code[:4]}-{code[4:]}", "lhcb_prod", "close this window"):
        assert shown in page.text
    assert (await login_site.poll(flow)).json() == {"error": "authorization_pending"}
    assert (await login_site.post("device/complete", state="x", code="y")).status_code == 400
    assert (await login_site.poll(flow)).json() == {"error": "authorization_pending"}


async def test_strangers_cannot_fill_the_log_with_their_refusals(login_site: LoginSite) -> None:
    for number in range(30):
        await login_site.get("/api/auth/device/complete", code="c", state="x")
        claim = {"vo": "made-up", "stamp": f"s{number}", "secret": "x" * 40, "incarnation": f"{number:032x}"}
        answer = await login_site.http.post("/api/v1/pilot/token", json=claim)
        assert (answer.status_code, answer.json()["code"]) == (403, "pilot-secret")
    rows = await login_site.work.runtime.pool.fetch(
        "select vo from log_identity where position > $1 and topic = 'attempt.refused'", login_site.since
    )
    assert 0 < len(rows) <= 2 * 2 * 20  # of each kind twenty a minute, and a minute may have passed
    assert {row["vo"] for row in rows} == {""}


async def test_a_verifier_of_strange_letters_is_refused_and_no_fault(login_site: LoginSite) -> None:
    came, _ = await login_site.authorize("ann", "vo:lhcb", "http://localhost/#authentication-callback")
    form = {"grant_type": "authorization_code", "code": came["code"], "code_verifier": "ä" * 43}
    answer = await login_site.token(redirect_uri="http://localhost/#authentication-callback", **form)
    assert (answer.status_code, answer.json()["detail"]) == (400, "Invalid code_challenge")


async def test_who_manages_a_suspended_vo_may_log_in_again_and_resume_it_but_nobody_else(login_site: LoginSite) -> None:
    await login_site.configure(lhcb(login_site.provider), "lhcb")
    boss = (await login_site.log_in("typed-elsewhere", "vo:lhcb group:lhcb_admin"))["access_token"]
    head, whom = {"Authorization": f"Bearer {boss}"}, {"kind": "vo", "name": "lhcb", "reason": "an incident"}
    answer = await login_site.http.post("/api/v1/suspensions", json=whom, headers=head)
    assert answer.status_code == 201, answer.text
    suspensions = login_site.work.runtime.suspensions
    await suspensions.read()
    refused = await login_site.device("vo:lhcb")
    await login_site.approve(refused, "ann")
    answer = await login_site.poll(refused)
    assert (answer.status_code, answer.json()["code"]) == (403, "suspended")
    again = (await login_site.log_in("typed-elsewhere", "vo:lhcb group:lhcb_admin"))["access_token"]
    head = {"Authorization": f"Bearer {again}"}
    assert (await login_site.http.get("/api/v1/jobs", headers=head)).json()["code"] == "suspended"
    answer = await login_site.http.post("/api/v1/suspensions/resume", json=whom, headers=head)
    assert answer.status_code == 200, answer.text
    async with asyncio.timeout(20):
        while suspensions.of("lhcb"):
            await asyncio.sleep(0.05)
    assert isinstance(await login_site.log_in("ann"), dict)
    assert not isinstance(suspensions.refusal("lhcb"), Refused)
