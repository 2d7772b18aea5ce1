"""The doctor, and what stands in the way of a start: each says what is wrong and how to mend it."""

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from domain.errors import Code, Refused
from infra.app import CORE
from infra.doctor import examine
from infra.settings import Settings, reason, settings
from infra.web import listen


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


class Live(BaseHTTPRequestHandler):
    """What every gateway of ours says to everybody."""

    def do_GET(self) -> None:
        body = b'{"ok":true}' if self.path == "/api/v1/health/live" else b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def alive() -> Iterator[str]:
    """The URL of something that answers as our gateway does."""
    with HTTPServer(("127.0.0.1", 0), Live) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def findings(given: Settings, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    await examine(CORE, given, as_json=True)
    return {found["check"]: found for found in json.loads(capsys.readouterr().out)}


async def test_a_port_of_somebody_else_is_bad(taken: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = (await findings(settings(data=tmp_path, port=taken), capsys))["port"]
    assert found["verdict"] == "bad"
    assert found["what"] == f"the gateway cannot listen on 127.0.0.1:{taken}: Address already in use"
    assert "SPINOR_PORT" in found["next"]


async def test_a_port_where_spinor_answers_is_good(
    alive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = (await findings(settings(data=tmp_path, port=int(alive.rpartition(":")[2])), capsys))["gateway"]
    assert (found["verdict"], found["what"]) == ("good", f"Spinor answers at {alive}")


async def test_servers_that_are_away_are_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    away = settings(data=tmp_path, port=0, bus="amqp://x:y@127.0.0.1:1/", database="postgresql://x@127.0.0.1:1/z")
    found = await findings(away, capsys)
    for check, variable in (("bus", "SPINOR_BUS"), ("database", "SPINOR_DATABASE")):
        assert found[check]["verdict"] == "bad"
        assert "Errno" not in found[check]["what"] and "<" not in found[check]["what"]
        assert variable in found[check]["next"]


def test_a_taken_port_is_refused_with_what_to_do(taken: int, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        listen(settings(data=tmp_path, port=taken))
    assert refusal.value.code is Code.ADDRESS_TAKEN
    assert "spinor status" in refusal.value.next


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("SPINOR_PROT", "did you mean SPINOR_PORT?"),
        ("SPINOR_XYZZY", "there are: SPINOR_ACCESS_SECONDS, "),
    ],
)
def test_a_variable_that_is_not_known_is_told_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(Refused) as refusal:
        settings()
    assert told in refusal.value.what


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        ("<AMQPConnectionError: (111, 'Connection refused')>", "Connection refused"),
        (TimeoutError(), "TimeoutError"),
        ("", ""),
        ("ACCESS_REFUSED - Login was refused", "ACCESS_REFUSED - Login was refused"),
    ],
)
def test_the_reason_of_a_fault_is_words(fault: BaseException | str, told: str) -> None:
    assert reason(fault) == told


@pytest.mark.parametrize(("free", "verdict"), [(8 << 30, "good"), (1 << 30, "warn"), (1 << 20, "bad")])
async def test_a_full_disk_is_bad(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], free: int, verdict: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    assert (await findings(settings(data=tmp_path, port=0), capsys))["room"]["verdict"] == verdict
