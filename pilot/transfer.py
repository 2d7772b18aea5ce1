"""Files to and from the object store, over signed addresses that carry no credential of ours."""

import hashlib
import os
import threading
import time
import urllib.request
import zlib
from http.client import HTTPException
from typing import Callable, Dict, Iterator, NamedTuple, Optional
from urllib.parse import urljoin
from uuid import uuid4

from pilot.calls import Away, Gateway, Refused
from pilot.log import say

CHUNK = 256 * 1024


class Wrong(Exception):
    """The content is not what was announced (size or checksum)."""


class Patience(NamedTuple):
    """How long a transfer is tried (seconds), and what ends the trying early."""

    seconds: float
    stop: threading.Event


class Sums(NamedTuple):
    """What is known of a content; empty: not known."""

    sha256: str
    adler32: str


def download(
    gateway: Gateway, url: str, target: str, sha256: str, size: Optional[int], patience: Patience, adler32: str = ""
) -> None:
    """Fetch into a file and verify it; tried again while it is away or wrong. Raises Wrong, Away, Refused, OSError."""
    request = urllib.request.Request(urljoin(gateway.url + "/", url))
    _insist("download", gateway, lambda: _fetch(gateway, request, target, Sums(sha256, adler32), size), patience)


def upload(gateway: Gateway, url: str, fields: Dict[str, str], path: str, patience: Patience) -> None:
    """Send a file as the last part of a signed form. Raises Away, Refused, OSError."""
    _insist("upload", gateway, lambda: _send(gateway, urljoin(gateway.url + "/", url), fields, path), patience)


def digest(path: str) -> str:
    """SHA-256 of a file, in hex."""
    summed = hashlib.sha256()
    for chunk in _chunks(path):
        summed.update(chunk)
    return summed.hexdigest()


def _insist(what: str, gateway: Gateway, once: Callable[[], None], patience: Patience) -> None:
    pauses, end, wrong = gateway.pauses(), time.monotonic() + patience.seconds, 0
    while True:
        try:
            return once()
        except (Away, Wrong) as error:
            wrong += isinstance(error, Wrong)
            pause = pauses.next(getattr(error, "retry_after", None))
            say("store-away", call=what, detail=error, pause=round(pause, 2))
            if wrong == 3 or time.monotonic() + pause > end or patience.stop.wait(pause):
                raise


def _fetch(gateway: Gateway, request: urllib.request.Request, target: str, sums: Sums, size: Optional[int]) -> None:
    summed, adler32, count = hashlib.sha256(), 1, 0
    with gateway.open(request, 60.0) as answer, open(target, "wb") as file:
        while True:
            try:
                chunk = answer.read(CHUNK)
            except (OSError, HTTPException) as error:
                raise Away(type(error).__name__)
            if not chunk:
                break
            summed.update(chunk)
            adler32 = zlib.adler32(chunk, adler32)
            count += len(chunk)
            if size is not None and count > size:
                raise Wrong("more than {} bytes".format(size))
            file.write(chunk)
    if size is not None and count != size:
        raise Wrong("{} bytes instead of {}".format(count, size))
    if sums.sha256 and summed.hexdigest() != sums.sha256.lower():
        raise Wrong("sha256 {} instead of {}".format(summed.hexdigest(), sums.sha256))
    if sums.adler32 and not sums.sha256 and adler32 & 0xFFFFFFFF != int(sums.adler32, 16):
        raise Wrong("adler32 {:08x} instead of {}".format(adler32 & 0xFFFFFFFF, sums.adler32))


def _send(gateway: Gateway, url: str, fields: Dict[str, str], path: str) -> None:
    boundary = uuid4().hex
    head = "".join(_part(boundary, name, value) for name, value in fields.items())
    head += _part(boundary, 'file"; filename="sandbox', "")[:-2]
    begin, end = head.encode(), "\r\n--{}--\r\n".format(boundary).encode()
    length = len(begin) + os.path.getsize(path) + len(end)
    headers = {"Content-Type": "multipart/form-data; boundary=" + boundary, "Content-Length": str(length)}
    request = urllib.request.Request(url, _body(begin, path, end), headers, method="POST")
    try:
        with gateway.open(request, 120.0) as answer:
            answer.read()
    except Refused as refused:
        if refused.status == 403 and refused.code == "http":
            raise Away("HTTP 403: the signed address is perhaps too old")
        raise


def _part(boundary: str, name: str, value: str) -> str:
    return '--{}\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'.format(boundary, name, value)


def _body(begin: bytes, path: str, end: bytes) -> Iterator[bytes]:
    yield begin
    for chunk in _chunks(path):
        yield chunk
    yield end


def _chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while True:
            chunk = file.read(CHUNK)
            if not chunk:
                return
            yield chunk
