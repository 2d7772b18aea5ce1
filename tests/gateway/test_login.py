"""Logging in at a real provider, for a terminal and for a web application; and what is refused on the way."""

import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from login_site import CLIENT, DEVICE, LEGACY, SERVICE, LoginSite, challenge, lhcb

pytestmark = pytest.mark.asyncio(loop_scope="module")
WEB = "http://localhost/#authentication-callback"


def problem(answer: httpx.Response) -> tuple[int, str]:
    found = answer.json()
    return answer.status_code, str(found["detail"])


async def test_a_terminal_gets_tokens_when_its_user_has_logged_in_elsewhere(login_site: LoginSite) -> None:
    flow = await login_site.device("vo:lhcb")
    waiting = await login_site.poll(flow)
    assert (waiting.status_code, waiting.json()) == (400, {"error": "authorization_pending"})
    page = await login_site.approve(flow, "ann")
    assert "Please close the window" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    tokens = (await login_site.poll(flow)).json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 1200)
    told = (await login_site.get("/api/auth/userinfo", tokens["access_token"])).json()
    assert told == {
        "sub": "lhcb:sub-ann", "vo": "lhcb", "dirac_group": "lhcb_user", "policies": {},
        "properties": ["NormalUser", "PrivateLimitedDelegation"], "preferred_username": "ann",
    }  # fmt: skip
    assert problem(await login_site.poll(flow)) == (400, "Code was already used")


async def test_a_web_application_gets_tokens_for_the_code_that_it_asked_for(login_site: LoginSite) -> None:
    came, verifier = await login_site.authorize("ann", "vo:lhcb group:lhcb_prod", WEB)
    assert came["state"] == "of the application"
    right = {"grant_type": "authorization_code", "code": came["code"], "redirect_uri": WEB, "code_verifier": verifier}
    for wrong, told in (
        ({"redirect_uri": "http://evil.example/"}, "Invalid redirect_uri"),
        ({"code_verifier": "x" * 64}, "Invalid code_challenge"),
    ):
        assert problem(await login_site.token(**(right | wrong))) == (400, told)
    assert problem(await login_site.post("token", client_id="other", **right)) == (400, "Bad client_id")
    tokens = (await login_site.token(**right)).json()  # what was wrong has not used the code up
    told = (await login_site.get("/api/auth/userinfo", tokens["access_token"])).json()
    assert (told["dirac_group"], "JobAdministrator" in told["properties"]) == ("lhcb_prod", True)
    assert problem(await login_site.token(**right)) == (400, "Code was already used")


async def test_groups_come_from_claims_and_from_hand_typed_users(login_site: LoginSite) -> None:
    typed = await login_site.log_in("typed-elsewhere", "vo:lhcb group:lhcb_admin")
    told = (await login_site.get("/api/auth/userinfo", typed["access_token"])).json()
    assert (told["preferred_username"], told["dirac_group"]) == ("tim", "lhcb_admin")
    more = await login_site.log_in("ann", "vo:lhcb property:ProductionManagement")
    told = (await login_site.get("/api/auth/userinfo", more["access_token"])).json()
    assert "ProductionManagement" in told["properties"]


@pytest.mark.parametrize(
    ("name", "scope", "code"),
    [
        ("eve", "vo:lhcb", "not-registered"),
        ("bob", "vo:lhcb group:lhcb_prod", "not-member"),
        ("bob", "vo:lhcb property:ProductionManagement", "property-not-yours"),
    ],
)
async def test_who_may_not_gets_403_with_the_reason(login_site: LoginSite, name: str, scope: str, code: str) -> None:
    flow = await login_site.device(scope)
    await login_site.approve(flow, name)
    answer = await login_site.poll(flow)
    assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert ("attempt.refused", code) in [(topic, facts.get("code")) for topic, facts in await login_site.audit()]


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ("", "No vo scope requested, available values: 'vo:lhcb'"),
        ("openid vo:lhcb", "Unrecognised scopes: ['openid']"),
        ("vo:cms", "VO cms is not known to this installation"),
        ("vo:lhcb vo:lhcb", "Only one vo is allowed but got ['lhcb', 'lhcb']"),
        ("vo:lhcb group:x", "x not in lhcb groups"),
        ("vo:lhcb property:Root", "{'Root'} are not valid properties"),
    ],
)
async def test_a_scope_is_refused_when_the_flow_begins(login_site: LoginSite, scope: str, told: str) -> None:
    answer = await login_site.http.post("/api/auth/device", params={"client_id": CLIENT, "scope": scope})
    assert problem(answer) == (400, told)


