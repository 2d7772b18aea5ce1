"""`audit`, `history session`: who logged in, who was refused, what was given out and taken back."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from gateway.cli.history import moment_given, tell
from gateway.cli.ids import Json
from gateway.cli.output import json_lines
from gateway.cli.session import Session, connected

ROUTE = "/api/v1/audit"
HELD = 25  # seconds that the gateway may hold a question
PAGE = 1000
Kind = Annotated[
    Literal["", "logins", "refusals", "tokens", "revocations"],
    typer.Option(help="logins, refusals, tokens or revocations; default: all", show_default=False),
]


def add(app: typer.Typer) -> None:
    """The command that lists."""
    app.command()(audit)


def add_history(app: typer.Typer) -> None:
    """The history of one session."""
    app.command("session")(of_session)


def audit(
    kind: Kind = "",
    user: Annotated[str, typer.Option(help="only what concerns this person: a name or pseudonym")] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help="2026-11-21T09:30, or 09:30 of today")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="as --since")] = "",
    number: Annotated[int, typer.Option("-n", min=1, max=PAGE, help="the newest so many")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until Ctrl-C")] = False,
    json: Json = False,
) -> None:
    """List logins, refusals, tokens and revocations.

    Managers of a VO see those of their VO, others their own.

    \b
    Example: spinor audit --kind refusals --since 09:00
             spinor audit --user ann --follow
    """
    asked = {"kind": kind, "user": user, "since": moment_given(since), "until": moment_given(until), "limit": number}
    with connected() as session:
        for lines in _followed(session, asked) if follow else [session.get(ROUTE, **asked)["lines"]]:
            if lines or not follow:
                json_lines(lines) if json else tell(lines, False)


def of_session(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="its id, as `spinor sessions list` shows it")],
    json: Json = False,
) -> None:
    """Tell the history of a login: who, how, each refresh, its end.

    \b
    Example: spinor history session 0193f8a0-5a2e-7c31-9d0f-3c1e5b7a0000
    """
    with connected() as asking:
        tell(asking.get(f"/api/v1/sessions/{quote(session, safe='')}/history")["lines"], json)


def _followed(session: Session, asked: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """What there is, then whatever comes."""
    answer = session.get(ROUTE, **asked)
    while True:
        yield answer["lines"]
        after = answer["last"] or -1
        answer = session.get(ROUTE, **(asked | {"limit": PAGE, "after": after, "wait": HELD}))
