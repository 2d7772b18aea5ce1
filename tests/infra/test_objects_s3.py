"""What only the store in an S3 bucket has to care for: its bucket, its two addresses, and a server that fails."""

import asyncio
import hashlib
from contextlib import suppress
from uuid import uuid4

import httpx
import pytest
from servers import SeaweedFS, ports

from domain.errors import Code, Refused
from gateway.objects import Form
from infra.objects.s3 import Endpoint, S3Objects

BODY = b"what the payload wrote\n" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()
KEY = f"lhcb/lhcb_user/alice/sha256:{SHA256}.tar.bz2"


def endpoint(s3: SeaweedFS) -> Endpoint:
    return Endpoint(s3.url, s3.access_key, s3.secret_key)


def bucket() -> str:
    return f"sandboxes-{uuid4().hex}"


def post(form: Form | None) -> httpx.Response:
    assert form
    return httpx.post(form.url, data=form.fields, files={"file": ("file", BODY)})


async def test_a_bucket_is_made_once_by_many_gateways(s3: SeaweedFS) -> None:
    name = bucket()
    stores = [S3Objects(endpoint(s3), name) for _ in range(4)]
    forms = await asyncio.gather(*(store.upload_form(KEY, SHA256, len(BODY)) for store in stores))
    assert [post(form).is_success for form in forms] == [True] * 4


async def test_clients_get_the_public_address_of_the_store(s3: SeaweedFS) -> None:
    public = s3.url.replace("127.0.0.1", "localhost")
    store = S3Objects(endpoint(s3)._replace(public=public + "/"), bucket())
    form = await store.upload_form(KEY, SHA256, len(BODY))
    assert form
    assert form.url.startswith(public + "/sandboxes-")
    assert post(form).is_success
    url = await store.download_url(KEY)
    assert url.startswith(public)
    assert httpx.get(url).content == BODY


async def test_a_store_that_does_not_answer_is_away() -> None:
    store = S3Objects(Endpoint(f"http://127.0.0.1:{ports(1)[0]}", "a", "b"), "sandboxes")
    with pytest.raises(Refused) as refused:
        await store.exists(KEY)
    assert refused.value.code is Code.OBJECTS_AWAY


async def test_a_store_that_does_not_know_us_has_refused(s3: SeaweedFS) -> None:
    store = S3Objects(endpoint(s3)._replace(secret_key="guessed"), "sandboxes")
    for call in (store.exists(KEY), store.put(KEY, BODY), store.remove([KEY]), store.get(KEY)):
        with pytest.raises(Refused) as refused:
            await call
        assert refused.value.code is Code.OBJECTS_REFUSED


async def test_a_store_that_comes_back_is_used_again(s3: SeaweedFS, s3_server: SeaweedFS) -> None:
    store = S3Objects(endpoint(s3), bucket())
    await store.put(KEY, BODY)
    s3_server.kill()
    with pytest.raises(Refused) as refused:
        await store.get(KEY)
    assert refused.value.code is Code.OBJECTS_AWAY
    s3_server.start()
    async with asyncio.timeout(60):  # its parts come up one after the other
        while True:
            with suppress(Refused):
                assert await store.get(KEY) == BODY
                return