async def test_the_browser_is_sent_to_the_provider_with_everything_that_binds_the_answer(login_site: LoginSite) -> None:
    flow = await login_site.device("vo:lhcb")
    answer = await login_site.http.get(flow["verification_uri_complete"])
    there = answer.headers["location"]
    asked = {name: values[0] for name, values in parse_qs(urlsplit(there).query).items()}
    assert answer.status_code == 307 and "?response_type=code&" in there
    assert asked["code_challenge_method"] == "S256" and asked["nonce"] and asked["state"]
    assert flow["user_code"] not in asked["state"]
    wrong = await login_site.get("/api/auth/device", user_code="BCDFGHJK")
    assert problem(wrong) == (400, "No row was found when one was required")
    form = await login_site.http.get("/api/auth/device", headers={"accept": "text/html"})
    assert 'name="user_code"' in form.text


async def test_a_state_that_is_not_ours_or_of_another_flow_leads_nowhere(login_site: LoginSite) -> None:
    flow = await login_site.device("vo:lhcb")
    there = (await login_site.http.get(flow["verification_uri_complete"])).headers["location"]
    state = parse_qs(urlsplit(there).query)["state"][0]
    for path, given in (("device", "x"), ("device", state[:-4] + "AAA="), ("authorize", state)):
        answer = await login_site.get(f"/api/auth/{path}/complete", code="c", state=given)
        assert problem(answer) == (400, "Invalid state")
    refused = await login_site.get("/api/auth/device/complete", code="made-up", state=state)
    assert (refused.status_code, refused.json()["code"]) == (401, "provider-refused")
    mixed = await login_site.get("/api/auth/device/complete", code="c", state=state, iss="http://127.0.0.1:1")
    assert (mixed.status_code, mixed.json()["code"]) == (401, "provider-refused")
    page = await login_site.http.get(
        "/api/auth/device/complete", params={"code": "c", "state": "x"}, headers={"accept": "text/html"}
    )
    assert page.status_code == 400 and "<h1>This did not work</h1>" in page.text


async def test_nobody_is_sent_to_an_address_that_is_not_known(login_site: LoginSite) -> None:
    asked = {
        "response_type": "code", "code_challenge": challenge("v" * 43), "code_challenge_method": "S256",
        "client_id": CLIENT, "redirect_uri": WEB, "scope": "vo:lhcb", "state": "s",
    }  # fmt: skip
    for change, told in (
        ({"redirect_uri": WEB + "/"}, "Unrecognised redirect_uri"),
        ({"client_id": "other"}, "Unrecognised client_id"),
    ):
        answer = await login_site.get("/api/auth/authorize", **(asked | change))
        assert problem(answer) == (400, told)
        assert "location" not in answer.headers
    for change in ({"response_type": "token"}, {"code_challenge_method": "plain"}, {"code_challenge": "short"}):
        assert (await login_site.get("/api/auth/authorize", **(asked | change))).status_code == 422


async def test_what_the_token_endpoint_does_not_know_is_an_answer_and_no_fault(login_site: LoginSite) -> None:
    for form, status in (
        ({"grant_type": "password"}, 400), ({"grant_type": DEVICE}, 400), ({"grant_type": "authorization_code"}, 400),
        ({"grant_type": DEVICE, "device_code": "made-up"}, 400), ({"grant_type": "refresh_token"}, 400),
        ({}, 422),
    ):  # fmt: skip
        answer = await login_site.token(**form)
        assert (answer.status_code, bool(answer.json()["detail"])) == (status, True), form
    assert (await login_site.token(grant_type="password")).json()["error"] == "unsupported_grant_type"


async def test_codes_cannot_be_guessed_at_will(login_site: LoginSite) -> None:
    statuses = [(await login_site.get("/api/auth/device", user_code=f"BCDFGHJ{c}")).status_code for c in "KLMN" * 7]
    assert set(statuses[:20]) == {400} and set(statuses[20:]) == {429}
    flow = await login_site.device("vo:lhcb")
    assert (await login_site.http.get(flow["verification_uri_complete"])).status_code == 429  # right ones wait, too
    recorded = [facts for topic, facts in await login_site.audit() if topic == "attempt.refused"]
    assert len(recorded) == 20


