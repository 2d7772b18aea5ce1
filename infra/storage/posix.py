"""A storage element that is a directory: files under their logical names, moved by signed forms and URLs."""

import asyncio
import hashlib
import hmac
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlencode

from domain.data.file import Content
from domain.data.names import check_file
from domain.errors import Code, Refused
from gateway.data.places import LIFETIME, PREFIX, Listed
from gateway.objects import Form
from infra.objects.local import gathered, publish

CHUNK = 1 << 20
PART = 1000  # files of a listing at once
ABANDONED = 86_400  # seconds after which an unfinished file belongs to nobody
UNFINISHED = ".unfinished"  # no name of a VO begins with a dot


class PosixStorage:
    """`gateway.data.storage.Storage` and `SignedStorage` over a directory, for one VO."""

    def __init__(
        self, vo: str, name: str, place: Path, key: bytes, url: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._vo, self._name, self._place = vo, name, place
        self._key, self._clock = key, clock
        self._url = f"{url.rstrip('/')}{PREFIX}/{vo}/{name}"
        (place / UNFINISHED).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()

    async def upload_form(self, lfn: str, content: Content, expires: int = LIFETIME) -> Form:
        """See `gateway.data.storage.Storage`."""
        check_file(self._vo, lfn)
        end = str(int(self._clock()) + expires)
        fields = {"lfn": lfn, "sha256": content.sha256, "size": str(content.size), "expires": end}
        return Form(self._url, fields | {"signature": self._sign("upload", *fields.values())})

    async def download_url(self, lfn: str, expires: int = LIFETIME) -> str:
        """See `gateway.data.storage.Storage`."""
        check_file(self._vo, lfn)
        end = str(int(self._clock()) + expires)
        return f"{self._url}{quote(lfn)}?{urlencode({'expires': end, 'signature': self._sign('download', lfn, end)})}"

    async def examine(self, lfn: str) -> Content | None:
        """See `gateway.data.storage.Storage`."""
        path = self._path(lfn)
        try:
            return await asyncio.to_thread(_read, path)
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise self._refused(fault) from fault

    async def fetch(self, lfn: str, path: Path) -> None:
        """See `gateway.data.storage.Storage`."""
        try:
            await asyncio.to_thread(shutil.copyfile, self._path(lfn), path)
        except FileNotFoundError as fault:
            raise Refused(Code.NOT_STORED, se=self._name, lfn=lfn, problem="there is no such file") from fault
        except OSError as fault:
            raise self._refused(fault) from fault

    async def store(self, lfn: str, path: Path) -> None:
        """See `gateway.data.storage.Storage`."""
        part = await asyncio.to_thread(self._unfinished)
        try:
            await asyncio.to_thread(shutil.copyfile, path, part.name)
            await asyncio.to_thread(publish, part, self._path(lfn))
        except OSError as fault:
            raise self._refused(fault) from fault
        finally:
            part.close()
            await asyncio.to_thread(_unlink, [Path(part.name)])

    async def remove(self, lfns: Iterable[str]) -> None:
        """See `gateway.data.storage.Storage`."""
        try:
            await asyncio.to_thread(_unlink, [self._path(lfn) for lfn in lfns])
        except OSError as fault:
            raise self._refused(fault) from fault

    async def listed(self, path: str) -> AsyncIterator[list[Listed]]:
        """See `gateway.data.storage.Storage`."""
        found = self._walk(self._place / path.lstrip("/"))
        while part := await asyncio.to_thread(lambda: list(islice(found, PART))):
            yield part

    async def receive(self, fields: Mapping[str, str], chunks: AsyncIterator[bytes]) -> None:
        """See `gateway.data.storage.SignedStorage`."""
        lfn, sha256, size, end = (fields.get(name, "") for name in ("lfn", "sha256", "size", "expires"))
        self._check(fields.get("signature", ""), "upload", lfn, sha256, size, end)
        part = await asyncio.to_thread(self._unfinished)
        try:
            await self._write(part, chunks, lfn, sha256, int(size))
            await asyncio.to_thread(publish, part, self._path(lfn))
        except OSError as fault:
            raise self._refused(fault) from fault
        finally:
            part.close()
            await asyncio.to_thread(_unlink, [Path(part.name)])

    async def find(self, lfn: str, expires: str, signature: str) -> Path:
        """See `gateway.data.storage.SignedStorage`."""
        self._check(signature, "download", lfn, expires)
        path = self._path(lfn)
        if not await asyncio.to_thread(path.is_file):
            raise Refused(Code.NOT_STORED, se=self._name, lfn=lfn, problem="there is no such file")
        return path

    async def _write(self, part: IO[bytes], chunks: AsyncIterator[bytes], lfn: str, sha256: str, size: int) -> None:
        """Write and check in one pass: too much is refused as soon as it has come, the rest at the end."""
        digest, count = hashlib.sha256(), 0
        async for data in gathered(chunks):
            count += len(data)
            if count > size:
                break
            await asyncio.to_thread(part.write, data)
            await asyncio.to_thread(digest.update, data)
        if count != size:
            problem = f"more than {size} bytes came" if count > size else f"{count} bytes came instead of {size}"
            raise Refused(Code.NOT_STORED, se=self._name, lfn=lfn, problem=problem)
        if not hmac.compare_digest(digest.hexdigest(), sha256):
            raise Refused(Code.NOT_STORED, se=self._name, lfn=lfn, problem="its checksum is another one")

    def _sign(self, *words: str) -> str:
        return hmac.new(self._key, json.dumps([self._vo, self._name, *words]).encode(), hashlib.sha256).hexdigest()

    def _check(self, signature: str, *words: str) -> None:
        """The last word is the time of expiry, believed only once the signature over it is found good."""
        if not hmac.compare_digest(signature.encode(errors="replace"), self._sign(*words).encode()):
            raise Refused(Code.FORBIDDEN, right=f"a valid {words[0]} signature")
        if self._clock() >= int(words[-1]):
            raise Refused(Code.FORBIDDEN, right=f"an {words[0]} signature that has not expired")

    def _path(self, lfn: str) -> Path:
        return self._place / check_file(self._vo, lfn).lstrip("/")

    def _unfinished(self) -> IO[bytes]:
        return tempfile.NamedTemporaryFile(dir=self._place / UNFINISHED, delete=False)

    def _walk(self, top: Path) -> Iterator[Listed]:
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                try:
                    found = path.stat()
                except OSError:  # gone in the meantime, or a link to nowhere
                    continue
                lfn = f"/{path.relative_to(self._place)}".encode(errors="replace").decode()  # names are any bytes here
                yield Listed(lfn, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def _refused(self, fault: OSError) -> Refused:
        return Refused(Code.STORAGE_REFUSED, se=self._name, reason=fault.strerror or type(fault).__name__)

    def _sweep(self) -> None:
        for path in (self._place / UNFINISHED).iterdir():
            if path.stat().st_mtime < self._clock() - ABANDONED:
                path.unlink(missing_ok=True)


def _read(path: Path) -> Content:
    with path.open("rb") as file:
        return summed(iter(lambda: file.read(CHUNK), b""))


def summed(chunks: Iterable[bytes]) -> Content:
    """Size and checksums of what comes."""
    size, adler32, sha256 = 0, 1, hashlib.sha256()
    for chunk in chunks:
        size += len(chunk)
        adler32 = zlib.adler32(chunk, adler32)
        sha256.update(chunk)
    return Content(size, f"{adler32:08x}", sha256=sha256.hexdigest())


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
