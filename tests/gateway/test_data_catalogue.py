"""The catalogue over HTTP: what was registered is there for the next request."""

import asyncio
from typing import Any

import httpx
from gateway_site import Site, refusal

DISK = "LOCAL-DISK"
ROUTE = "/api/v1/data"


def described(name: str, size: int = 10, **more: Any) -> dict[str, Any]:
    return {"lfn": name, "size": size, "adler32": "2a", "ses": [DISK]} | more


async def register(client: httpx.AsyncClient, *files: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.post(f"{ROUTE}/files", json={"files": files})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


async def test_registered_files_are_seen_at_once_and_each_has_its_own_result(site: Site) -> None:
    ann = await site.user("ann")
    good, bad = described("/lhcb/user/a/one"), described("/lhcb//two")
    results = await register(ann, good, bad, described("/atlas/x"), described("/lhcb/user/a/three", ses=["NOWHERE"]))
    assert "error" not in results[0]
    assert [each["error"]["code"] for each in results[1:]] == ["file-name", "file-name", "se-unknown"]
    found = (await ann.post(f"{ROUTE}/lookup", json={"lfns": ["/lhcb/user/a/one", "/lhcb/nothing"]})).json()["files"]
    one = found["/lhcb/user/a/one"]
    assert (one["size"], one["adler32"], one["status"]) == (10, "0000002a", "Active")
    assert [(each["se"], each["state"]) for each in one["replicas"]] == [(DISK, "Active")]
    assert found["/lhcb/nothing"]["error"]["code"] == "file-unknown"
    listed = (await ann.get(f"{ROUTE}/list", params={"path": "/lhcb/user"})).json()
    assert [each["path"] for each in listed["directories"]] == ["/lhcb/user/a"]
    below = (await ann.get(f"{ROUTE}/list", params={"path": "/lhcb", "recursive": True})).json()
    assert [each["lfn"] for each in below["files"]] == ["/lhcb/user/a/one"]


async def test_the_same_again_is_no_fault_and_another_content_is(site: Site) -> None:
    ann = await site.user("ann")
    await register(ann, described("/lhcb/a/one"))
    again, other = await register(ann, described("/lhcb/a/one"), described("/lhcb/a/one", 11))
    assert "error" not in again
    assert other["error"]["code"] == "file-exists"


async def test_a_directory_is_written_in_by_those_it_lets(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob", group="lhcb_other")
    boss = await site.user("boss", "DataManager", group="lhcb_data")
    await register(ann, described("/lhcb/ann/one"))
    (result,) = await register(bob, described("/lhcb/ann/two"))
    assert result["error"]["code"] == "data-forbidden"
    closed = await ann.post(f"{ROUTE}/directories/protect", json={"paths": ["/lhcb/ann"], "mode": 0o700})
    assert closed.json()["counts"] == {"done": 1}
    refusal(await bob.get(f"{ROUTE}/list", params={"path": "/lhcb/ann"}), 403, "data-forbidden")
    found = (await bob.post(f"{ROUTE}/lookup", json={"lfns": ["/lhcb/ann/one"]})).json()["files"]
    assert found["/lhcb/ann/one"]["error"]["code"] == "data-forbidden"
    assert (await bob.post(f"{ROUTE}/directories/protect", json={"paths": ["/lhcb/ann"], "mode": 0o777})).json()[
        "results"
    ][0]["error"]["code"] == "data-forbidden"
    (result,) = await register(boss, described("/lhcb/ann/two"))
    assert "error" not in result


async def test_another_vo_sees_and_touches_nothing(site: Site) -> None:
    ann, eve = await site.user("ann"), await site.user("eve", "DataManager", vo="atlas")
    await register(ann, described("/lhcb/a/one"))
    found = (await eve.post(f"{ROUTE}/lookup", json={"lfns": ["/lhcb/a/one"]})).json()["files"]
    assert found["/lhcb/a/one"]["error"]["code"] == "file-name"
    refusal(await eve.get(f"{ROUTE}/list", params={"path": "/lhcb"}), 422, "file-name")
    answer = await eve.post(f"{ROUTE}/replicas/lose", json={"lfns": ["/lhcb/a/one"], "se": DISK})
    assert answer.json()["results"][0]["error"]["code"] == "file-name"


async def test_a_quota_lets_in_what_fits_and_counts_what_is_there(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", "Operator")
    limit = {"scope": "group", "name": "lhcb_user", "most_bytes": 25}
    assert (await boss.post(f"{ROUTE}/quotas", json=limit)).status_code == 200
    refusal(await ann.post(f"{ROUTE}/quotas", json=limit), 403, "forbidden")
    results = await register(ann, *(described(f"/lhcb/a/{n}") for n in range(3)))
    assert [result.get("error", {}).get("code") for result in results] == [None, None, "quota"]
    again = await register(ann, described("/lhcb/a/0"), described("/lhcb/a/4", 6))
    assert [result.get("error", {}).get("code") for result in again] == [None, "quota"]
    used = (await ann.get(f"{ROUTE}/usage", params={"by": "owner_group,se"})).json()["usage"]
    assert used == [{"owner_group": "lhcb_user", "se": DISK, "files": 2, "bytes": 20}]


async def test_replicas_are_doubted_lost_and_trusted(site: Site) -> None:
    ann = await site.user("ann")
    await register(ann, described("/lhcb/a/one"))
    for verb, state in (("doubt", "Suspect"), ("lose", "Lost"), ("trust", "Active")):
        changed = await ann.post(f"{ROUTE}/replicas/{verb}", json={"lfns": ["/lhcb/a/one"], "se": DISK, "reason": "x"})
        assert changed.json()["counts"] == {"done": 1}, changed.text
        found = (await ann.post(f"{ROUTE}/lookup", json={"lfns": ["/lhcb/a/one"]})).json()["files"]
        assert found["/lhcb/a/one"]["replicas"][0]["state"] == state
    story = (await ann.get(f"{ROUTE}/history", params={"path": "/lhcb/a/one"})).json()["lines"]
    assert [line["topic"] for line in story] == [
        "file.registered", "file.replica-doubted", "file.replica-doubted", "file.replica-trusted",
    ]  # fmt: skip
    assert story[0]["actor"] == "ann"


async def test_bulks_of_ten_thousand_and_directories_that_hold_them(site: Site) -> None:
    ann = await site.user("ann")
    results = await register(ann, *(described(f"/lhcb/big/d{n % 10}/{n}", n) for n in range(10_000)))
    assert not [result for result in results if "error" in result]
    too_many = await ann.post(f"{ROUTE}/files", json={"files": [described(f"/lhcb/b/{n}") for n in range(10_001)]})
    refusal(too_many, 422, "malformed")
    page = (await ann.get(f"{ROUTE}/list", params={"path": "/lhcb/big/d3", "limit": 600})).json()
    rest = (await ann.get(f"{ROUTE}/list", params={"path": "/lhcb/big/d3", "after": page["next"]})).json()
    assert len(page["files"]) + len(rest["files"]) == 1000
    assert rest["next"] is None
    used: list[dict[str, Any]] = []
    for _ in range(600):
        used = (await ann.get(f"{ROUTE}/usage/directory", params={"path": "/lhcb"})).json()["usage"]
        if used and used[0]["files"] == 10_000:
            break
        await asyncio.sleep(0.1)
    assert used == [{"se": se, "files": 10_000, "bytes": sum(range(10_000))} for se in ("", DISK)]
