"""Where the gateway is, whose token goes there, and what happens when it does not answer."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from hosting import hosted
from servers import ports

from domain.errors import Code, Refused
from gateway.cli import session as module
from gateway.cli.session import Session, connected, credentials, refused
from gateway.cli.sse import messages
from gateway.errors import problem

Open = Callable[..., Session]


class Stub:
    """A gateway that answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.answers: list[Response] = []
        self.asked: list[Request] = []
        self.url = ""
        self.app.add_api_route("/{path:path}", self.anything, methods=["GET", "POST"])

    async def anything(self, request: Request) -> Response:
        self.asked.append(request)
        return self.answers.pop(0) if self.answers else JSONResponse({"ok": True})


@pytest.fixture
def stub() -> Iterator[Stub]:
    found = Stub()
    with hosted(lambda url: found.app) as found.url:
        yield found


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens sessions that are closed in the end."""
    with ExitStack() as stack:

        def open_(url: str, token: str = "") -> Session:
            session = Session(url, token)
            stack.enter_context(session.http)
            return session

        yield open_


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SPINOR_URL", "SPINOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPINOR_DATA", str(tmp_path))
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0, 0.0))
    return tmp_path


def kept(data: Path, **more: Any) -> None:
    (data / "credentials.json").write_text(json.dumps({"url": "http://here:1", "token": "kept", **more}))


def test_what_up_wrote_is_used(data: Path) -> None:
    kept(data)
    assert credentials() == ("http://here:1", "kept")


def test_variables_come_before_what_is_kept(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(data)
    monkeypatch.setenv("SPINOR_TOKEN", "given")
    assert credentials() == ("http://here:1", "given")
    monkeypatch.setenv("SPINOR_URL", "http://there:2/")
    assert credentials() == ("http://there:2", "given")


def test_a_kept_token_goes_nowhere_else(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(data)
    monkeypatch.setenv("SPINOR_URL", "http://there:2")
    assert credentials() == ("http://there:2", "")
    monkeypatch.setenv("SPINOR_URL", "http://here:1/")
    assert credentials() == ("http://here:1", "kept")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"token": "x"}'])
def test_without_a_url_nothing_is_asked(data: Path, text: str) -> None:
    (data / "credentials.json").write_text(text)
    with pytest.raises(Refused) as refusal:
        credentials()
    assert refusal.value.code is Code.NO_INSTALLATION
    assert str(data) in refusal.value.what


def test_a_gateway_that_is_not_there_is_named(opened: Open) -> None:
    url = f"http://127.0.0.1:{ports(1)[0]}"
    with pytest.raises(Refused) as refusal:
        opened(url).get("/x")
    assert refusal.value.code is Code.GATEWAY_AWAY
    assert url in refusal.value.what
    assert refusal.value.next == "spinor up"


@pytest.mark.parametrize("url", ["nonsense", "ftp://here", "http://", "http://[::1", "http://here:99999", "http://a b"])
def test_a_url_that_is_none_is_a_refusal_too(url: str, opened: Open) -> None:
    with pytest.raises(Refused) as refusal:
        opened(url).get("/x")
    assert refusal.value.code is Code.GATEWAY_AWAY


def test_a_change_is_tried_again_with_the_same_key(stub: Stub, opened: Open) -> None:
    stub.answers = [problem(Refused(Code.BUS_AWAY)), problem(Refused(Code.DATABASE_AWAY)), JSONResponse({"n": 1})]
    assert opened(stub.url, "secret").post("/x", {"a": 1}) == {"n": 1}
    keys = {request.headers["idempotency-key"] for request in stub.asked}
    assert (len(stub.asked), len(keys)) == (3, 1)
    assert {request.headers["authorization"] for request in stub.asked} == {"Bearer secret"}


def test_two_changes_have_two_keys(stub: Stub, opened: Open) -> None:
    session = opened(stub.url)
    session.post("/x", {})
    session.post("/x", {})
    assert len({request.headers["idempotency-key"] for request in stub.asked}) == 2


def test_after_the_last_try_the_refusal_is_told(stub: Stub, opened: Open) -> None:
    stub.answers = [problem(Refused(Code.DEADLINE, seconds=30)) for _ in range(4)]
    with pytest.raises(Refused) as refusal:
        opened(stub.url).get("/x")
    assert refusal.value.code is Code.DEADLINE
    assert refusal.value.parameters == {"seconds": 30}
    assert len(stub.asked) == 4


def test_a_refusal_is_not_tried_again(stub: Stub, opened: Open) -> None:
    stub.answers = [problem(Refused(Code.JOB_STATE, job=1, status="Done", verb="kill"))]
    with pytest.raises(Refused) as refusal:
        opened(stub.url).get("/x")
    assert refusal.value.what == "job 1 is Done: kill is not possible from there"
    assert len(stub.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [PlainTextResponse("no", 500), JSONResponse([1], 404), JSONResponse({"code": 3}, 400), JSONResponse({}, 418)],
)
def test_something_else_than_a_gateway_is_told_as_that(stub: Stub, answer: Response, opened: Open) -> None:
    stub.answers = [answer]
    with pytest.raises(Refused) as refusal:
        opened(stub.url).get("/x")
    assert refusal.value.code is Code.GATEWAY_AWAY
    assert str(answer.status_code) in refusal.value.what


def test_a_success_that_is_no_json_is_told_as_that(stub: Stub, opened: Open) -> None:
    stub.answers = [PlainTextResponse("<html>")]
    with pytest.raises(Refused) as refusal:
        opened(stub.url).get("/x")
    assert refusal.value.code is Code.GATEWAY_AWAY


def test_a_code_of_a_newer_release_keeps_its_words() -> None:
    found = refused({"code": "not-yet-invented", "detail": "it rained", "next": "take an umbrella", "who": "user"})
    assert (found.what, found.next) == ("it rained", "take an umbrella")


def test_a_session_uses_the_credentials_in_force(stub: Stub, data: Path) -> None:
    kept(data, url=stub.url)
    with connected() as session:
        assert session.get("/x", a="", b=None, c=1) == {"ok": True}
    assert str(stub.asked[0].url).endswith("/x?c=1")
    assert stub.asked[0].headers["authorization"] == "Bearer kept"


def test_a_stream_of_events_is_read_line_by_line() -> None:
    text = ': hello\n\nid: 7\nevent: job.done\ndata: {"a":\ndata: 1}\n\ndata: nonsense\n\nid: 8\ndata:[2]\n\ndata: [3]'
    assert [tuple(each) for each in messages(text.split("\n"))] == [("job.done", "7", {"a": 1}), ("message", "8", [2])]
