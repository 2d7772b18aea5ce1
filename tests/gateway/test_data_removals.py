"""Removals: planned, previewed, carried out, undone; what storage has lost is told; bytes go only when it is final."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from data_files import DISK, NAMES, ROUTE, put
from gateway_site import VO, Site, refusal
from httpx import AsyncClient

from domain.data.removal import PurgeRemoval
from gateway.ports import Principal


async def planned(client: AsyncClient, **what: Any) -> dict[str, Any]:
    answer = await client.post(f"{ROUTE}/removals", json=what)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def listed(client: AsyncClient, path: str = "/lhcb") -> set[str]:
    answer = await client.get(f"{ROUTE}/list", params={"path": path, "recursive": True})
    return {file["lfn"] for file in answer.json()["files"]}


async def act(client: AsyncClient, removal: str, verb: str) -> dict[str, Any]:
    answer = await client.post(f"{ROUTE}/removals/{removal}/{verb}", json={})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_removal_is_previewed_carried_out_and_undone(site: Site, tmp_path: Path) -> None:
    ann = await site.user("ann")
    await put(ann, *NAMES, "/lhcb/user/b/kept")
    plan = await planned(ann, below=["/lhcb/user/a"], reason="old")
    assert (plan["files"], plan["status"], plan["elements"][DISK]["replicas"]) == (3, "Planned", 3)
    assert await listed(ann) == {*NAMES, "/lhcb/user/b/kept"}
    assert (await act(ann, plan["removal"], "carry-out"))["files"] == 3
    assert await listed(ann) == {"/lhcb/user/b/kept"}
    assert (await ann.get(f"{ROUTE}/usage")).json()["usage"][0]["files"] == 1
    back = await act(ann, plan["removal"], "undo")
    assert (back["files"], back["lost"]) == (3, [])
    assert await listed(ann) == {*NAMES, "/lhcb/user/b/kept"}
    assert (await ann.get(f"{ROUTE}/usage")).json()["usage"][0]["files"] == 4
    for name in NAMES:
        assert (tmp_path / "storage" / name[1:]).read_text() == name
    refusal(await ann.post(f"{ROUTE}/removals/{plan['removal']}/carry-out", json={}), 409, "removal-state")


async def test_a_final_removal_frees_storage_and_names_and_tells_what_is_lost(site: Site, tmp_path: Path) -> None:
    ann, boss = await site.user("ann"), Principal("user", "boss", VO)
    await put(ann, *NAMES)
    plan = await planned(ann, lfns=sorted(NAMES))
    await act(ann, plan["removal"], "carry-out")
    (answer,) = await site.world.ask(boss, [(uuid4(), PurgeRemoval(VO, UUID(plan["removal"])))])
    assert (answer.refusal, answer.told) == (None, {"replicas": 3})
    for _ in range(600):
        if not any((tmp_path / "storage" / name[1:]).exists() for name in NAMES):
            break
        await asyncio.sleep(0.1)
    assert not any((tmp_path / "storage" / name[1:]).exists() for name in NAMES)
    back = await act(ann, plan["removal"], "undo")
    assert (back["files"], set(back["lost"])) == (0, NAMES)
    await put(ann, *NAMES)
    assert await listed(ann) == NAMES


async def test_somebody_elses_files_stay_and_somebody_elses_removal_is_not_seen(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob", group="lhcb_other")
    await put(ann, *NAMES)
    refusal(await bob.post(f"{ROUTE}/removals", json={"below": ["/lhcb"]}), 404, "not-found")
    plan = await planned(ann, below=["/lhcb"])
    for verb in ("carry-out", "undo"):
        refusal(await bob.post(f"{ROUTE}/removals/{plan['removal']}/{verb}", json={}), 404, "removal-unknown")
    assert (await bob.get(f"{ROUTE}/removals")).json() == {"removals": []}
    assert await listed(ann) == NAMES


async def test_a_dropped_replica_leaves_storage_once_there_is_another(site: Site, tmp_path: Path) -> None:
    ann, (name, *_) = await site.user("ann"), sorted(NAMES)
    await put(ann, name)
    only = await ann.post(f"{ROUTE}/replicas/drop", json={"lfns": [name], "se": DISK})
    assert only.json()["results"][0]["error"]["code"] == "replica-last"
    assert (tmp_path / "storage" / name[1:]).exists()
