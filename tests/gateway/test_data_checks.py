"""A crash, a lost disk, a stranger's file: each leaves a finding with its date, and nothing is silent."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_files import DISK, NAMES, ROUTE, put
from gateway_site import VO, Site, refusal
from httpx import AsyncClient


async def checked(boss: AsyncClient, path: str = "") -> dict[str, Any]:
    """The check when it has ended."""
    begun = await boss.post(f"{ROUTE}/elements/{DISK}/check", json={"path": path})
    assert begun.status_code == 202, begun.text
    for _ in range(600):
        row = (await boss.get(f"{ROUTE}/checks/{begun.json()['check']}")).json()
        if row["status"] != "Running":
            assert row["problem"] is None
            return dict(row)
        await asyncio.sleep(0.1)
    raise AssertionError("the check does not end")


async def found(boss: AsyncClient, **more: Any) -> dict[str, dict[str, Any]]:
    rows = (await boss.get(f"{ROUTE}/findings", params=more)).json()["findings"]
    return {row["lfn"]: row for row in rows}


async def test_what_agrees_leaves_no_finding(site: Site) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", "DataManager")
    await put(ann, *NAMES)
    row = await checked(boss)
    assert (row["listed"], row["known"], row["findings"]) == (3, 3, 0)
    refusal(await ann.post(f"{ROUTE}/elements/{DISK}/check", json={}), 403, "forbidden")


async def test_lost_changed_dark_and_unconfirmed_files_are_found_dated_and_put_right(
    site: Site, tmp_path: Path
) -> None:  # fmt: skip
    ann, boss = await site.user("ann"), await site.user("boss", "DataManager")
    place = tmp_path / "storage"
    before = datetime.now(UTC)
    gone, changed, kept = sorted(NAMES)
    await put(ann, *NAMES)
    content = (place / gone[1:]).read_bytes()
    (place / gone[1:]).unlink()
    (place / changed[1:]).write_bytes(b"too short")
    dark, late, never = (f"/{VO}/user/a/{name}" for name in ("dark", "late", "never"))
    (place / dark[1:]).write_bytes(b"nobody knows")
    for name in (late, never):
        described = {"lfn": name, "size": 4, "sha256": "0" * 64}
        await ann.post(f"{ROUTE}/uploads", json={"files": [described]})
    assert (await checked(boss))["findings"] == 5
    findings = await found(boss)
    kinds = {gone: "lost", changed: "size", dark: "dark", never: "unconfirmed", late: "unconfirmed"}
    assert {lfn: row["kind"] for lfn, row in findings.items()} == kinds
    for row in findings.values():
        assert before < datetime.fromisoformat(row["since"]) <= datetime.fromisoformat(row["until"])
    why = (await ann.get(f"{ROUTE}/why", params={"path": gone})).json()
    assert (why["usable"], why["replicas"][0]["state"], why["replicas"][0]["finding"]["kind"]) == (
        False,
        "Lost",
        "lost",
    )
    (place / gone[1:]).write_bytes(content)
    await checked(boss)
    assert gone not in await found(boss)
    assert (await found(boss, resolved=True))[gone]["resolved_at"]
    assert (await ann.get(f"{ROUTE}/why", params={"path": gone})).json()["usable"]
    assert kept not in await found(boss, resolved=True)


async def test_names_that_no_catalogue_could_hold_are_dark_and_stop_no_check(site: Site, tmp_path: Path) -> None:
    ann, boss = await site.user("ann"), await site.user("boss", "DataManager")
    await put(ann, *NAMES)
    place = tmp_path / "storage" / VO / "user"
    for name in (b"\xff\xfe", b"a b\n", b"-rf *"):
        with open(bytes(place) + b"/" + name, "wb") as file:
            file.write(b"x")
    (place / "nowhere").symlink_to("/nowhere")
    assert (await checked(boss))["findings"] == 3
    assert {row["kind"] for row in (await found(boss)).values()} == {"dark"}


async def test_a_file_that_was_written_but_never_confirmed_is_registered_by_the_check(
    site: Site, tmp_path: Path
) -> None:  # fmt: skip
    ann, boss = await site.user("ann"), await site.user("boss", "DataManager")
    (name, *_) = sorted(NAMES)
    import hashlib

    sha256 = hashlib.sha256(name.encode()).hexdigest()
    await ann.post(f"{ROUTE}/uploads", json={"files": [{"lfn": name, "size": len(name), "sha256": sha256}]})
    path = tmp_path / "storage" / name[1:]
    path.parent.mkdir(parents=True)
    path.write_text(name)
    assert (await checked(boss))["findings"] == 0
    assert (await ann.get(f"{ROUTE}/why", params={"path": name})).json()["usable"]