async def test_a_service_gets_a_token_for_its_secret(login_site: LoginSite) -> None:
    form = {"grant_type": "client_credentials", "client_id": "submitter", "client_secret": SERVICE}
    answer = await login_site.post("token", **form)
    assert answer.status_code == 200 and "refresh_token" not in answer.json()
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    announced = await login_site.http.post("/api/v1/pilots", json={"stamp": "p1"}, headers=bearer)
    assert announced.status_code == 201, announced.text
    in_header = httpx.BasicAuth("submitter", SERVICE)
    same = await login_site.http.post("/api/auth/token", data={"grant_type": "client_credentials"}, auth=in_header)
    assert same.status_code == 200, same.text
    wrong = [await login_site.post("token", **(form | change)) for change in
             ({"client_secret": "x" * 32}, {"client_id": "nobody"}, {"client_secret": ""})]  # fmt: skip
    assert len({(a.status_code, a.json()["detail"]) for a in wrong}) == 1  # which half was wrong is not told
    assert wrong[0].status_code == 401


async def test_a_trusted_server_gets_tokens_for_people_it_knows(login_site: LoginSite) -> None:
    key = base64.urlsafe_b64encode(LEGACY.encode()).decode()
    asked = {"preferred_username": "tim", "scope": "vo:lhcb group:lhcb_user", "source": "ignored"}

    async def exchange(header: str | None = f"Bearer diracx:legacy:{key}", **change: str) -> httpx.Response:
        headers = {"Authorization": header} if header else {}
        return await login_site.http.get("/api/auth/legacy-exchange", params=asked | change, headers=headers)

    tokens = (await exchange(expires_minutes="10")).json()
    assert (await login_site.get("/api/auth/userinfo", tokens["access_token"])).json()["preferred_username"] == "tim"
    for _ in range(3):
        again = await login_site.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        assert again.json()["refresh_token"] == tokens["refresh_token"]
    await login_site.post("revoke", token=tokens["refresh_token"])
    revoked = await login_site.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert revoked.status_code == 401
    assert (await exchange(None)).status_code == 422
    assert problem(await exchange("Basic x")) == (400, "Invalid authorization header")
    assert problem(await exchange("Bearer diracx:legacy:eHh4")) == (401, "Invalid credentials")
    assert problem(await exchange(preferred_username="nobody")) == (400, "Invalid scope or preferred_username")
    assert problem(await exchange(scope="vo:cms")) == (400, "Invalid scope or preferred_username")
    assert (await exchange(scope="vo:lhcb group:lhcb_prod")).status_code == 403


async def test_a_provider_that_is_away_is_a_502_for_its_vo_and_nothing_for_the_others(login_site: LoginSite) -> None:
    away: dict[str, Any] = lhcb(login_site.provider) | {"idp": {"issuer": "http://127.0.0.1:9", "client_id": "x"}}
    await login_site.configure(away | {"users": {}}, "belle")
    flow = await login_site.device("vo:belle")
    answer = await login_site.http.get(flow["verification_uri_complete"])
    assert (answer.status_code, answer.json()["code"]) == (502, "provider-away")
    assert (await login_site.log_in("ann"))["access_token"]


async def test_clients_find_everything_from_the_discovery_document(login_site: LoginSite) -> None:
    found = (await login_site.get("/.well-known/openid-configuration")).json()
    assert {urlsplit(value).netloc for name, value in found.items() if name.endswith(("_endpoint", "_uri"))} == {
        urlsplit(login_site.url).netloc
    }
    assert {"vo:lhcb", "group:lhcb_prod", "property:NormalUser"} <= set(found["scopes_supported"])
    keys = (await login_site.get("/.well-known/jwks.json")).json()["keys"]
    assert [set(key) for key in keys] == [{"kty", "crv", "x", "kid", "alg", "use", "key_ops"}] * 2
    vos = (await login_site.get("/.well-known/dirac-metadata")).json()["virtual_organizations"]
    assert vos["lhcb"]["support"] == {"message": "ask Zoe", "webpage": None, "email": "zoe@lhcb.example"}
    assert (await login_site.get("/.well-known/security.txt")).json().startswith("Contact: ")


async def test_no_secret_and_no_name_stands_in_the_log(login_site: LoginSite) -> None:
    tokens = await login_site.log_in("ann")
    await login_site.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    audit = await login_site.audit()
    assert [topic for topic, _ in audit] == ["session.opened", "session.refreshed"]
    text = str(audit)
    assert tokens["refresh_token"] not in text and "sub-ann" not in text and "'ann'" not in text
