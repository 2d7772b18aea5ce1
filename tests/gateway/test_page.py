"""The page's files: complete, held to a strict policy, and in step with the words of the domain."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from domain.job import Job, Status
from domain.matching import Obstacle
from gateway import app as gateway
from gateway.page import ASSETS, router
from gateway.rights import walk

SCRIPTS = {name: asset.data.decode() for name, asset in ASSETS.items() if name.endswith(".js")}
# What turns text into markup or script; the page has no use for any of it.
SINKS = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|DOMParser|\.href\s*="


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    world: Any = None
    transport = httpx.ASGITransport(gateway.create(world, (router,)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_the_page_and_all_it_refers_to_are_served(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    wanted = {link for link in re.findall(r'(?:href|src)="(/[^"#]+)"', page.text)}
    wanted |= {f"/web/{name}" for text in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', text)}
    assert len(wanted) >= 10
    for link in wanted:
        answer = await client.get(link)
        assert answer.status_code == 200, link
        assert answer.content, link


async def test_every_file_forbids_inline_and_foreign_code(client: httpx.AsyncClient) -> None:
    for path in ("/", *(f"/web/{name}" for name in ASSETS)):
        policy = (await client.get(path)).headers["content-security-policy"]
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
        assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
        assert "unsafe" not in policy


async def test_an_unchanged_file_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/web/main.js")
    again = await client.get("/web/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


@pytest.mark.parametrize("name", ["none.js", "..%2Fpage.py", "%2e%2e/page.py", "__init__.py"])
async def test_nothing_else_is_served(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/web/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_no_script_can_turn_text_into_markup() -> None:
    for name, text in SCRIPTS.items():
        assert not re.findall(SINKS, text), name
    assert re.findall(SINKS, "node.innerHTML = name")


def test_the_markup_holds_no_script_or_style_of_its_own() -> None:
    markup = ASSETS["index.html"].data.decode()
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", markup)


def test_the_page_knows_every_state_every_fact_and_every_obstacle() -> None:
    after = dict(re.findall(r'"(job\.[a-z-]+)": "(\w+)"', SCRIPTS["status.js"]))
    notes = {"job.progressed", "job.described", "job.held", "job.freed", "job.prioritised", "job.vacated", "job.late",
             "job.located"}  # fmt: skip
    assert set(after) == set(Job.events()) - notes - {"job.settled"}  # well or not: only its code says it
    assert set(after.values()) <= set(Status)
    order = re.search(r"ORDER = \[(.*?)\]", SCRIPTS["status.js"], re.DOTALL)
    assert order
    assert set(re.findall(r'"(\w+)"', order[1])) == set(Status) - {""}
    obstacles = re.search(r"OBSTACLES = \{(.*?)\n\};", SCRIPTS["why.js"], re.DOTALL)
    assert obstacles
    assert set(re.findall(r'^  "?([a-z-]+)"?: \[', obstacles[1], re.MULTILINE)) == set(Obstacle)


def test_anybody_may_have_the_page() -> None:
    world: Any = None
    rules = {route.path: route.rules for route in walk(gateway.create(world, (router,)))}
    assert rules["/"] == rules["/web/{name}"] == rules["/favicon.ico"] == ("public",)
