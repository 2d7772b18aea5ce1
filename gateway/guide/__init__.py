"""GET /guide: the guide for users and operators, and a page for every code of an error; served as it is, no build."""

from collections.abc import Iterator
from html import escape
from importlib.resources import files
from string import Template
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Path, Response
from markdown_it import MarkdownIt

from domain.errors import Advice, Code, Refused
from domain.taxonomy import kind, retryable
from gateway.page import HEADERS
from gateway.rights import public
from projections.failures import FAILURES

router = APIRouter(prefix="/guide", include_in_schema=False, dependencies=[Depends(public)])
HERE = files("gateway").joinpath("guide")
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
Name = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,64}$")]
PAGES = {  # in the order of the index
    "getting-started": "Getting started",
    "job-descriptions": "Describe a job",
    "jobs": "Look at jobs, and act on them",
    "job-tokens": "What a running job may do",
    "operating": "Serve it to others: TLS, proxies, web applications",
}
ACTS = {"user": "you", "site": "the site's people", "operator": "an operator", "nobody": "nobody"}
MORE = {  # what a few codes need beyond their sentences
    "job-state": "The states and what may follow each are a closed table; the history says how the job came where it "
    "is. A command that asks for what cannot follow changes nothing and is counted.",
    "job-attempt": "Every time a job runs again it is a new attempt with a new number. Commands and reports that name "
    "an attempt never touch a later one.",
    "payload-lost": "Nothing was heard of the program for 75 minutes, and for two hours more after that, while the "
    "gateway could be reached. The job is tried again by itself, three times at most.",
    "waited-too-long": "A job waits 30 days. `spinor job why` names what keeps it from the pilots that were seen, "
    "and what would let it run.",
    "description": "Every wrong field is told at once, by its name. `spinor job plan FILE` says the same without "
    "submitting anything; `spinor job schema` prints all fields.",
}


class Entry(NamedTuple):
    """One code of the taxonomy."""

    code: str
    advice: Advice
    failure: bool

    @property
    def kind(self) -> str:
        """User, site, storage, system or policy."""
        return kind(self.code, self.advice.who).value


def taxonomy() -> dict[str, Entry]:
    """Every code that a refusal or a failed attempt can have."""
    refusals = {code.slug: Entry(code.slug, code.value, False) for code in Code}
    return dict(sorted((refusals | {code: Entry(code, advice, True) for code, advice in FAILURES.items()}).items()))


ENTRIES = taxonomy()
PAGE = Template(HERE.joinpath("page.html").read_text())


@router.get("")
async def index() -> Response:
    """The first page."""
    links = "".join(f"\n- [{title}](/guide/{name})" for name, title in PAGES.items())
    return _page("Guide", HERE.joinpath("index.md").read_text() + links + "\n- [Every error code](/guide/errors)\n")


@router.get("/guide.css")
async def style() -> Response:
    """How the guide looks."""
    return Response(HERE.joinpath("guide.css").read_bytes(), headers=HEADERS, media_type="text/css; charset=utf-8")


@router.get("/errors")
async def errors() -> Response:
    """All codes."""
    rows = "\n".join(
        f"| [`{each.code}`](/guide/errors/{each.code}) | {each.advice.what} | {each.kind} | "
        f"{ACTS[each.advice.who.value]} |"
        for each in ENTRIES.values()
    )
    about = "# Error codes\n\nWhatever goes wrong has one of these codes, here, in answers and in `spinor … --json`.\n"
    return _page("Error codes", f"{about}\n| code | what happened | kind | who acts |\n|---|---|---|---|\n{rows}\n")


@router.get("/errors/{code}")
async def error(code: Name) -> Response:
    """One code; raises Refused(NOT_FOUND)."""
    if code not in ENTRIES:
        raise Refused(Code.NOT_FOUND, thing="error code", name=code)
    return _page(code, "\n".join(_about(ENTRIES[code])))


@router.get("/{name}")
async def page(name: Name) -> Response:
    """A chapter; raises Refused(NOT_FOUND)."""
    if name not in PAGES:
        raise Refused(Code.NOT_FOUND, thing="page of the guide", name=name)
    return _page(PAGES[name], HERE.joinpath(f"{name}.md").read_text())


def _about(entry: Entry) -> Iterator[str]:
    """A code as Markdown; words in braces are filled in where it happens."""
    yield f"# `{entry.code}`\n"
    yield f"**{_sentence(entry.advice.what)}**\n"
    if entry.failure:
        yield "An attempt of a job failed. `spinor job why` says this, and what the pilot said besides.\n"
    if more := MORE.get(entry.code):
        yield f"{more}\n"
    yield "| | |\n|---|---|"
    yield f"| kind | {entry.kind} |"
    yield f"| who must act | {ACTS[entry.advice.who.value]} |"
    again = "it may work another time" if retryable(entry.code) else "the same again will give the same answer"
    yield f"| try again? | {again} |"
    yield f"| next | `{entry.advice.next}` |\n"
    yield "[Every error code](/guide/errors)"


def _sentence(what: str) -> str:
    return what[:1].upper() + what[1:] + "."


def _page(title: str, markdown: str) -> Response:
    text = PAGE.substitute(title=escape(title), content=MARKDOWN.render(markdown))
    return Response(text, headers=HEADERS, media_type="text/html; charset=utf-8")
