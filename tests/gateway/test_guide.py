"""The guide: every page is there, every code of an error has one, and nothing in it leads nowhere."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from domain.errors import Code, Refused, Who
from domain.taxonomy import KINDS, OF_WHO, PASSING, RETRYABLE, Kind, kind
from gateway import guide
from gateway.cli.main import application
from gateway.errors import problem
from projections.failures import FAILURES


@pytest.fixture
async def reader() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(guide.router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://guide") as client:
        yield client


async def test_every_code_has_a_page_that_says_who_must_act_and_what_next(reader: httpx.AsyncClient) -> None:
    listed = (await reader.get("/guide/errors")).text
    for code, entry in guide.ENTRIES.items():
        page = await reader.get(f"/guide/errors/{code}")
        assert page.status_code == 200
        assert f"<h1><code>{code}</code></h1>" in page.text
        assert f"<td>{guide.ACTS[entry.advice.who.value]}</td>" in page.text
        assert f"/guide/errors/{code}" in listed


def test_the_pages_cover_every_refusal_and_every_failure() -> None:
    assert guide.ENTRIES.keys() == {code.slug for code in Code} | FAILURES.keys()


def test_the_taxonomy_speaks_of_codes_that_exist_and_puts_each_in_one_kind() -> None:
    named = [code for codes in KINDS.values() for code in codes]
    assert len(named) == len(set(named))
    assert {*named, *RETRYABLE, *guide.MORE} <= guide.ENTRIES.keys() | {"suspended"}
    assert PASSING <= FAILURES.keys()
    assert OF_WHO.keys() == set(Who)
    assert (kind("job-state", Who.USER), kind("pilot-lost", Who.SITE), kind("x", Who.USER)) == (
        Kind.POLICY, Kind.SITE, Kind.USER,
    )  # fmt: skip


def test_every_refusal_says_its_kind_and_where_its_page_is() -> None:
    told: Any = problem(Refused(Code.BUSY))
    assert b'"retryable": true' in told.body and b'"class": "system"' in told.body
    assert b'"help": "/guide/errors/busy"' in told.body


async def test_every_link_of_the_guide_leads_somewhere(reader: httpx.AsyncClient) -> None:
    pages = ["/guide", "/guide/errors", *(f"/guide/{name}" for name in guide.PAGES)]
    elsewhere = {"/", "/api/docs", "/web/icon.svg"}
    for page in pages:
        answer = await reader.get(page)
        assert answer.status_code == 200, page
        for link in set(re.findall(r'(?:href|src)="([^"]+)"', answer.text)) - elsewhere:
            assert (await reader.get(link)).status_code == 200, (page, link)


async def test_the_commands_that_the_guide_names_exist(reader: httpx.AsyncClient) -> None:
    import typer

    root: Any = typer.main.get_command(application())
    known = {name for name, group in root.commands.items()}
    jobs = set(root.commands["job"].commands)
    for name in guide.PAGES:
        text = (await reader.get(f"/guide/{name}")).text
        assert set(re.findall(r"spinor job ([a-z-]+)", text)) <= jobs
        assert set(re.findall(r"spinor ([a-z][a-z-]*)", text)) <= known | {"up", "demo", "doctor", "init", "settings"}


@pytest.mark.parametrize("path", ["/guide/nothing", "/guide/errors/nothing", "/guide/..%2fapp", "/guide/index"])
async def test_what_is_no_page_is_not_served(path: str) -> None:
    app = FastAPI()
    app.include_router(guide.router)
    app.add_exception_handler(Refused, refused)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://guide") as client:
        assert (await client.get(path)).status_code in (404, 422)


async def refused(request: Request, refusal: Any) -> Response:
    return problem(refusal)
