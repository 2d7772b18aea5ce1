"""`data check`, `data findings`, `data why`: what storage has against what the catalogue says."""

import time
from typing import Annotated, Any

import typer

from gateway.cli.ids import Json
from gateway.cli.lfns import ROUTE
from gateway.cli.output import Column, as_json, json_lines, note, out, table
from gateway.cli.session import connected
from gateway.cli.text import ago, moment

FINDINGS = (
    Column("kind"), Column("lfn"), Column("se", "storage element", rank=1), Column("since", rank=2, show=ago),
    Column("until", rank=3, show=ago), Column("detail", rank=4),
)  # fmt: skip
LOOK = 0.5  # seconds between two looks at a check


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    for command in (check, findings, why):
        app.command()(command)


def check(
    se: Annotated[str, typer.Argument(metavar="SE")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="below which directory; empty: everything")] = "",
    json: Json = False,
) -> None:
    """Compare what a storage element has with the catalogue, and wait for the end. For who manages the VO's data.

    Exit code 3 when they diverge; each divergence is dated.

    \b
    Example: spinor data check LOCAL-DISK
    """
    with connected() as session:
        id_ = session.post(f"{ROUTE}/elements/{se}/check", {"path": path})["check"]
        row: dict[str, Any] = {"status": "Running"}
        while row["status"] == "Running":
            time.sleep(LOOK)
            row = session.get(f"{ROUTE}/checks/{id_}")
        found = session.get(f"{ROUTE}/findings", se=se)["findings"]
    if json:
        as_json(row | {"open": found})
    else:
        note(f"{row['listed']} files listed, {row['known']} in the catalogue, {row['findings']} new findings")
        note(row["problem"] or "")
        table(found, FINDINGS)
    if row["problem"] or found:
        raise typer.Exit(1 if row["problem"] else 3)


def findings(
    se: Annotated[str, typer.Option(help="only at this storage element")] = "",
    kind: Annotated[str, typer.Option(help="only these: dark, lost, size, unconfirmed")] = "",
    resolved: Annotated[bool, typer.Option("--resolved", help="those that were put right, too")] = False,
    json: Json = False,
) -> None:
    """List where storage and catalogue diverge, and since when. For who manages the VO's data.

    \b
    Example: spinor data findings --kind lost
    """
    with connected() as session:
        rows = session.get(f"{ROUTE}/findings", se=se, kind=kind, resolved=resolved or None)["findings"]
    if json:
        json_lines(rows)
    else:
        table(rows, FINDINGS)


def why(path: Annotated[str, typer.Argument(metavar="LFN")], json: Json = False) -> None:
    """Say whether a file can be used, and if not, what is wrong where, since when, and what to do.

    \b
    Example: spinor data why /demo/user/ann/raw.dst
    """
    with connected() as session:
        answer = session.get(f"{ROUTE}/why", path=path)
    if json:
        as_json(answer)
        return
    if "code" in answer:
        out(f"{path}: {answer['detail']} ({answer['code']}); next: {answer['next']}")
        return
    out(f"{path} is {answer['status']} and can{'' if answer['usable'] else 'not'} be used", style="bold")
    for each in answer["replicas"]:
        reason = f": {each['reason']}" if each["reason"] else ""
        out(f"  {each['se']}: {each['state']} since {moment(each['since'])}{reason}")
        for access, status in each["refuses"].items():
            out(f"    {access}: {status}")
        if finding := each.get("finding"):
            between = " and ".join(moment(finding[name]) for name in ("since", "until") if finding[name])
            out(f"    {finding['kind']}, between {between}" if between else f"    {finding['kind']}")
        if each["next"]:
            out(f"    next: {each['next']}")
