"""`spinor vo|group|user|site|ce|queue|se add|remove|show|list`: single things of the configuration, by name."""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import typer

from domain.errors import Code, Refused
from domain.tree import pointer
from gateway.cli.commented import is_list, kind_at, parsed, text_of
from gateway.cli.config import ROUTE, Reason, changed
from gateway.cli.ids import Json
from gateway.cli.output import as_json, note, out
from gateway.cli.session import connected

Option = Annotated[
    list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="an option of it; may be given several times")
]
Vo = Annotated[str, typer.Option(help="the VO; default: your own")]


class Thing(NamedTuple):
    """A kind of things: what it is called, the names that lead to one, where it stands, an example, first options."""

    name: str
    about: str
    metavar: tuple[str, ...]
    place: Callable[[str, Sequence[str]], tuple[str, ...]]
    example: str
    options: str
    first: Callable[[str], dict[str, Any]] = lambda name: {}


def _site(vo: str, names: Sequence[str]) -> tuple[str, ...]:
    levels = ("sites", "ces", "queues")
    return ("resources", *(part for pair in zip(levels, names, strict=False) for part in pair))


GROUPS = {"users": {"properties": ["NormalUser"]}, "admins": {"properties": ["NormalUser", "CSAdministrator"]}}
THINGS = (
    Thing("vo", "VOs: their identity provider, groups and people.", ("NAME",), lambda vo, n: ("registry", *n), "lhcb",
          "idp={issuer: 'https://auth.example.org', client_id: spinor}",
          lambda name: {"default_group": "users", "groups": GROUPS}),
    Thing("group", "Groups of a VO, and what their members may do.", ("NAME",),
          lambda vo, n: ("registry", vo, "groups", *n), "prod", "properties=NormalUser,ProductionManagement"),
    Thing("user", "People typed by hand, by the subject their provider gives.", ("SUBJECT",),
          lambda vo, n: ("registry", vo, "users", *n), "b824d4dc", "preferred_username=ann"),
    Thing("site", "Sites.", ("SITE",), _site, "LCG.CERN.cern", "description=CERN"),
    Thing("ce", "Computing elements of a site.", ("SITE", "HOST"), _site, "LCG.CERN.cern ce1.cern.ch",
          "type=HTCondorCE"),
    Thing("se", "Storage elements.", ("NAME",), lambda vo, n: ("resources", "storage_elements", *n), "CERN-disk",
          "backend=disk"),
)  # fmt: skip
QUEUE = Thing("queue", "", ("SITE", "HOST", "QUEUE"), _site, "LCG.CERN.cern ce1.cern.ch long", "max_waiting=20")


def groups() -> list[tuple[str, str, tuple[Callable[[typer.Typer], None], ...]]]:
    """The groups of commands for the main command line."""
    return [(thing.name, thing.about, (_adder(thing),)) for thing in THINGS]


def add_queues(app: typer.Typer) -> None:
    """Queues of computing elements; `queue list` is of the task queues, these are listed by `ce show`."""
    for command, wrote in ((_add(QUEUE), "add"), (_remove(QUEUE), "remove"), (_show(QUEUE), "show")):
        app.command(wrote)(command)


def _adder(thing: Thing) -> Callable[[typer.Typer], None]:
    def add(app: typer.Typer) -> None:
        for name, command in (
            ("add", _add(thing)), ("remove", _remove(thing)), ("show", _show(thing)), ("list", _list(thing)),
        ):  # fmt: skip
            app.command(name)(command)

    return add


def _add(thing: Thing) -> Callable[..., None]:
    def add(names: Any, options: Option = None, vo: Vo = "", reason: Reason = "", json: Json = False) -> None:
        place = _place(thing, names, vo)
        value = {**thing.first(names[-1])}
        for given in options or ():
            name, _, text = given.partition("=")
            value[name.strip()] = _value(text, f"{place}/{name.strip()}")
        with connected() as session:
            there = _there(session, place)
        if there is not None:  # a second time: only what is named changes
            named = [given.partition("=")[0].strip() for given in options or ()]
            put = {f"{place}{pointer(name)}": value[name] for name in named}
        else:
            put = {place: value}
        changed({"put": put}, reason, json)

    return _told(add, thing, f"Add a {thing.name}, or change options of one.", "add", f' --set "{thing.options}"')


def _remove(thing: Thing) -> Callable[..., None]:
    def remove(names: Any, vo: Vo = "", reason: Reason = "", json: Json = False) -> None:
        place = _place(thing, names, vo)
        with connected() as session:
            if _there(session, place) is None:
                raise Refused(Code.NOT_FOUND, thing=thing.name, name=" ".join(names))
        changed({"removed": [place]}, reason, json)

    return _told(remove, thing, f"Remove a {thing.name} with everything in it; see spinor config preview.", "remove")


def _show(thing: Thing) -> Callable[..., None]:
    def show(names: Any, vo: Vo = "", json: Json = False) -> None:
        place = _place(thing, names, vo)
        with connected() as session:
            value = session.get(ROUTE, section=place)["value"]
        as_json(value) if json else sys.stdout.write(text_of(value, place))

    return _told(show, thing, f"Show a {thing.name} as it is written.", "show")


def _list(thing: Thing) -> Callable[..., None]:
    inside = len(thing.metavar) > 1

    def in_site(site: Annotated[str, typer.Argument()], vo: Vo = "", json: Json = False) -> None:
        _listed(pointer(*thing.place(vo, (site,)), "ces"), json)

    def everywhere(vo: Vo = "", json: Json = False) -> None:
        _listed(pointer(*thing.place(_own(vo) if thing.name in ("group", "user") else "", ()), *_level(thing)), json)

    command = in_site if inside else everywhere
    example = f"spinor {thing.name} list" + (f" {thing.example.split()[0]}" if inside else "")
    command.__doc__ = f"List each {thing.name}, one a line.\n\n    \b\n    Example: {example}\n    "
    return command


def _level(thing: Thing) -> tuple[str, ...]:
    return ("sites",) if thing.name == "site" else ()


def _listed(place: str, json: bool) -> None:
    with connected() as session:
        found = _there(session, place) or {}
    if json:
        as_json(found)
    elif not found:
        note("(none)")
    else:
        for name in found:
            out(name)


def _told(command: Callable[..., None], thing: Thing, about: str, verb: str, more: str = "") -> Callable[..., None]:
    """The command with its arguments named, and a text with an example."""
    kind = Annotated[list[str], typer.Argument(metavar=" ".join(thing.metavar), help="names that lead to it")]
    command.__annotations__["names"] = kind
    command.__doc__ = f"{about}\n\n    \b\n    Example: spinor {thing.name} {verb} {thing.example}{more}\n    "
    return command


def _place(thing: Thing, names: Sequence[str], vo: str) -> str:
    if len(names) != len(thing.metavar):
        raise typer.BadParameter(f"expected {' '.join(thing.metavar)}")
    return pointer(*thing.place(_own(vo) if thing.name in ("group", "user") else vo, names))


def _own(vo: str) -> str:
    if vo:
        return vo
    with connected() as session:
        return str(session.get("/api/v1/whoami")["vo"])


def _there(session: Any, place: str) -> Any:
    try:
        return session.get(ROUTE, section=place)["value"]
    except Refused as refusal:
        if refusal.code is Code.NOT_FOUND:
            return None
        raise


def _value(text: str, place: str) -> Any:
    """A value as it was typed; lists may come with commas."""
    value = parsed(text, place)
    if is_list(kind_at(place)) and not isinstance(value, list):
        return [part.strip() for part in str(value).split(",") if part.strip()]
    return value
