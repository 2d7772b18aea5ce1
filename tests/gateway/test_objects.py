"""The routes of the local object store, and what they do when clients lie, stop, or send very much."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from hosting import hosted
from servers import ports
from wire import call, connects, http_connection, http_head, multipart, read_all

from gateway.objects import Form, routes
from infra.objects.local import ABANDONED, LocalObjects

BODY = b"bytes" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()
KEY = f"lhcb/lhcb_user/alice/sha256:{SHA256}.tar.bz2"
SIGNING_KEY = b"s" * 32
MIB = 1024 * 1024
BIG = 100 * MIB
SERVER = """
import sys, uvicorn
from pathlib import Path
from fastapi import FastAPI
from gateway.objects import routes
from infra.objects.local import LocalObjects
app = FastAPI()
app.include_router(routes(LocalObjects(Path(sys.argv[1]), b"s" * 32, f"http://127.0.0.1:{sys.argv[2]}")))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""


def application(store: LocalObjects) -> FastAPI:
    app = FastAPI()
    app.include_router(routes(store))
    return app


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalObjects]:
    made: list[LocalObjects] = []

    def make(url: str) -> FastAPI:
        made.append(LocalObjects(tmp_path, SIGNING_KEY, url))
        return application(made[0])

    with hosted(make):
        yield made[0]


async def form_of(store: LocalObjects, key: str = KEY, size: int = len(BODY), sha256: str = SHA256) -> Form:
    form = await store.upload_form(key, sha256, size)
    assert form
    return form


def post(form: Form, body: bytes = BODY, **changed: str) -> httpx.Response:
    return httpx.post(form.url, data=form.fields | changed, files={"file": ("file", body)})


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("body", "status", "code", "wrong"),
    [
        (BODY[:-1], 400, "sandbox-mismatch", "size"),
        (BODY[:-1] + b"x", 400, "sandbox-mismatch", "checksum"),
        (BODY + b"x", 413, "sandbox-too-large", None),
    ],
    ids=["too short", "other bytes", "too long"],
)
async def test_other_bytes_are_refused_with_the_reason(
    store: LocalObjects, tmp_path: Path, body: bytes, status: int, code: str, wrong: str | None
) -> None:
    answer = post(await form_of(store), body)
    assert (answer.status_code, answer.json()["code"], answer.json().get("property")) == (status, code, wrong)
    assert answer.headers["content-type"] == "application/problem+json"
    assert files_in(tmp_path) == []


async def test_a_refusal_says_who_must_act_and_what_to_do(store: LocalObjects) -> None:
    answer = post(await form_of(store), signature="0" * 64)
    assert answer.status_code == 403
    assert answer.json() == {
        "type": "urn:spinor:forbidden",
        "title": "forbidden",
        "status": 403,
        "code": "forbidden",
        "detail": "this needs a valid upload signature",
        "who": "user",
        "next": "spinor whoami",
        "right": "a valid upload signature",
        "class": "policy",
        "retryable": False,
        "help": "/guide/errors/forbidden",
    }


async def test_an_unknown_object_is_named(store: LocalObjects) -> None:
    answer = httpx.get(await store.download_url(KEY))
    assert (answer.status_code, answer.json()["code"], answer.json()["pfn"]) == (404, "sandbox-unknown", KEY)


async def test_another_installations_key_signs_nothing_here(store: LocalObjects, tmp_path: Path) -> None:
    url = (await form_of(store)).url
    foreign = LocalObjects(tmp_path / "foreign", b"x" * 32, url.split("/api/")[0])
    assert post(await form_of(foreign)).status_code == 403
    await store.put(KEY, BODY)
    assert httpx.get(await foreign.download_url(KEY)).status_code == 403


async def test_a_signature_for_reading_does_not_write(store: LocalObjects) -> None:
    query = dict(httpx.URL(await store.download_url(KEY)).params)
    form = await form_of(store)
    assert post(form, expires=query["expires"], signature=query["signature"]).status_code == 403


