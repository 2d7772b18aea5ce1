"""Whose word counts: expired, forged and unsigned tokens get nowhere."""

import base64
import json
import time
from typing import Any

import httpx
import pytest
from gateway_site import VO, Site, refusal

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
