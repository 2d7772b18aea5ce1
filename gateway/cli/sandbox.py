"""Moves sandboxes between a user's files and the object store, past the gateway that hands out the addresses."""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx

from domain.errors import Code, Refused
from domain.sandbox import parse_pfn
from gateway.cli.archive import Packed, Unpacked, unpack
from gateway.cli.session import refused

Progress = Callable[[int, int], None]  # bytes moved so far, bytes in all (0 when nobody said)

ROUTE = "/api/jobs/sandbox"
CHUNK = 256 * 1024
PATIENCE = httpx.Timeout(60, connect=10)


def upload(session: httpx.Client, packed: Packed, progress: Progress | None = None) -> str:
    """Upload a packed sandbox and give its pfn; nothing is sent when the store has it already.

    `session` speaks to the gateway and carries the user's token, which the store never sees.
    Raises Refused with the gateway's code, Refused(OBJECTS_AWAY), Refused(OBJECTS_REFUSED), and httpx.TransportError
    when the gateway cannot be reached.
    """
    announced = {"checksum_algorithm": "sha256", "checksum": packed.sha256, "size": packed.size, "format": "tar.bz2"}
    place = _answer(session.post(ROUTE, json=announced))
    if place["url"]:
        _post(place["url"], place["fields"], packed, progress)
    return str(place["pfn"])


def download(session: httpx.Client, pfn: str, to: Path, progress: Progress | None = None) -> Unpacked:
    """Download a sandbox, check it against its name, and unpack it below `to`.

    Raises as `upload`, and Refused(SANDBOX_MISMATCH), and what `gateway.cli.archive.unpack` raises.
    """
    checksum = parse_pfn(pfn).checksum
    url = _answer(session.get(ROUTE, params={"pfn": pfn}))["url"]
    with tempfile.TemporaryFile() as file:
        if _fetch(url, file, progress) != checksum:
            raise Refused(Code.SANDBOX_MISMATCH, property="checksum")
        file.seek(0)
        return unpack(file, to)


class Counted:
    """A file to be sent that tells how far it has been read."""

    def __init__(self, file: IO[bytes], size: int, progress: Progress | None) -> None:
        self._file, self._size, self._progress = file, size, progress
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno

    def read(self, size: int = -1) -> bytes:
        """As of any file."""
        data = self._file.read(size)
        if self._progress and data:
            self._progress(self._file.tell(), self._size)
        return data


def _post(url: str, fields: dict[str, str], packed: Packed, progress: Progress | None) -> None:
    with reaching(), packed.path.open("rb") as file:
        body: Any = Counted(file, os.fstat(file.fileno()).st_size, progress)
        response = httpx.post(url, data=fields, files={"file": ("file", body)}, timeout=PATIENCE)
    if not response.is_success:
        raise _refusal(response)


def _fetch(url: str, file: IO[bytes], progress: Progress | None) -> str:
    """The sha256 of what came, in hex."""
    digest = hashlib.sha256()
    with reaching(), httpx.stream("GET", url, timeout=PATIENCE) as response:
        if not response.is_success:
            response.read()
            raise _refusal(response)
        size = int(response.headers.get("content-length", 0))
        for chunk in response.iter_bytes(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            if progress:
                progress(file.tell(), size)
    return digest.hexdigest()


@contextmanager
def reaching() -> Iterator[None]:
    """A store that cannot be reached is told as that."""
    try:
        yield
    except httpx.TransportError as error:
        raise Refused(Code.OBJECTS_AWAY) from error


def _answer(response: httpx.Response) -> Any:
    if not response.is_success:
        raise _refusal(response)
    return response.json()


def answered(response: httpx.Response) -> None:
    """Raise what a store says when it refuses."""
    if not response.is_success:
        raise _refusal(response)


def _refusal(response: httpx.Response) -> Refused:
    """A problem+json as what it says; anything else (an S3 server's XML) by its code or status."""
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        return refused(response.json())
    named = re.search(r"<Code>(\w+)</Code>", response.text)
    return Refused(Code.OBJECTS_REFUSED, reason=named[1] if named else f"HTTP status {response.status_code}")