@pytest.mark.parametrize("path", ["../secret", "%2e%2e/secret", "..%2fsecret", "lhcb/../../secret", "/etc/passwd", ""])
async def test_no_path_leads_out_of_the_store(store: LocalObjects, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("secret")
    parts = urlsplit(await store.download_url(KEY))
    with closing(http_connection(parts.netloc)) as raw:  # an HTTP library would tidy the path up
        raw.sendall(f"GET /api/v1/objects/{path}?{parts.query} HTTP/1.0\r\n\r\n".encode())
        answer = read_all(raw)
    assert answer.split()[1] in (b"403", b"404", b"405")
    assert b"root:" not in answer
    assert not answer.endswith(b"secret")


async def test_even_a_signed_path_does_not_lead_out(store: LocalObjects, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    end = store._end(300)
    answer = httpx.get(
        store._url + "/%2e%2e%2fsecret",
        params={"expires": end, "signature": store._sign("download", "../secret", end)},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


async def test_downloads_are_never_pages(store: LocalObjects) -> None:
    await store.put(KEY, b"<script>")
    answer = httpx.get(await store.download_url(KEY))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"nonsense"),
        ("multipart/form-data; boundary=" + "b" * 1000, b"--b"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nx\r\n--b--\r\n'),
    ],
)
async def test_what_is_no_upload_form_is_refused(store: LocalObjects, content_type: str, body: bytes) -> None:
    answer = httpx.post(store._url, content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


async def test_small_fields_stay_small(store: LocalObjects) -> None:
    answer = post(await form_of(store), more="x" * MIB)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


async def test_fields_after_the_file_change_nothing(store: LocalObjects) -> None:
    form = await form_of(store)
    parts = [
        *((name, (None, value)) for name, value in form.fields.items()),
        ("file", ("file", BODY)),
        ("key", (None, "x")),
    ]
    assert httpx.post(form.url, files=parts).status_code == 204
    assert await store.get(KEY) == BODY


async def test_a_client_that_reads_only_after_writing_sees_the_refusal(store: LocalObjects) -> None:
    form = await form_of(store)
    head, tail = multipart(form.fields | {"signature": "0" * 64})
    with closing(http_connection(urlsplit(form.url).netloc)) as raw:
        raw.sendall(http_head(len(head) + 5 * MIB + len(tail)) + head)
        for _ in range(5):
            raw.sendall(b"x" * MIB)
        raw.sendall(tail)
        assert b" 403 " in raw.recv(100)


async def test_a_client_that_goes_away_leaves_nothing(store: LocalObjects, tmp_path: Path) -> None:
    form = await form_of(store)
    head, _ = multipart(form.fields)
    with closing(http_connection(urlsplit(form.url).netloc)) as raw:
        raw.sendall(http_head(len(head) + len(BODY) + 100) + head + BODY[:1000])
        await until(lambda: files_in(tmp_path))
    await until(lambda: not files_in(tmp_path))
    assert not await store.exists(KEY)


async def test_a_gateway_killed_in_an_upload_leaves_nothing_visible(tmp_path: Path) -> None:
    port = ports(1)[0]
    store = LocalObjects(tmp_path, SIGNING_KEY, f"http://127.0.0.1:{port}")
    form = await form_of(store)
    head, _ = multipart(form.fields)
    command = [sys.executable, "-c", SERVER, str(tmp_path), str(port)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}) as gateway:
        await until(lambda: connects(port))
        with closing(http_connection(f"127.0.0.1:{port}")) as raw:
            raw.sendall(http_head(len(head) + len(BODY) + 100) + head + BODY)
            await until(lambda: files_in(tmp_path))
            gateway.send_signal(signal.SIGKILL)
            gateway.wait()
    assert not await store.exists(KEY)
    assert len(files_in(tmp_path)) == 1  # what was left lying about
    LocalObjects(tmp_path, SIGNING_KEY, "http://localhost")
    assert len(files_in(tmp_path)) == 1  # it may be another process's, still at work
    LocalObjects(tmp_path, SIGNING_KEY, "http://localhost", lambda: time.time() + ABANDONED + 1)
    assert files_in(tmp_path) == []


async def test_a_great_object_goes_in_and_out_in_little_memory(tmp_path: Path) -> None:
    store = LocalObjects(tmp_path, SIGNING_KEY, "http://localhost")
    app, chunk = application(store), os.urandom(64 * 1024)
    sha256 = hashlib.sha256(chunk * (BIG // len(chunk))).hexdigest()
    form, url = await form_of(store, size=BIG, sha256=sha256), await store.download_url(KEY)
    head, tail = multipart(form.fields)

    async def body() -> AsyncIterator[bytes]:
        yield head
        for _ in range(BIG // len(chunk)):
            yield chunk
        yield tail

    tracemalloc.start()
    sent, _ = await call(app, form.url, body())
    got, received = await call(app, url)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (sent, got, received) == (204, 200, BIG)
    assert peak < 8 * MIB


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)
