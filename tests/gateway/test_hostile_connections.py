"""Strangers without a token: connections that never become requests, and bodies that never end, are let go."""

import asyncio
from collections.abc import Iterable

import pytest
from gateway_site import Site

PART = b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\n\r\n'
FORM = b"POST /api/v1/objects HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
FORM += b"Content-Type: multipart/form-data; boundary=B\r\n\r\n"
TOKEN = b"POST /api/v1/pilot/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ENOUGH = 40 << 20  # bytes after which a server that still listens would do so for ever
WAIT = 20.0


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def sent(site: Site, begin: bytes, more: bytes = b"") -> tuple[int, bytes]:
    """How much was taken of a beginning and endless repetitions of `more`, and the first line of the answer."""
    host, _, port = site.work.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    taken, answer = len(begin), b""
    try:
        async with asyncio.timeout(WAIT):
            writer.write(begin)
            while more and taken < ENOUGH and not reader.at_eof() and not reader._buffer:  # type: ignore[attr-defined]
                writer.write(more)
                taken += len(more)
                await writer.drain()
                await asyncio.sleep(0)
            answer = await reader.read(2000)
    except ConnectionError:
        pass
    finally:
        writer.close()
    return taken, answer.partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"A: aaaaaaaaaaaaaaaa\r\n" * 1000),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: ", b"a" * 20_000),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a" * 20_000),
        (b"GET /", b"a" * 20_000),
        (TOKEN + b"Transfer-Encoding: chunked\r\n\r\n5;", b"a" * 20_000),
        (TOKEN + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: aaaaaaaaaaaaaaaa\r\n" * 1000),
        (TOKEN + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: ", b"a" * 20_000),
        (TOKEN + b"Content-Length: 1000000000\r\n\r\n", b"a" * 200_000),
        (TOKEN + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"a" * 200_000)),
        (FORM, chunk(PART % b"" * 1000)),
        (FORM, chunk(b"a" * 20_000)),
        (FORM + chunk(b"--B\r\nA: "), chunk(b"a" * 20_000)),
        (FORM + chunk(PART.removesuffix(b"\r\n") % b"x"), chunk(b"a" * 20_000)),
    ],
    ids=[
        "headers", "header", "header-name", "address", "chunk-extension", "trailers", "trailer", "announced", "chunked",
        "parts", "preamble", "part-header", "field",
    ],
)  # fmt: skip
async def test_what_has_no_end_is_not_taken_without_end(site: Site, begin: bytes, more: bytes) -> None:
    taken, _ = await sent(site, begin, more)
    assert taken < ENOUGH


def many(names: Iterable[bytes]) -> bytes:
    return chunk(b"".join(PART % name for name in names))


async def test_a_form_of_very_many_parts_is_refused(site: Site) -> None:
    names = (b"%x" % number for number in range(5000))
    _, answer = await sent(site, FORM + many(names))
    assert answer.startswith(b"HTTP/1.1 422 ")


@pytest.mark.parametrize("begin", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_who_does_not_say_what_he_wants_is_let_go(
    site: Site, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr("infra.guarded.PATIENCE", 0.3)
    assert await sent(site, begin) == (len(begin), b"")


async def test_a_second_request_on_a_connection_has_no_more_time_than_the_first(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.guarded.PATIENCE", 0.3)
    host, _, port = site.work.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.readuntil(b'{"ok":true}')
    writer.write(b"GET / HT")
    async with asyncio.timeout(WAIT):
        assert await reader.read() == b""
    writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.edge.PATIENCE", 0.3)
    _, answer = await sent(site, TOKEN + b"Content-Length: 50\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_slow_answer_is_not_a_slow_body(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    pilot = await site.pilot()
    monkeypatch.setattr("gateway.edge.PATIENCE", 0.3)
    assert await pilot.offer(wait=1.5) is None
