"""The object store of a laptop: files below a directory, moved by signed forms and URLs like those of S3."""

import asyncio
import hashlib
import hmac
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import quote, urlencode

from domain.errors import Code, Refused
from domain.sandbox import check_announced, check_key
from gateway.objects import LIFETIME, PREFIX, Form

GATHERED = 1024 * 1024  # bytes handed to a thread at once: fewer hops, still little memory
ABANDONED = 3600  # seconds after which an unfinished file belongs to nobody


class Announced(NamedTuple):
    """What a checked form says about the bytes to come."""

    key: str
    sha256: str
    size: int


class LocalObjects:
    """`gateway.objects.Objects` and `SignedFiles` over a directory; several processes may share it and the key.

    `base_url` is how clients reach the gateway; `clock` gives seconds since 1970.
    """

    def __init__(
        self, directory: Path, signing_key: bytes, base_url: str, clock: Callable[[], float] = time.time
    ) -> None:
        if len(signing_key) < 32:
            raise Refused(Code.SETTING, name="signing key of the object store", problem="it needs at least 32 bytes")
        self._kept, self._coming = directory / "objects", directory / "unfinished"
        self._signing_key, self._clock = signing_key, clock
        self._url = base_url.rstrip("/") + PREFIX
        for folder in (self._kept, self._coming):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()

    async def upload_form(self, key: str, sha256_hex: str, size: int, expires: int = LIFETIME) -> Form | None:
        """See `gateway.objects.Objects`."""
        check_announced(sha256_hex, size)
        if await self.exists(key):
            return None
        fields = {"key": key, "sha256": sha256_hex, "size": str(size), "expires": self._end(expires)}
        return Form(self._url, fields | {"signature": self._sign("upload", *fields.values())})

    async def download_url(self, key: str, expires: int = LIFETIME) -> str:
        """See `gateway.objects.Objects`."""
        check_key(key)
        end = self._end(expires)
        query = urlencode({"expires": end, "signature": self._sign("download", key, end)})
        return f"{self._url}/{quote(key)}?{query}"

    async def exists(self, key: str) -> bool:
        """See `gateway.objects.Objects`."""
        return await asyncio.to_thread(self._path(key).is_file)

    async def remove(self, keys: Iterable[str]) -> None:
        """See `gateway.objects.Objects`."""
        await asyncio.to_thread(_unlink, [self._path(key) for key in keys])

    async def get(self, key: str) -> bytes:
        """See `gateway.objects.Objects`."""
        try:
            return await asyncio.to_thread(self._path(key).read_bytes)
        except FileNotFoundError:
            raise Refused(Code.SANDBOX_UNKNOWN, pfn=key) from None

    async def put(self, key: str, data: bytes) -> None:
        """See `gateway.objects.Objects`."""
        path = self._path(key)
        await asyncio.to_thread(self._put, path, data)

    async def receive(self, fields: Mapping[str, str], chunks: AsyncIterator[bytes]) -> None:
        """See `gateway.objects.SignedFiles`."""
        announced = self._announced(fields)
        part = await asyncio.to_thread(self._unfinished)
        try:
            await _write(part, chunks, announced)
            await asyncio.to_thread(publish, part, self._path(announced.key))
        finally:
            part.close()
            await asyncio.to_thread(_unlink, [Path(part.name)])

    async def find(self, key: str, expires: str, signature: str) -> Path:
        """See `gateway.objects.SignedFiles`."""
        self._check(signature, "download", key, expires)
        path = self._path(key)
        if not await asyncio.to_thread(path.is_file):
            raise Refused(Code.SANDBOX_UNKNOWN, pfn=key)
        return path

    def _announced(self, fields: Mapping[str, str]) -> Announced:
        key, sha256, size, end = (fields.get(name, "") for name in ("key", "sha256", "size", "expires"))
        self._check(fields.get("signature", ""), "upload", key, sha256, size, end)
        return Announced(key, sha256, int(size))

    def _end(self, expires: int) -> str:
        return str(int(self._clock()) + expires)

    def _sign(self, *words: str) -> str:
        return hmac.new(self._signing_key, json.dumps(words).encode(), hashlib.sha256).hexdigest()

    def _check(self, signature: str, *words: str) -> None:
        """The last word is the time of expiry, believed only once the signature over it is found good."""
        if not hmac.compare_digest(signature.encode(errors="replace"), self._sign(*words).encode()):
            raise Refused(Code.FORBIDDEN, right=f"a valid {words[0]} signature")
        if self._clock() >= int(words[-1]):
            raise Refused(Code.FORBIDDEN, right=f"an {words[0]} signature that has not expired")

    def _path(self, key: str) -> Path:
        check_key(key)
        return self._kept / key

    def _unfinished(self) -> IO[bytes]:
        return tempfile.NamedTemporaryFile(dir=self._coming, delete=False)

    def _put(self, path: Path, data: bytes) -> None:
        with self._unfinished() as part:
            part.write(data)
            publish(part, path)

    def _sweep(self) -> None:
        """Files of uploads that a killed process left behind; younger ones may be another process's."""
        for path in self._coming.iterdir():
            if path.stat().st_mtime < self._clock() - ABANDONED:
                path.unlink(missing_ok=True)


async def _write(part: IO[bytes], chunks: AsyncIterator[bytes], announced: Announced) -> None:
    """Write and check in one pass: too much is refused as soon as it has come, the rest at the end."""
    digest, size = hashlib.sha256(), 0
    async for data in gathered(chunks):
        size += len(data)
        if size > announced.size:
            raise Refused(Code.SANDBOX_TOO_LARGE, size=size, limit=announced.size)
        await asyncio.to_thread(part.write, data)
        await asyncio.to_thread(digest.update, data)
    if size != announced.size:
        raise Refused(Code.SANDBOX_MISMATCH, property="size")
    if not hmac.compare_digest(digest.hexdigest(), announced.sha256):
        raise Refused(Code.SANDBOX_MISMATCH, property="checksum")


async def gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in larger parts."""
    gathered = bytearray()
    async for chunk in chunks:
        gathered += chunk
        if len(gathered) >= GATHERED:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def publish(part: IO[bytes], path: Path) -> None:
    """On disk first, then visible under its name, in one step; whoever comes second replaces equal with equal."""
    part.flush()
    os.fsync(part.fileno())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    Path(part.name).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
