"""`suspend`, `resume`, `suspensions`: who must not go on, why, and until when."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from domain.suspension import Kind, Running
from gateway.cli.ids import Json
from gateway.cli.output import Column, as_json, facts, json_lines, table
from gateway.cli.session import connected
from gateway.cli.text import ago, moment, shown, time_of

ROUTE = "/api/v1/suspensions"
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
COLUMNS = (
    Column("kind"),
    Column("label", "who"),
    Column("reason"),
    Column("since", rank=2, show=ago),
    Column("until", rank=1, show=lambda text: moment(text or "")),
    Column("jobs", "held", rank=3),
    Column("running", "running jobs", rank=4),
    Column("author", "by", rank=5),
)
Name = Annotated[str, typer.Argument(metavar="NAME")]
User = Annotated[str, typer.Argument(metavar="NAME", help="the user's name, or pseudonym")]
Reason = Annotated[str, typer.Option(help="told to whoever is concerned, and kept")]
Until = Annotated[str, typer.Option(help="2027-01-31T12:00, or 90m, 12h, 7d, 2w from now; default: until resumed")]
Runs = Annotated[Running | None, typer.Option(help="what becomes of jobs that run; default: as the VO's policy says")]


def add(app: typer.Typer) -> None:
    """The command that lists."""
    app.command()(suspensions)


def add_suspend(app: typer.Typer) -> None:
    """The commands that suspend."""
    app.command("user")(suspend_user)
    app.command("group")(suspend_group)
    app.command("vo")(suspend_vo)


def add_resume(app: typer.Typer) -> None:
    """The commands that resume."""
    app.command("user")(resume_user)
    app.command("group")(resume_group)
    app.command("vo")(resume_vo)


def suspend_user(name: User, reason: Reason, until: Until = "", running: Runs = None, json: Json = False) -> None:
    """Suspend a user: tokens end, new jobs are refused, jobs that wait are held.

    \b
    Example: spinor suspend user ann --reason "certificate compromised" --until 7d
    """
    _suspend(Kind.USER, name, reason, until, running, json)


def suspend_group(name: Name, reason: Reason, until: Until = "", running: Runs = None, json: Json = False) -> None:
    """Suspend a group: what its members do as members of it.

    \b
    Example: spinor suspend group lhcb_prod --reason "wrong production" --running kill
    """
    _suspend(Kind.GROUP, name, reason, until, running, json)


def suspend_vo(name: Name, reason: Reason, until: Until = "", running: Runs = None, json: Json = False) -> None:
    """Suspend the VO: its managers alone may still come in, to resume it.

    \b
    Example: spinor suspend vo lhcb --reason "security incident"
    """
    _suspend(Kind.VO, name, reason, until, running, json)


def resume_user(name: User, reason: Reason = "", json: Json = False) -> None:
    """Let a user go on; what was held is freed.

    \b
    Example: spinor resume user ann
    """
    _resume(Kind.USER, name, reason, json)


def resume_group(name: Name, reason: Reason = "", json: Json = False) -> None:
    """Let a group go on; what was held is freed.

    \b
    Example: spinor resume group lhcb_prod
    """
    _resume(Kind.GROUP, name, reason, json)


def resume_vo(name: Name, reason: Reason = "", json: Json = False) -> None:
    """Let the VO go on; what was held is freed.

    \b
    Example: spinor resume vo lhcb
    """
    _resume(Kind.VO, name, reason, json)


def suspensions(
    every: Annotated[bool, typer.Option("--all", help="also those that have ended")] = False, json: Json = False
) -> None:
    """List who is suspended in the VO, newest first.

    \b
    Example: spinor suspensions --all
    """
    with connected() as session:
        rows = session.get(ROUTE, all="true" if every else "")["suspensions"]
    if json:
        json_lines(rows)
        return
    ended = (Column("ended_at", "ended", show=lambda text: ago(text) if text else ""),) if every else ()
    table([row | {"label": row["label"] or row["name"]} for row in rows], COLUMNS + ended)


def end(text: str, now: datetime) -> datetime | None:
    """The moment that `--until` names; raises typer.BadParameter."""
    if not text:
        return None
    if length := re.fullmatch(r"(\d{1,5})([mhdw])", text):
        return now + timedelta(**{UNITS[length[2]]: int(length[1])})
    whole = text if "T" in text or " " in text else f"{text}T00:00"
    found = time_of(whole)
    if found is None:
        raise typer.BadParameter(
            f"{text} is no time; write 2027-01-31T12:00, or 90m, 12h, 7d, 2w", param_hint="--until"
        )
    return found if re.search(r"(Z|[+-]\d\d:?\d\d)$", whole) else found.replace(tzinfo=None).astimezone()


def _suspend(kind: Kind, name: str, reason: str, until: str, running: Running | None, json: bool) -> None:
    moment_ = end(until, datetime.now(UTC))
    body = {"kind": kind.value, "name": name, "reason": reason, "until": moment_.isoformat() if moment_ else None,
            "running": running.value if running else None}  # fmt: skip
    _told(ROUTE, body, json)


def _resume(kind: Kind, name: str, reason: str, json: bool) -> None:
    _told(f"{ROUTE}/resume", {"kind": kind.value, "name": name, "reason": reason}, json)


def _told(route: str, body: dict[str, Any], json: bool) -> None:
    with connected() as session:
        answer = session.post(route, body)
    if json:
        as_json(answer)
        return
    told = {name: answer[name] for name in ("kind", "label", "active", "reason", "until", "running", "since", "author")}
    facts({name: shown(value) for name, value in told.items()}, {"label": "who", "active": "suspended"})
