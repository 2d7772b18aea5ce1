"""Files on real storage: what is announced, uploaded and confirmed; what is not as announced is never registered."""

import hashlib
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_site import VO, Site, refusal
from servers import SeaweedFS

from domain.schema import read

ROUTE = "/api/v1/data"
DISK, S3 = "DISK", "S3"


@pytest.fixture
async def stored(site: Site, s3: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """A site with a directory and a bucket."""
    monkeypatch.setenv("S3_KEY", s3.access_key)
    monkeypatch.setenv("S3_SECRET", s3.secret_key)
    bucket = f"{s3.url}/files-{tmp_path.name.replace('_', '-')[-20:].lower()}"
    storage = {
        DISK: {"backend": "local", "access": [{"protocol": "file", "url": f"file://{tmp_path}/disk"}]},
        S3: {"backend": "s3", "access": [{"protocol": "http", "url": bucket}],
             "key_env": "S3_KEY", "secret_env": "S3_SECRET"},
    }  # fmt: skip
    configuration = site.work.runtime.configuration
    configuration.current = read(configuration.builtin | {"resources": {"storage_elements": storage}})
    yield site


def described(lfn: str, content: bytes, se: str) -> dict[str, Any]:
    adler32, sha256 = f"{zlib.adler32(content):08x}", hashlib.sha256(content).hexdigest()
    return {"lfn": lfn, "size": len(content), "adler32": adler32, "sha256": sha256, "ses": [se]}


async def announced(client: httpx.AsyncClient, *files: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.post(f"{ROUTE}/uploads", json={"files": files})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


async def sent(place: dict[str, Any], content: bytes) -> httpx.Response:
    async with httpx.AsyncClient() as anybody:
        return await anybody.post(place["url"], data=place["fields"], files={"file": ("file", content)})


async def confirmed(client: httpx.AsyncClient, lfn: str, se: str) -> dict[str, Any]:
    answer = await client.post(f"{ROUTE}/uploads/confirm", json={"files": [{"lfn": lfn, "se": se}]})
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    return dict(result)


@pytest.mark.parametrize("se", [DISK, S3])
async def test_a_file_is_there_once_storage_has_confirmed_it(stored: Site, se: str) -> None:
    ann, lfn, content = await stored.user("ann"), "/lhcb/user/ann/raw.dst", b"events" * 1000
    await announced(ann, described(lfn, content, se))
    early = (await ann.post(f"{ROUTE}/downloads", json={"lfns": [lfn]})).json()["results"]
    assert early[0]["error"]["code"] == "file-lost"
    missing = await confirmed(ann, lfn, se)
    assert (missing["error"]["code"], missing["error"]["problem"]) == ("not-stored", "there is no such file")
    (again,) = await announced(ann, described(lfn, content, se))
    assert (await sent(again, content)).is_success
    assert "error" not in await confirmed(ann, lfn, se)
    ((source),) = (await ann.post(f"{ROUTE}/downloads", json={"lfns": [lfn]})).json()["results"]
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(source["urls"][0]["url"])).content == content
        other = source["urls"][0]["url"].replace("raw.dst", "other.dst")
        assert (await anybody.get(other)).status_code in (403, 404)
    (once,) = await announced(ann, described(lfn, content, se))
    assert once["url"] is None


@pytest.mark.parametrize("se", [DISK, S3])
async def test_other_bytes_than_announced_are_not_taken(stored: Site, se: str) -> None:
    ann, lfn, content = await stored.user("ann"), "/lhcb/user/ann/raw.dst", b"events" * 1000
    (place,) = await announced(ann, described(lfn, content, se))
    for wrong in (content[:-1], content + b"x", b"E" + content[1:]):
        assert not (await sent(place, wrong)).is_success
    assert (await confirmed(ann, lfn, se))["error"]["code"] == "not-stored"
    forged = place | {"fields": place["fields"] | {"lfn": "/lhcb/x", "key": "lhcb/x"}}
    assert not (await sent(forged, content)).is_success


async def test_what_storage_has_otherwise_is_told_and_recorded(stored: Site, tmp_path: Path) -> None:
    ann, lfn = await stored.user("ann"), "/lhcb/user/ann/raw.dst"
    await announced(ann, described(lfn, b"events", DISK))
    path = tmp_path / "disk" / lfn.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"evente")
    assert (await confirmed(ann, lfn, DISK))["error"]["problem"] == "its checksum is another one"
    story = (await ann.get(f"{ROUTE}/history", params={"path": lfn})).json()["lines"]
    assert [line["topic"] for line in story] == ["file.announced", "file.not-stored"]


async def test_credentials_of_storage_never_leave(stored: Site, s3: SeaweedFS) -> None:
    ann, lfn = await stored.user("ann"), "/lhcb/user/ann/raw.dst"
    (place,) = await announced(ann, described(lfn, b"events", S3))
    shown = (await ann.get(f"{ROUTE}/elements")).text
    assert s3.secret_key not in str(place) + shown
    assert s3.access_key not in shown


async def test_a_storage_element_is_only_for_its_vo_and_what_it_lets(stored: Site) -> None:
    ann, eve = await stored.user("ann"), await stored.user("eve", vo="atlas")
    configuration = stored.work.runtime.configuration
    storage = {
        "THEIRS": {"vos": ["atlas"], "backend": "local", "access": [{"protocol": "file", "url": "/nowhere"}]},
        "CLOSED": {"backend": "local", "access": [{"protocol": "file", "url": "/nowhere", "writing": False}]},
    }
    configuration.current = read(configuration.builtin | {"resources": {"storage_elements": storage}})
    theirs, closed = await announced(
        ann, described(f"/{VO}/a", b"x", "THEIRS"), described(f"/{VO}/b", b"x", "CLOSED")
    )  # fmt: skip
    assert (theirs["error"]["code"], closed["error"]["code"]) == ("se-unknown", "se-refuses")
    refusal(await eve.post(f"{ROUTE}/uploads", json={"files": [{"lfn": "/atlas/a", "size": 1}]}), 400, "malformed")
