"""What holds for every route: one rule, one form of refusal, limits, ids to trace by."""

from collections.abc import AsyncIterator, Iterator
from inspect import iscoroutinefunction
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import iter_route_contexts

from domain.errors import Code, Refused
from domain.schema import Configuration
from gateway import app as gateway
from gateway.edge import MIB
from gateway.errors import STATUS, explained
from gateway.objects import routes
from gateway.ports import Principal
from gateway.rights import administrator, public, user, walk

broken = APIRouter(prefix="/broken", dependencies=[Depends(public)])


@broken.get("/fault")
async def fault() -> None:
    raise RuntimeError("the secret is 4711")


@broken.get("/refused/{code}")
async def refused(code: str) -> None:
    raise Refused(Code[code], job=1, status="Done", verb="kill")


@broken.post("/echo")
async def echo(body: dict[str, int]) -> dict[str, int]:
    return body


class Nowhere:
    """A world that knows one token."""

    def verify(self, token: str) -> Principal:
        if token != "good":
            raise Refused(Code.NO_TOKEN)
        return Principal("user", "s1", "lhcb", "ann")

    def suspended(self, vo: str, subject: str = "", group: str = "", *, alone: bool = False) -> None:
        """Nobody is."""

    def configuration(self) -> Configuration:
        return Configuration()


def application() -> FastAPI:
    world: Any = Nowhere()
    store: Any = None
    return gateway.create(world, (*gateway.ROUTERS, broken), routes(store))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert answer.status_code == body["status"]
    assert {"type", "title", "detail", "who", "next"} <= body.keys()
    return answer.status_code, body["code"]


def test_every_route_names_exactly_one_rule() -> None:
    walked = list(walk(application()))
    assert len(walked) > 30
    assert [route for route in walked if len(route.rules) != 1] == []


def test_the_walk_finds_a_route_without_a_rule_and_one_with_two() -> None:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.get("/open")(lambda: None)
    app.get("/twice", dependencies=[Depends(user), Depends(administrator)])(lambda: None)
    app.mount("/mounted", FastAPI())
    assert [len(route.rules) for route in walk(app)] == [0, 2, 0]


def test_no_request_needs_a_thread() -> None:
    """FastAPI runs routes and dependencies that are not async in threads: that cost a fifth of a small request."""

    def called(dependant: Any) -> Iterator[Any]:
        yield dependant.call
        for inner in dependant.dependencies:
            yield from called(inner)

    every = (call for route in iter_route_contexts(application().routes) for call in called(route.dependant))
    blocking = [call for call in every if not any(map(iscoroutinefunction, (call, type(call).__call__)))]
    assert blocking == []


WELL_KNOWN = ("openid-configuration", "jwks.json", "dirac-metadata", "security.txt")
LOGIN = ("device", "device/complete", "device/complete/finished", "authorize", "authorize/complete", "token", "revoke",
         "legacy-exchange")  # fmt: skip


def test_only_few_routes_are_open() -> None:
    open_ = {route.path for route in walk(application()) if route.rules in (("public",), ("signed",))}
    assert {path for path in open_ if not path.startswith("/broken")} == {
        "/",
        "/favicon.ico",
        "/web/{name}",
        "/guide",
        "/guide/guide.css",
        "/guide/errors",
        "/guide/errors/{code}",
        "/guide/{name}",
        "/api/openapi.json",
        "/api/docs",
        "/api/v1/pilot/token",
        "/api/v1/health/live",
        "/api/v1/health/ready",
        *(f"/api/health/{name}" for name in ("live", "ready", "startup")),
        "/api/v1/objects",
        "/api/v1/objects/{key:path}",
        *(f"/.well-known/{name}" for name in WELL_KNOWN),
        *(f"/api/auth/{name}" for name in LOGIN),  # each asks for a code, a secret or a token of its own
    }


def test_every_code_a_route_can_refuse_with_has_a_status_and_reads_well() -> None:
    for code in STATUS:
        assert explained(Refused(code))["code"] == code.slug


