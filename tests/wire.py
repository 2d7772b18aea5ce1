"""HTTP by hand, for tests that must say what no library would say."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx


async def call(app: Any, url: str, body: AsyncIterator[bytes] | None = None) -> tuple[int, int]:
    """Post the body, or get; status and length of the answer, none of which is kept."""
    status = length = 0
    ended = False

    async def receive() -> dict[str, Any]:
        nonlocal ended
        if ended:  # the client waits for its answer
            await asyncio.Event().wait()
        data = await anext(body, None) if body else None
        ended = data is None
        return {"type": "http.request", "body": data or b"", "more_body": not ended}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, length
        status = message.get("status", status)
        length += len(message.get("body", b""))

    await app(scope(url, "POST" if body else "GET"), receive, send)
    return status, length


def scope(url: str, method: str) -> dict[str, Any]:
    path, query = httpx.URL(url).path, httpx.URL(url).query
    return {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query,
            "headers": [(b"content-type", b"multipart/form-data; boundary=b")], "http_version": "1.1",
            "asgi": {"version": "3.0"}, "scheme": "http", "server": ("localhost", 80), "client": None,
            "root_path": "", "extensions": {}}  # fmt: skip


def multipart(fields: dict[str, str]) -> tuple[bytes, bytes]:
    """What stands before and after the bytes of the file."""
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    ]
    last = '--b\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'
    return ("".join(parts) + last).encode(), b"\r\n--b--\r\n"


def http_head(length: int) -> bytes:
    head = f"POST /api/v1/objects HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
    return (head + "Content-Type: multipart/form-data; boundary=b\r\n\r\n").encode()


def http_connection(netloc: str) -> socket.socket:
    host, port = netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def read_all(raw: socket.socket) -> bytes:
    return b"".join(iter(lambda: raw.recv(65536), b""))


def connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
