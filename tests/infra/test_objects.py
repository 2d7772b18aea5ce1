"""Both object stores keep the same promises, each against a real server."""

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from time import time
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from hosting import hosted
from servers import SeaweedFS

from domain.errors import Code, Refused
from domain.sandbox import LIMIT
from gateway.objects import Form, Objects, routes
from infra.objects.local import LocalObjects
from infra.objects.s3 import Endpoint, S3Objects

BODY = b"what the payload wrote\n" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()
KEY = f"lhcb/lhcb_user/alice/sha256:{SHA256}.tar.bz2"
SIGNING_KEY = b"k" * 32
NO_KEYS = ["", "/etc/passwd", "a//b", "../a", "a/../b", "a/.", "a/..", "a\\b", "a\0b", "a\nb", "a/" + "é" * 200, "/"]
_buckets = count(1)


class World:
    """One store, and how far the clock is off that it reads when it signs."""

    offset = 0
    store: Objects

    def seconds(self) -> float:
        return time() + self.offset

    def moment(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset)


@pytest.fixture(params=["local", "s3"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    world = World()
    if request.param == "s3":
        world.store = S3Objects(endpoint(request.getfixturevalue("s3")), bucket(), world.moment)
        yield world
        return

    def application(url: str) -> FastAPI:
        world.store = store = LocalObjects(tmp_path, SIGNING_KEY, url, world.seconds)
        app = FastAPI()
        app.include_router(routes(store))
        return app

    with hosted(application):
        yield world


@pytest.fixture
def store(world: World) -> Objects:
    return world.store


def endpoint(s3: SeaweedFS) -> Endpoint:
    return Endpoint(s3.url, s3.access_key, s3.secret_key)


def bucket() -> str:
    return f"sandboxes-{next(_buckets)}"


def post(form: Form | None, body: bytes = BODY, **changed: str) -> httpx.Response:
    assert form
    return httpx.post(form.url, data=form.fields | changed, files={"file": ("file", body)})


async def form_of(store: Objects) -> Form:
    form = await store.upload_form(KEY, SHA256, len(BODY))
    assert form
    return form


async def test_announced_bytes_are_taken_and_given_back(store: Objects) -> None:
    assert not await store.exists(KEY)
    assert post(await form_of(store)).is_success
    assert await store.exists(KEY)
    answer = httpx.get(await store.download_url(KEY))
    assert (answer.status_code, answer.content) == (200, BODY)
    assert await store.get(KEY) == BODY


async def test_what_is_there_already_needs_no_upload(store: Objects) -> None:
    post(await form_of(store))
    assert await store.upload_form(KEY, SHA256, len(BODY)) is None


@pytest.mark.parametrize(
    "body",
    [BODY[:-1], BODY + b"x", BODY[:-1] + b"x", b"", BODY * 100],
    ids=["one byte less", "one byte more", "one byte other", "nothing", "much more"],
)
async def test_other_bytes_are_refused_and_leave_nothing(store: Objects, body: bytes) -> None:
    assert 400 <= post(await form_of(store), body).status_code < 500
    assert not await store.exists(KEY)


async def test_no_field_of_a_form_can_be_changed_or_left_out(store: Objects) -> None:
    form = await form_of(store)
    for name in sorted(form.fields):
        value = form.fields[name]
        less = Form(form.url, {key: kept for key, kept in form.fields.items() if key != name})
        assert 400 <= post(form, **{name: value[:-1] + "0" if value[-1] != "0" else value[:-1] + "1"}).status_code < 500
        assert 400 <= post(less).status_code < 500, name
    assert not await store.exists(KEY)


async def test_a_form_for_one_object_does_not_write_another(store: Objects) -> None:
    other = KEY.replace("alice", "bob")
    assert post(await form_of(store), key=other).status_code == 403
    assert not await store.exists(other)


async def test_a_form_expires(world: World) -> None:
    world.offset = -400
    form = await form_of(world.store)
    world.offset = 0
    assert post(form).status_code == 403
    assert not await world.store.exists(KEY)


async def test_a_download_url_expires(world: World) -> None:
    await world.store.put(KEY, BODY)
    world.offset = -400
    url = await world.store.download_url(KEY)
    world.offset = 0
    assert httpx.get(url).status_code == 403


async def test_a_download_url_gives_one_object_only(store: Objects) -> None:
    other = KEY.replace("alice", "bob")
    await store.put(KEY, BODY)
    await store.put(other, b"of somebody else")
    url = await store.download_url(KEY)
    assert httpx.get(url.replace("alice", "bob")).status_code == 403


async def test_no_word_of_a_download_url_can_be_changed_or_left_out(store: Objects) -> None:
    await store.put(KEY, BODY)
    parts = urlsplit(await store.download_url(KEY))
    query = dict(parse_qsl(parts.query))
    for name, value in query.items():
        changed = query | {name: value[:-1] + ("1" if value[-1] != "1" else "2")}
        less = {key: kept for key, kept in query.items() if key != name}
        for words in (changed, less):
            answer = httpx.get(parts._replace(query=urlencode(words)).geturl())
            assert 400 <= answer.status_code < 500, (name, answer.text)
            assert BODY not in answer.content


async def test_what_is_not_there_is_not_found(store: Objects) -> None:
    await store.put(KEY.replace("alice", "bob"), BODY)
    assert httpx.get(await store.download_url(KEY)).status_code == 404
    with pytest.raises(Refused) as refused:
        await store.get(KEY)
    assert refused.value.code is Code.SANDBOX_UNKNOWN


async def test_nothing_exists_before_the_first_upload(store: Objects) -> None:
    assert not await store.exists(KEY)
    await store.remove([KEY])
    with pytest.raises(Refused):
        await store.get(KEY)


async def test_removed_objects_are_gone_and_can_be_removed_again(store: Objects) -> None:
    keys = [KEY, KEY + "-2", KEY + "-3"]
    for key in keys:
        await store.put(key, BODY)
    await store.remove(keys[:2])
    await store.remove(keys[:2])
    assert [await store.exists(key) for key in keys] == [False, False, True]
    assert await store.upload_form(KEY, SHA256, len(BODY)) is not None


async def test_the_same_object_may_be_uploaded_by_many_at_once(store: Objects) -> None:
    forms = [await form_of(store) for _ in range(8)]
    answers = await asyncio.gather(*(asyncio.to_thread(post, form) for form in forms))
    assert [answer.is_success for answer in answers] == [True] * 8
    assert await store.get(KEY) == BODY


async def test_a_used_form_cannot_change_the_object(store: Objects) -> None:
    form = await form_of(store)
    post(form)
    post(form, b"x" * len(BODY))
    assert await store.get(KEY) == BODY


@pytest.mark.parametrize("name", ["a b", "søren", "100%", "a+b", "a&b=c", "a?b#c", "%2e%2e", "o'neil", "中"])
async def test_names_of_people_are_names_of_objects(store: Objects, name: str) -> None:
    key = KEY.replace("alice", name)
    assert post(await store.upload_form(key, SHA256, len(BODY))).is_success
    assert httpx.get(await store.download_url(key)).content == BODY
    assert not await store.exists(KEY)


@pytest.mark.parametrize("key", NO_KEYS)
async def test_what_is_no_key_is_refused_everywhere(store: Objects, key: str) -> None:
    calls = [store.upload_form(key, SHA256, 1), store.download_url(key), store.exists(key), store.remove([KEY, key]),
             store.get(key), store.put(key, BODY)]  # fmt: skip
    for call in calls:
        with pytest.raises(Refused) as refused:
            await call
        assert refused.value.code is Code.MALFORMED


@pytest.mark.parametrize(
    ("sha256", "size", "code"),
    [
        (SHA256, LIMIT + 1, Code.SANDBOX_TOO_LARGE),
        (SHA256, 0, Code.MALFORMED),
        (SHA256.upper(), 1, Code.MALFORMED),
        (SHA256 + "\n", 1, Code.MALFORMED),
        (SHA256[:-1], 1, Code.MALFORMED),
    ],
)
async def test_what_cannot_be_a_sandbox_gets_no_form(store: Objects, sha256: str, size: int, code: Code) -> None:
    with pytest.raises(Refused) as refused:
        await store.upload_form(KEY, sha256, size)
    assert refused.value.code is code


def test_a_short_signing_key_is_not_accepted(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        LocalObjects(tmp_path, b"secret", "http://localhost")
    assert refused.value.code is Code.SETTING