async def test_every_protected_route_asks_for_a_token(client: httpx.AsyncClient) -> None:
    for route in walk(application()):
        if route.rules[0] in ("public", "signed"):
            continue
        path = route.path.replace("{job}", "1").replace("{stamp}", "p")
        for token in ({}, {"Authorization": "Bearer bad"}, {"Authorization": "Basic Z29vZA=="}):
            answer = await client.request(route.methods, path, headers=token, json={})
            assert problem(answer) == (401, "no-token"), (route, answer.text)
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_users_token_opens_no_route_of_pilots(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/pilot/hello", json={}, headers={"Authorization": "Bearer good"})
    assert problem(answer) == (403, "forbidden")


async def test_what_the_framework_refuses_has_the_same_form(client: httpx.AsyncClient) -> None:
    assert problem(await client.get("/nowhere")) == (404, "not-found")
    assert problem(await client.put("/api/v1/jobs")) == (405, "method")
    assert problem(await client.post("/broken/echo", json={"a": "text"})) == (422, "malformed")
    assert problem(await client.post("/broken/echo", content=b"{", headers={"content-type": "application/json"})) == (
        422,
        "malformed",
    )


async def test_a_wrong_field_is_named_and_its_value_is_not_repeated(client: httpx.AsyncClient) -> None:
    answer = await client.post("/broken/echo", json={"count": "my password"})
    assert [each["field"] for each in answer.json()["fields"]] == ["count"]
    assert "my password" not in answer.text


async def test_a_fault_is_a_reference_and_never_a_traceback(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await client.get("/broken/fault")
    assert problem(answer) == (500, "broken")
    assert "4711" not in answer.text
    logged = capsys.readouterr()
    assert answer.json()["reference"] in logged.out + logged.err


async def test_a_parameter_called_status_is_kept_beside_the_one_of_http(client: httpx.AsyncClient) -> None:
    answer = await client.get("/broken/refused/JOB_STATE")
    assert (answer.json()["status"], answer.json()["state"]) == (409, "Done")


@pytest.mark.parametrize("code", ["BUS_AWAY", "DATABASE_AWAY"])
async def test_what_is_away_for_a_while_says_when_to_come_again(client: httpx.AsyncClient, code: str) -> None:
    answer = await client.get(f"/broken/refused/{code}")
    assert problem(answer) == (503, code.lower().replace("_", "-"))
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "streamed"])
async def test_a_body_beyond_the_limit_is_refused_before_it_is_read(client: httpx.AsyncClient, chunked: bool) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(40):
            sent += 1
            yield b" " * (MIB // 10)

    headers = {"content-type": "application/json"} | ({} if chunked else {"content-length": str(4 * MIB)})
    answer = await client.post("/broken/echo", content=body(), headers=headers)
    assert problem(answer) == (413, "too-large")
    assert answer.json()["limit"] == MIB
    assert sent < 20


async def test_a_body_within_the_limit_arrives(client: httpx.AsyncClient) -> None:
    content = b'{"a": 1' + b" " * (MIB - 100) + b"}"
    answer = await client.post("/broken/echo", content=content, headers={"content-type": "application/json"})
    assert answer.json() == {"a": 1}


async def test_the_clients_request_id_names_the_request(client: httpx.AsyncClient) -> None:
    first = await client.get("/nowhere", headers={"x-ms-client-request-id": "my request"})
    again = await client.get("/nowhere", headers={"x-ms-client-request-id": "my request"})
    other = await client.get("/nowhere")
    name = "x-ms-client-request-id"
    assert first.headers[name] == again.headers[name] != other.headers[name]


async def test_the_documents_need_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/api/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "/api/v1/jobs/{job}/why" in page.text
    document = (await client.get("/api/openapi.json")).json()
    assert document["paths"]["/api/v1/pilot/offer"]["post"]["x-access"] == "pilot"


@pytest.mark.parametrize("path", ["/broken/fault", "/api/openapi.json", "/nowhere", "/broken/refused/JOB_UNKNOWN"])
async def test_no_answer_is_kept_shown_in_a_frame_or_taken_for_something_else(
    client: httpx.AsyncClient, path: str
) -> None:
    headers = (await client.get(path)).headers
    assert headers.get_list("cache-control") == ["no-store"]
    assert headers.get_list("x-frame-options") == ["DENY"]
    assert headers.get_list("x-content-type-options") == ["nosniff"]


async def test_only_named_origins_may_ask_from_a_browser_and_read_refusals_too() -> None:
    world: Any = Nowhere()
    app = gateway.create(world, gateway.ROUTERS, origins=["https://portal.example.org"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        asks = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
        for origin, status in (("https://portal.example.org", 200), ("https://evil.example.org", 400)):
            preflight = await client.options("/api/v1/jobs", headers=asks | {"Origin": origin})
            refused = await client.get("/api/v1/jobs", headers={"Origin": origin})
            assert (preflight.status_code, refused.status_code) == (status, 401)
            told = refused.headers.get("access-control-allow-origin")
            assert told == (origin if status == 200 else None)
        assert refused.headers["access-control-expose-headers"] == "Content-Range, ETag"
        assert (await client.get("/api/health/live")).json() == {"status": "live"}
