"""Objects in an S3 bucket: the store itself refuses bytes that are not the announced ones."""

import asyncio
import base64
import io
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio, S3Error
from minio.datatypes import PostPolicy
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, ServerError

from domain.errors import Code, Refused
from domain.sandbox import check_announced, check_key
from gateway.objects import LIFETIME, Form

T = TypeVar("T")

MISSING = {"NoSuchKey", "NoSuchBucket", "NoSuchObject"}
OURS_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
AWAY = {"ServiceUnavailable", "SlowDown", "InternalError"}


class Endpoint(NamedTuple):
    """An S3 server as we reach it; `public` is how clients do, when that differs."""

    url: str
    access_key: str
    secret_key: str
    public: str = ""
    region: str = "us-east-1"


class S3Objects:
    """`gateway.objects.Objects` over one bucket, which is made on first use; `clock` gives the time with its zone."""

    def __init__(
        self, endpoint: Endpoint, bucket: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._bucket, self._clock = bucket, clock
        self._public = (endpoint.public or endpoint.url).rstrip("/")
        self._client = client(endpoint, endpoint.url)
        self._signer = client(endpoint, self._public)  # signs only: it never opens a connection
        self._made = False

    async def upload_form(self, key: str, sha256_hex: str, size: int, expires: int = LIFETIME) -> Form | None:
        """See `gateway.objects.Objects`."""
        check_announced(sha256_hex, size)
        if await self.exists(key):
            return None
        await self._ready()
        checksum = base64.b64encode(bytes.fromhex(sha256_hex)).decode()
        fields = {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": checksum, "key": key}
        policy = PostPolicy(self._bucket, self._clock() + timedelta(seconds=expires))
        for name, value in fields.items():
            policy.add_equals_condition(name, value)
        policy.add_content_length_range_condition(size, size)
        return Form(f"{self._public}/{self._bucket}", fields | self._signer.presigned_post_policy(policy))

    async def download_url(self, key: str, expires: int = LIFETIME) -> str:
        """See `gateway.objects.Objects`."""
        check_key(key)
        return self._signer.presigned_get_object(
            self._bucket, key, timedelta(seconds=expires), request_date=self._clock()
        )

    async def exists(self, key: str) -> bool:
        """See `gateway.objects.Objects`."""
        check_key(key)
        try:
            await _threaded(self._client.stat_object, self._bucket, key)
        except KeyError:
            return False
        return True

    async def remove(self, keys: Iterable[str]) -> None:
        """See `gateway.objects.Objects`."""
        with suppress(KeyError):  # not even a bucket
            await _threaded(self._remove, list(keys))

    async def get(self, key: str) -> bytes:
        """See `gateway.objects.Objects`."""
        check_key(key)
        try:
            return await _threaded(self._get, key)
        except KeyError:
            raise Refused(Code.SANDBOX_UNKNOWN, pfn=key) from None

    async def put(self, key: str, data: bytes) -> None:
        """See `gateway.objects.Objects`."""
        check_key(key)
        await self._ready()
        await _threaded(self._client.put_object, self._bucket, key, io.BytesIO(data), len(data))

    async def _ready(self) -> None:
        """Make the bucket, once; a gateway may start before its store does."""
        if not self._made:
            await _threaded(self._make_bucket)
            self._made = True

    def _make_bucket(self) -> None:
        try:
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket)
        except S3Error as error:  # another gateway was faster
            if error.code not in OURS_ALREADY:
                raise

    def _remove(self, keys: list[str]) -> None:
        for key in keys:
            check_key(key)
        for error in self._client.remove_objects(self._bucket, [DeleteObject(key) for key in keys]):
            raise Refused(Code.OBJECTS_REFUSED, reason=error.code)

    def _get(self, key: str) -> bytes:
        response = self._client.get_object(self._bucket, key)
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()


async def _threaded(call: Callable[..., T], *arguments: Any) -> T:
    """Run a call of the synchronous client in a thread; raises KeyError for what is missing, else Refused."""
    try:
        return await asyncio.to_thread(call, *arguments)
    except S3Error as error:
        if error.code in MISSING:
            raise KeyError(error.code) from error
        raise Refused(Code.OBJECTS_AWAY if error.code in AWAY else Code.OBJECTS_REFUSED, reason=error.code) from error
    except (urllib3.exceptions.HTTPError, ServerError, InvalidResponseError) as error:
        raise Refused(Code.OBJECTS_AWAY) from error


def client(endpoint: Endpoint, url: str) -> Minio:
    """A client with patience and limits."""
    parts = urlsplit(url)
    pool = urllib3.PoolManager(
        maxsize=16,
        timeout=urllib3.Timeout(connect=5, read=60),
        retries=urllib3.Retry(total=3, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)),
        ssl_context=ssl.create_default_context(),
    )
    client = Minio(
        parts.netloc,
        endpoint.access_key,
        endpoint.secret_key,
        secure=parts.scheme == "https",
        region=endpoint.region,
        http_client=pool,
    )
    client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    return client
