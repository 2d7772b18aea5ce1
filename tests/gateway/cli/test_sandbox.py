"""A sandbox travels from a user's files to the store and back, over either store."""

import hashlib
import os
import tracemalloc
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from hosting import hosted
from servers import ports

from domain.errors import Code, Refused
from domain.sandbox import parse_pfn, pfn
from gateway.cli.archive import Packed, pack
from gateway.cli.sandbox import ROUTE, download, upload
from gateway.objects import Objects, problem, routes
from infra.objects.local import LocalObjects
from infra.objects.s3 import Endpoint, S3Objects

MIB = 1024 * 1024
_buckets = count(1)


class Gateway:
    """The two routes a client needs, over a store; remembers what was asked and who asked the store."""

    def __init__(self, store: Objects) -> None:
        self.store, self.posts = store, 0
        self.app = FastAPI()
        self.app.add_api_route(ROUTE, self.announce, methods=["POST"])
        self.app.add_api_route(ROUTE, self.find, methods=["GET"])
        if isinstance(store, LocalObjects):
            self.app.include_router(routes(store))

    async def announce(self, request: Request) -> Any:
        body = await request.json()
        self.posts += 1
        name = pfn("sandboxes", "lhcb", "lhcb_user", "alice", body["checksum"], body["format"])
        try:
            form = await self.store.upload_form(parse_pfn(name).key, body["checksum"], body["size"])
        except Refused as refused:
            return problem(refused)
        return {"pfn": name, "url": form and form.url, "fields": form.fields if form else {}}

    async def find(self, pfn: str) -> dict[str, Any]:
        return {"url": await self.store.download_url(parse_pfn(pfn).key), "expires_in": 300}


@pytest.fixture(params=["local", "s3"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Gateway, httpx.Client]]:
    made: list[Gateway] = []

    def make(url: str) -> FastAPI:
        if request.param == "s3":
            s3 = request.getfixturevalue("s3")
            store: Any = S3Objects(Endpoint(s3.url, s3.access_key, s3.secret_key), f"cli-{next(_buckets)}")
        else:
            store = LocalObjects(tmp_path / "store", b"k" * 32, url)
        made.append(Gateway(store))
        return made[0].app

    with hosted(make) as url, httpx.Client(base_url=url, headers={"Authorization": "Bearer token"}) as session:
        yield made[0], session


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    (tmp_path / "job.py").write_text("print('done')")
    return pack([tmp_path / "job.py"])


def test_a_sandbox_comes_back_as_it_went(gateway: Any, packed: Packed, tmp_path: Path) -> None:
    name = upload(gateway[1], packed)
    unpacked = download(gateway[1], name, tmp_path / "out")
    assert unpacked.files == [tmp_path / "out" / "job.py"]
    assert (tmp_path / "out" / "job.py").read_text() == "print('done')"


def test_a_second_upload_sends_nothing(gateway: Any, packed: Packed) -> None:
    name = upload(gateway[1], packed)
    moved: list[int] = []
    assert upload(gateway[1], packed, lambda done, total: moved.append(done)) == name
    assert moved == []


def test_progress_ends_at_the_whole(gateway: Any, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(os.urandom(3 * MIB))
    packed = pack([tmp_path / "noise"])
    up: list[tuple[int, int]] = []
    down: list[tuple[int, int]] = []
    name = upload(gateway[1], packed, lambda *step: up.append(step))
    download(gateway[1], name, tmp_path / "out", lambda *step: down.append(step))
    for steps in (up, down):
        assert steps[-1] == (packed.size, packed.size)
        assert len(steps) > 3
        assert steps == sorted(steps)


def test_the_store_refuses_a_file_that_changed_after_packing(gateway: Any, packed: Packed) -> None:
    data = packed.path.read_bytes()
    packed.path.write_bytes(data[:-1] + b"x")
    with pytest.raises(Refused) as refused:
        upload(gateway[1], packed)
    assert refused.value.code in (Code.SANDBOX_MISMATCH, Code.OBJECTS_REFUSED)


async def test_a_sandbox_that_changed_in_the_store_is_not_unpacked(
    gateway: Any, packed: Packed, tmp_path: Path
) -> None:
    name = upload(gateway[1], packed)
    (tmp_path / "job.py").write_text("print('evil')")
    await gateway[0].store.put(parse_pfn(name).key, pack([tmp_path / "job.py"]).path.read_bytes())
    with pytest.raises(Refused) as refused:
        download(gateway[1], name, tmp_path / "out")
    assert refused.value.code is Code.SANDBOX_MISMATCH
    assert not (tmp_path / "out").exists()


def test_a_sandbox_that_is_not_there_is_a_refusal(gateway: Any, tmp_path: Path) -> None:
    name = pfn("sandboxes", "lhcb", "lhcb_user", "alice", "0" * 64, "tar.bz2")
    with pytest.raises(Refused) as refused:
        download(gateway[1], name, tmp_path / "out")
    assert refused.value.code in (Code.SANDBOX_UNKNOWN, Code.OBJECTS_REFUSED)


def test_the_gateways_refusals_arrive_with_their_parameters(gateway: Any, packed: Packed) -> None:
    with pytest.raises(Refused) as refused:
        upload(gateway[1], packed._replace(size=10**9))
    assert (refused.value.code, refused.value.parameters["size"]) == (Code.SANDBOX_TOO_LARGE, 10**9)


def test_a_great_sandbox_moves_in_little_memory(gateway: Any, tmp_path: Path) -> None:
    path = tmp_path / "great"
    path.write_bytes(os.urandom(MIB) * 64)
    with path.open("rb") as file:
        packed = Packed(path, hashlib.file_digest(file, "sha256").hexdigest(), 64 * MIB)
    tracemalloc.start()
    name = upload(gateway[1], packed)
    with pytest.raises(Refused) as refused:  # it is no archive, but it did come whole
        download(gateway[1], name, tmp_path / "out")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.code is Code.MALFORMED
    assert peak < 16 * MIB


def test_the_store_never_sees_the_token(packed: Packed) -> None:
    seen: list[str | None] = []

    def application(url: str) -> FastAPI:
        app = FastAPI()

        @app.post(ROUTE)
        async def announce(request: Request) -> dict[str, Any]:
            seen.append(request.headers.get("authorization"))
            return {"pfn": "p", "url": f"{url}/store", "fields": {"a": "b"}}

        @app.post("/store")
        async def store(request: Request) -> Response:
            seen.append(request.headers.get("authorization"))
            return JSONResponse({}, 201)

        return app

    with hosted(application) as url, httpx.Client(base_url=url, headers={"Authorization": "Bearer token"}) as session:
        assert upload(session, packed) == "p"
    assert seen == ["Bearer token", None]


def test_a_store_that_cannot_be_reached_is_away(packed: Packed) -> None:
    place = {"pfn": "p", "url": f"http://127.0.0.1:{ports(1)[0]}", "fields": {}}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=place))
    with httpx.Client(base_url="http://gateway", transport=transport) as session, pytest.raises(Refused) as refused:
        upload(session, packed)
    assert refused.value.code is Code.OBJECTS_AWAY
