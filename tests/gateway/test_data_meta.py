"""Metadata: what directories have, all below them has; queries answer what a plain search over all files would."""

import random
from collections.abc import Callable
from typing import Any

from gateway_site import Site, refusal
from httpx import AsyncClient

ROUTE = "/api/v1/data"
DISK = "LOCAL-DISK"


async def declare(site: Site, **fields: str) -> None:
    boss = await site.user("boss", "DataManager")
    for name, kind in fields.items():
        holder = "file" if name.startswith("f_") else "directory"
        answer = await boss.post(f"{ROUTE}/fields", json={"name": name, "type": kind, "holder": holder})
        assert answer.status_code == 200, answer.text


async def describe(client: AsyncClient, path: str, **values: Any) -> dict[str, Any]:
    answer = await client.post(f"{ROUTE}/describe", json={"paths": [path], "values": values})
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    return dict(result)


async def found(client: AsyncClient, *conditions: str, path: str = "") -> set[str]:
    body = {"conditions": conditions, "path": path, "limit": 7}
    lfns: set[str] = set()
    after = None
    while True:
        answer = (await client.post(f"{ROUTE}/find", json=body | {"after": after})).json()
        lfns |= {file["lfn"] for file in answer["files"]}
        if (after := answer["next"]) is None:
            return lfns


async def test_queries_find_what_a_plain_search_finds(site: Site) -> None:
    ann, chance = await site.user("ann"), random.Random(7)
    await declare(site, run="int", energy="float", stream="string", day="date", f_events="int")
    files: dict[str, dict[str, Any]] = {}
    for run in range(6):
        values = {"run": run, "energy": run / 2, "day": f"2026-11-{10 + run}"}
        for stream in "AB":
            path = f"/lhcb/data/r{run}/{stream}/deep"
            some = [f"{path}/{n}" for n in range(3)]
            described = [{"lfn": lfn, "size": chance.randrange(100), "ses": [DISK]} for lfn in some]
            assert (await ann.post(f"{ROUTE}/files", json={"files": described})).json()["counts"] == {"done": 3}
            await describe(ann, f"/lhcb/data/r{run}/{stream}", stream=stream)
            for n, file in enumerate(described):
                await describe(ann, file["lfn"], f_events=n)
                files[file["lfn"]] = {**values, "stream": stream, "f_events": n, "size": file["size"]}
        assert "error" not in await describe(ann, f"/lhcb/data/r{run}", **values)
    cases: dict[tuple[str, ...], Callable[[dict[str, Any]], bool]] = {
        ("run = 3",): lambda f: f["run"] == 3,
        ("run != 3", "stream=A"): lambda f: f["run"] != 3 and f["stream"] == "A",
        ("energy >= 1.5", "energy < 2.5"): lambda f: 1.5 <= f["energy"] < 2.5,
        ("run in 1,4", "f_events > 0", "size <= 50"): lambda f: (
            f["run"] in (1, 4) and f["f_events"] > 0 and f["size"] <= 50
        ),
        ("day > 2026-11-12",): lambda f: f["run"] > 2,
        ("stream IN A,B", "se = LOCAL-DISK"): lambda f: True,
        ("stream = C",): lambda f: False,
    }
    for conditions, holds in cases.items():
        assert await found(ann, *conditions) == {lfn for lfn, file in files.items() if holds(file)}, conditions
    assert await found(ann, "stream=A", path="/lhcb/data/r1") == {f"/lhcb/data/r1/A/deep/{n}" for n in range(3)}
    counted = await ann.post(f"{ROUTE}/find", json={"conditions": ["run = 3"], "count": True})
    sizes = [file["size"] for file in files.values() if file["run"] == 3]
    assert counted.json() == {"files": 6, "bytes": sum(sizes)}
    shown = (await ann.get(f"{ROUTE}/meta", params={"path": "/lhcb/data/r3/A/deep/1"})).json()["values"]
    assert shown["run"] == {"value": 3, "from": "/lhcb/data/r3"}
    assert shown["f_events"] == {"value": 1, "from": "/lhcb/data/r3/A/deep/1"}


async def test_a_field_has_one_value_on_the_way_down(site: Site) -> None:
    ann = await site.user("ann")
    await declare(site, run="int")
    await ann.post(f"{ROUTE}/directories", json={"paths": ["/lhcb/a/b/c", "/lhcb/a/bb"]})
    assert "error" not in await describe(ann, "/lhcb/a/b", run=1)
    assert (await describe(ann, "/lhcb/a/b/c", run=2))["error"]["code"] == "field-taken"
    assert (await describe(ann, "/lhcb/a", run=2))["error"]["code"] == "field-taken"
    assert "error" not in await describe(ann, "/lhcb/a/bb", run=2)
    assert "error" not in await describe(ann, "/lhcb/a/b", run=None)
    assert "error" not in await describe(ann, "/lhcb/a/b/c", run=3)


async def test_wrong_values_unknown_fields_and_strange_queries_are_refused(site: Site) -> None:
    ann = await site.user("ann")
    await declare(site, run="int", f_events="int")
    await ann.post(f"{ROUTE}/directories", json={"paths": ["/lhcb/a"]})
    for values, code in (
        ({"run": "x"}, "field-value"),
        ({"speed": 1}, "field-unknown"),
        ({"run": 2**60}, "field-value"),
    ):
        refusal(await ann.post(f"{ROUTE}/describe", json={"paths": ["/lhcb/a"], "values": values}), 422, code)
    assert (await describe(ann, "/lhcb/a", f_events=1))["error"]["code"] == "field-value"
    for query, code in (("run ~ 1", "query"), ("run = x", "field-value"), ("speed = 1", "field-unknown"), ("", "query"),
                        ("run = 1; drop table jobs", "field-value")):  # fmt: skip
        refusal(await ann.post(f"{ROUTE}/find", json={"conditions": [query]}), 422, code)
    refusal(await ann.post(f"{ROUTE}/fields", json={"name": "x", "type": "int"}), 403, "forbidden")


async def test_only_who_may_write_describes(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob", group="lhcb_other")
    await declare(site, run="int")
    await ann.post(f"{ROUTE}/directories", json={"paths": ["/lhcb/a"]})
    assert (await describe(bob, "/lhcb/a", run=1))["error"]["code"] == "data-forbidden"
