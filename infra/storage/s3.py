"""A storage element in an S3 bucket: files under their logical names; the store itself checks what is written."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from minio import S3Error
from minio.datatypes import PostPolicy
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, ServerError

from domain.data.file import Content
from domain.data.names import check_file
from domain.errors import Code, Refused
from gateway.data.places import LIFETIME, Listed
from gateway.objects import Form
from infra.objects.s3 import AWAY, MISSING, OURS_ALREADY, Endpoint, client
from infra.storage.posix import CHUNK, PART, summed

T = TypeVar("T")


class S3Storage:
    """`gateway.data.storage.Storage` over one bucket, which is made on first use, for one VO."""

    def __init__(self, vo: str, name: str, endpoint: Endpoint, bucket: str) -> None:
        self._vo, self._name, self._bucket = vo, name, bucket
        self._public = (endpoint.public or endpoint.url).rstrip("/")
        self._client = client(endpoint, endpoint.url)
        self._signer = client(endpoint, self._public)  # signs only: it never opens a connection
        self._made = False

    async def upload_form(self, lfn: str, content: Content, expires: int = LIFETIME) -> Form:
        """See `gateway.data.storage.Storage`."""
        await self._ready()
        checksum = base64.b64encode(bytes.fromhex(content.sha256)).decode()
        fields = {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": checksum, "key": self._key(lfn)}
        policy = PostPolicy(self._bucket, datetime.now(UTC) + timedelta(seconds=expires))
        for name, value in fields.items():
            policy.add_equals_condition(name, value)
        policy.add_content_length_range_condition(content.size, content.size)
        return Form(f"{self._public}/{self._bucket}", fields | self._signer.presigned_post_policy(policy))

    async def download_url(self, lfn: str, expires: int = LIFETIME) -> str:
        """See `gateway.data.storage.Storage`."""
        return self._signer.presigned_get_object(self._bucket, self._key(lfn), timedelta(seconds=expires))

    async def examine(self, lfn: str) -> Content | None:
        """See `gateway.data.storage.Storage`."""
        try:
            return await self._threaded(self._read, self._key(lfn))
        except KeyError:
            return None

    async def fetch(self, lfn: str, path: Path) -> None:
        """See `gateway.data.storage.Storage`."""
        try:
            await self._threaded(self._client.fget_object, self._bucket, self._key(lfn), str(path))
        except KeyError as fault:
            raise Refused(Code.NOT_STORED, se=self._name, lfn=lfn, problem="there is no such file") from fault

    async def store(self, lfn: str, path: Path) -> None:
        """See `gateway.data.storage.Storage`."""
        await self._ready()
        await self._threaded(self._client.fput_object, self._bucket, self._key(lfn), str(path))

    async def remove(self, lfns: Iterable[str]) -> None:
        """See `gateway.data.storage.Storage`."""
        keys = [self._key(lfn) for lfn in lfns]
        try:
            await self._threaded(self._remove, keys)
        except KeyError:  # not even a bucket
            return

    async def listed(self, path: str) -> AsyncIterator[list[Listed]]:
        """See `gateway.data.storage.Storage`."""
        await self._ready()
        found = self._objects(f"{path.strip('/')}/")
        while part := await self._threaded(lambda: list(islice(found, PART))):
            yield part

    def _objects(self, prefix: str) -> Iterator[Listed]:
        for each in self._client.list_objects(self._bucket, prefix, recursive=True):
            if each.object_name and not each.is_dir:
                yield Listed(f"/{each.object_name}", each.size or 0, each.last_modified or datetime.now(UTC))

    def _read(self, key: str) -> Content:
        response = self._client.get_object(self._bucket, key)
        try:
            return summed(response.stream(CHUNK))
        finally:
            response.close()
            response.release_conn()

    def _remove(self, keys: list[str]) -> None:
        for error in self._client.remove_objects(self._bucket, [DeleteObject(key) for key in keys]):
            raise Refused(Code.STORAGE_REFUSED, se=self._name, reason=error.code)

    def _key(self, lfn: str) -> str:
        return check_file(self._vo, lfn).lstrip("/")

    async def _ready(self) -> None:
        """Make the bucket, once; a gateway may start before its store does."""
        if not self._made:
            await self._threaded(self._make_bucket)
            self._made = True

    def _make_bucket(self) -> None:
        try:
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket)
        except S3Error as error:  # another process was faster
            if error.code not in OURS_ALREADY:
                raise

    async def _threaded(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run a call of the synchronous client in a thread; raises KeyError for what is missing, else Refused."""
        try:
            return await asyncio.to_thread(call, *arguments)
        except S3Error as error:
            if error.code in MISSING:
                raise KeyError(error.code) from error
            code = Code.STORAGE_AWAY if error.code in AWAY else Code.STORAGE_REFUSED
            raise Refused(code, se=self._name, reason=error.code) from error
        except (urllib3.exceptions.HTTPError, ServerError, InvalidResponseError) as error:
            raise Refused(Code.STORAGE_AWAY, se=self._name) from error
