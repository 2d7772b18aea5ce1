"""The doctor, and what stands in the way of a start: each says what is wrong and how to mend it."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import Code, Refused
from infra.app import CORE
from infra.doctor import examine
from infra.postgres import lock
from infra.settings import Settings, reason, settings
from infra.web import listen


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


async def findings(given: Settings, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    await examine(CORE, given, as_json=True)
    return {found["check"]: found for found in json.loads(capsys.readouterr().out)}


async def test_a_port_of_somebody_else_is_bad(taken: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = (await findings(settings(data=tmp_path, port=taken), capsys))["port"]
    assert found["verdict"] == "bad"
    assert found["what"] == f"the gateway cannot listen on 127.0.0.1:{taken}: Address already in use"
    assert "SPINOR_PORT" in found["next"]


async def test_a_port_of_the_running_installation_is_good(
    taken: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "postgres").mkdir()
    held = lock(tmp_path / "postgres")
    try:
        found = (await findings(settings(data=tmp_path, port=taken), capsys))["gateway"]
    finally:
        os.close(held)
    assert (found["verdict"], found["what"]) == ("good", f"process {os.getpid()} listens there, with these data")


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
    ("name", "told"), [("SPINOR_PROT", "did you mean SPINOR_PORT?"), ("SPINOR_XYZZY", "there are: SPINOR_BUS, ")]
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
        ("ACCESS_REFUSED - Login was refused", "ACCESS_REFUSED - Login was refused"),
    ],
)
def test_the_reason_of_a_fault_is_words(fault: BaseException | str, told: str) -> None:
    assert reason(fault) == told
