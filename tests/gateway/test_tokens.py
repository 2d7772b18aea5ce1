"""Whose word counts: expired, forged and unsigned tokens get nowhere."""

import base64
import json
import time
from typing import Any

import httpx
import pytest
from gateway_site import VO, Site, refusal
from joserfc import jwt
from joserfc.jwk import OctKey

from gateway.ports import Principal
from infra.tokens import Tokens

PATH = "/api/v1/whoami"


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    head, claims, signature = token.split(".")
    return _read(head), _read(claims), signature


def _read(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def written(head: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, claims)]
    return ".".join([*texts, signature])


async def get(site: Site, token: str) -> httpx.Response:
    return await (await site.client(token)).get(PATH)


@pytest.fixture
def who() -> Principal:
    return Principal("user", "s1", VO, "ann", "lhcb_user", frozenset({"NormalUser"}))


async def test_a_good_token_says_who_asks(site: Site, who: Principal) -> None:
    answer = await get(site, site.world.issue(who, 60))
    assert answer.json() == {
        "subject": "s1", "name": "ann", "vo": VO, "group": "lhcb_user", "rights": ["NormalUser"],
    }  # fmt: skip


async def test_an_expired_token_is_none(site: Site, who: Principal) -> None:
    refusal(await get(site, site.world.issue(who, -300)), 401, "no-token")


async def test_an_unsigned_token_is_none(site: Site, who: Principal) -> None:
    head, claims, signature = parts(site.world.issue(who, 60))
    for algorithm in ("none", "None", "HS256"):
        refusal(await get(site, written(head | {"alg": algorithm}, claims)), 401, "no-token")
        refusal(await get(site, written(head | {"alg": algorithm}, claims, signature)), 401, "no-token")


async def test_changed_claims_are_none(site: Site, who: Principal) -> None:
    head, claims, signature = parts(site.world.issue(who, 60))
    for change in ({"sub": "s2"}, {"vo": "belle"}, {"dirac_properties": ["JobAdministrator"]}, {"kind": "pilot"}):
        refusal(await get(site, written(head, claims | change, signature)), 401, "no-token")


async def test_another_installations_token_is_none(site: Site, who: Principal) -> None:
    refusal(await get(site, Tokens(b"other" * 8).issue(who, 60)), 401, "no-token")


async def test_a_pilots_token_ends_with_its_time(site: Site) -> None:
    pilot = await site.pilot("p1")
    _, claims, _ = parts(pilot.client.headers["authorization"].partition(" ")[2])
    assert claims["exp"] <= time.time() + 3600
    spent = await site.client(site.world.issue(Principal("pilot", "p1", VO, incarnation=1), -300))
    refusal(await spent.post("/api/v1/pilot/reports", json={}), 401, "no-token")


async def test_a_token_for_a_later_incarnation_is_of_no_use(site: Site) -> None:
    await site.pilot("p1")
    later = await site.client(site.world.issue(Principal("pilot", "p1", VO, incarnation=2), 60))
    refusal(await later.post("/api/v1/pilot/reports", json={}), 410, "pilot-gone")


def claims_of(who: Principal, **change: Any) -> dict[str, Any]:
    good = {
        "iss": "spinor", "jti": "j", "exp": int(time.time()) + 60, "sub": who.subject, "kind": who.kind, "vo": who.vo,
        "preferred_username": who.name, "dirac_group": who.group, "dirac_properties": sorted(who.rights),
    }  # fmt: skip
    return {name: value for name, value in (good | change).items() if value is not None}


@pytest.mark.parametrize(
    "change",
    [
        {"exp": None}, {"exp": "soon"}, {"exp": 1}, {"exp": -(10**30)},
        {"iss": None}, {"iss": "https://elsewhere.example"}, {"iss": ["spinor"]}, {"sub": None}, {"jti": None},
        {"vo": None}, {"dirac_properties": "NormalUser"}, {"dirac_properties": None}, {"nbf": 10**11},
    ],
)  # fmt: skip
async def test_a_token_of_ours_with_missing_or_strange_claims_is_none(
    site: Site, who: Principal, change: dict[str, Any]
) -> None:
    tokens = site.world._tokens
    assert (await get(site, tokens.sign(claims_of(who)))).status_code == 200
    refusal(await get(site, tokens.sign(claims_of(who, **change))), 401, "no-token")


async def test_a_refresh_token_opens_nothing(site: Site) -> None:
    tokens = site.world._tokens
    refresh = tokens.sign({"jti": "j", "exp": int(time.time()) + 60, "legacy_exchange": False, "dirac_policies": {}})
    refusal(await get(site, refresh), 401, "no-token")


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # a forger does not mind
async def test_a_key_that_is_not_ours_signs_nothing_whatever_it_calls_itself(site: Site, who: Principal) -> None:
    ours, theirs = site.world._tokens.ring.signing, Tokens(b"other" * 8)
    for kid in (ours.kid, "unknown", "", None):
        head = {"alg": "Ed25519", "typ": "JWT"} | ({} if kid is None else {"kid": kid})
        forged = jwt.encode(head, claims_of(who), theirs.ring.signing, algorithms=["Ed25519"])
        refusal(await get(site, forged), 401, "no-token")
    for head in ({"typ": "at+jwt"}, {"alg": "EdDSA"}):
        strange = {"alg": "Ed25519", "typ": "JWT", "kid": ours.kid} | head
        signed = jwt.encode(strange, claims_of(who), ours, algorithms=["Ed25519", "EdDSA"])
        refusal(await get(site, signed), 401, "no-token")


async def test_the_public_key_is_no_secret_to_sign_with(site: Site, who: Principal) -> None:
    key = site.world._tokens.ring.signing
    for text in (str(key.as_dict(private=False)["x"]), json.dumps(key.as_dict(private=False))):
        forged = jwt.encode({"alg": "HS256", "typ": "JWT", "kid": key.kid}, claims_of(who), OctKey.import_key(text * 2))
        refusal(await get(site, forged), 401, "no-token")


async def test_the_token_of_one_vo_shows_nothing_of_another(site: Site) -> None:
    ann = await site.user("ann")
    (job,) = (await ann.post("/api/v1/jobs", json={"jobs": [{"executable": "/bin/true"}]})).json()["jobs"]
    elsewhere = await site.user("ann", "NormalUser", "JobAdministrator", "Operator", vo="belle")
    refusal(await elsewhere.get(f"/api/v1/jobs/{job['job']}"), 404, "job-unknown")
