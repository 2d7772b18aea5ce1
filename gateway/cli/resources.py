"""`resource list|show|ban|allow|…`: which sites, storage elements, nodes may be used, why not, and until when."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from domain.errors import Refused
from domain.resource import Access
from domain.resource import ResourceKind as Kind
from domain.resource import ResourceStatus as Status
from gateway.cli.ids import SOME_FAILED, Json, state
from gateway.cli.output import Column, as_json, json_lines, note, out, table
from gateway.cli.session import connected, refused
from gateway.cli.suspensions import end
from gateway.cli.text import ago, clean, moment

ROUTE = "/api/v1/resources"
AT_ONCE = 1000
COLUMNS = (
    Column("kind"),
    Column("name"),
    Column("access", rank=3),
    Column("status"),
    Column("reason", wrap=True),
    Column("since", rank=1, show=ago),
    Column("until", rank=2, show=lambda text: moment(text or "")),
    Column("author", "by", rank=4),
    Column("vo", rank=5),
)
STORY = (Column("at", "when", show=moment), Column("actor", "who"), Column("what", wrap=True))
Names = Annotated[
    list[str],
    typer.Argument(metavar="NAME", help="site, or KIND:NAME (ce, queue, se, node, pilot); - reads them from stdin"),
]
One = Annotated[str, typer.Argument(metavar="NAME", help="site, or KIND:NAME (ce, queue, se, node, pilot)")]
Reason = Annotated[str, typer.Option(help="told to whoever asks why, and kept")]
Until = Annotated[str, typer.Option(help="2027-01-31T12:00, or 90m, 2h, 7d, 2w from now; default: for good")]
Vo = Annotated[str, typer.Option(help="all: for every VO of the installation; default: yours")]
Accesses = Annotated[str, typer.Option(help="of a storage element: read,write,check,remove; default: all")]


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command("list")(list_resources)
    for command in (show, history, ban, allow, drain, degrade, probe):
        app.command()(command)


def list_resources(
    kind: Annotated[str, typer.Option(help="only these: site, ce, queue, se, node, pilot")] = "",
    status: Annotated[str, typer.Option(help="only these: Active, Degraded, Probing, Draining, Banned, Error")] = "",
    every: Annotated[bool, typer.Option("--all", help="also those that are Active again")] = False,
    ids: Annotated[bool, typer.Option("--ids", help="print only KIND:NAME, one a line")] = False,
    json: Json = False,
) -> None:
    """List what is not as it should be: status, why, since when, until when, by whom.

    \b
    Example: spinor resource list --kind site
             spinor resource list --status Banned --ids | spinor resource probe - --reason "after the downtime"
    """
    with connected() as session:
        rows = session.get(ROUTE, kind=state(kind, Kind), status=state(status, Status), all="true" if every else "")
    found = rows["resources"]
    if ids:
        for name in dict.fromkeys(f"{row['kind']}:{row['name']}" for row in found):
            out(clean(name))
    elif json:
        json_lines(found)
    else:
        table(found, COLUMNS)


def show(name: One, json: Json = False) -> None:
    """Show what is said of a resource, for your VO and for all.

    \b
    Example: spinor resource show LCG.CERN.cern
    """
    kind, name = named(name)
    with connected() as session:
        answer = session.get(f"{ROUTE}/one", kind=kind, name=name)
    if json:
        as_json(answer)
    else:
        table(answer["statuses"], COLUMNS)


def history(name: One, json: Json = False) -> None:
    """Tell everything that was ever said of a resource, by whom and why.

    \b
    Example: spinor resource history se:CERN-DST-EOS
    """
    kind, name = named(name)
    with connected() as session:
        answer = session.get(f"{ROUTE}/history", kind=kind, name=name)
    if json:
        json_lines(answer["lines"])
    else:
        table(answer["lines"], STORY)


def ban(
    names: Names, reason: Reason, until: Until = "", vo: Vo = "", access: Accesses = "", json: Json = False
) -> None:
    """Keep resources from being used: no new jobs, no data.

    \b
    Example: spinor resource ban LCG.CERN.cern --reason "cooling is down" --until 2h
             spinor resource ban se:CERN-DST-EOS --access write --reason "disks are full"
    """
    _say(Status.BANNED, names, reason, until, vo, access, json)


def allow(
    names: Names, reason: Reason, until: Until = "", vo: Vo = "", access: Accesses = "", json: Json = False
) -> None:
    """Let resources be used again.

    \b
    Example: spinor resource allow LCG.CERN.cern --reason "it is cold again"
    """
    _say(Status.ACTIVE, names, reason, until, vo, access, json)


def drain(
    names: Names, reason: Reason, until: Until = "", vo: Vo = "", access: Accesses = "", json: Json = False
) -> None:
    """Let what is there go on, and nothing new begin.

    \b
    Example: spinor resource drain ce:ce12.cern.ch --reason "downtime tomorrow" --until 2027-01-31T12:00
    """
    _say(Status.DRAINING, names, reason, until, vo, access, json)


def degrade(
    names: Names, reason: Reason, until: Until = "", vo: Vo = "", access: Accesses = "", json: Json = False
) -> None:
    """Say that resources have problems, and may be used.

    \b
    Example: spinor resource degrade LCG.CERN.cern --reason "slow network"
    """
    _say(Status.DEGRADED, names, reason, until, vo, access, json)


def probe(
    names: Names, reason: Reason, until: Until = "", vo: Vo = "", access: Accesses = "", json: Json = False
) -> None:
    """Let a few jobs at a time find out whether resources are well again.

    \b
    Example: spinor resource probe LCG.CERN.cern --reason "after the downtime" --until 2h
    """
    _say(Status.PROBING, names, reason, until, vo, access, json)


def named(text: str) -> tuple[str, str]:
    """Kind and name of a resource; without a kind it is a site. Raises typer.BadParameter."""
    kind, colon, name = text.partition(":")
    if colon and kind in tuple(Kind):
        found = kind, name
    else:
        found = Kind.SITE.value, text
    if not found[1]:
        raise typer.BadParameter(f"{clean(text)[:40]!r} names no resource; write a site, or KIND:NAME")
    return found


def _words(given: Iterable[str]) -> Iterator[str]:
    for word in given:
        if word == "-":
            yield from filter(None, map(str.strip, sys.stdin))
        else:
            yield word


def _accesses(text: str) -> list[str]:
    wanted = [word.strip().lower() for word in text.split(",") if word.strip()]
    for word in wanted:
        if word not in tuple(Access):
            raise typer.BadParameter(f"there is no access {clean(word)[:40]!r}; there are: {', '.join(Access)}",
                                     param_hint="--access")  # fmt: skip
    return wanted


def _say(status: Status, given: Sequence[str], reason: str, until: str, vo: str, access: str, json: bool) -> None:
    """Set the status; those of which it was set come out, one a line."""
    resources = [dict(zip(("kind", "name"), named(word), strict=True)) for word in dict.fromkeys(_words(given))]
    if not resources:
        raise typer.BadParameter("no resources came on stdin")
    moment_ = end(until, datetime.now(UTC))
    more = {"status": status.value, "reason": reason, "until": moment_.isoformat() if moment_ else None,
            "access": _accesses(access), "vo": vo}  # fmt: skip
    results: list[dict[str, Any]] = []
    with connected() as session:
        for start in range(0, len(resources), AT_ONCE):
            results += session.post(ROUTE, {"resources": resources[start : start + AT_ONCE]} | more)["resources"]
    for result in results:
        if json:
            as_json(result)
        else:
            _tell(f"{result['kind']}:{result['name']}", refused(result["error"]) if result["error"] else None)
    if bad := sum(bool(result["error"]) for result in results):
        raise typer.Exit(1 if bad == len(results) else SOME_FAILED)


def _tell(name: str, refusal: Refused | None) -> None:
    if refusal:
        note(f"{clean(name)}: {refusal.what}; next: {refusal.next}")
    else:
        out(clean(name))
