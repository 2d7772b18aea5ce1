"""`login`, `logout`, `whoami`, `sessions`: as whom the commands speak to which gateway, and for how long."""

import time
from typing import Annotated, Any

import typer

from domain.errors import Code, Refused
from gateway.cli import credentials
from gateway.cli.ids import Json
from gateway.cli.output import Column, as_json, asked, facts, note, out, table
from gateway.cli.session import Session, connected, refusal
from gateway.cli.text import ago, clean

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
PAUSE = 2.0  # seconds between two questions whether somebody has logged in
SESSIONS = (
    Column("session"), Column("group"), Column("how"), Column("opened_at", "since", show=ago),
    Column("refreshed_at", "refreshed", show=ago),
    Column("current", "this one", show=lambda here: "*" if here else ""),
)  # fmt: skip
Url = Annotated[str, typer.Option(envvar="SPINOR_URL", help="of the gateway; else the one used last")]


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    for command in (whoami, login, logout):
        app.command()(command)
    group = typer.Typer(help="Where one is logged in.", no_args_is_help=True, rich_markup_mode=None)
    group.command("list")(sessions)
    group.command("end")(end)
    app.add_typer(group, name="sessions")


def whoami(json: Json = False) -> None:
    """Show as whom the commands speak to which gateway.

    \b
    Example: spinor whoami
    """
    with connected() as session:
        answer = {"gateway": session.url} | session.get("/api/v1/whoami")
    if json:
        as_json(answer)
    else:
        facts(answer)


def login(
    vo: Annotated[str, typer.Argument(help="the VO; without it, a token is asked for")] = "",
    group: Annotated[str, typer.Option("--group", "-g", help="a group of the VO; else its default one")] = "",
    prop: Annotated[list[str] | None, typer.Option("--property", help="a property beyond those of the group")] = None,
    url: Url = "",
    token: Annotated[str, typer.Option(envvar="SPINOR_TOKEN", help="keep this one instead; better asked for")] = "",
    json: Json = False,
) -> None:
    """Log in at your organisation, in the browser of any device.

    What the commands of this account need is kept in a file that only it may read, and refreshed as long as the
    login lasts. On a laptop `spinor up` does all this by itself. Without a VO: keep a token that you have.

    \b
    Example: spinor login lhcb --url https://spinor.example.org
             spinor login lhcb --group lhcb_prod
    """
    at = (url or str(credentials.kept().get("url", "")) or typer.prompt("URL of the gateway", err=True)).rstrip("/")
    if vo:
        answer = _logged_in(at, scope(vo, group, prop or ()))
    else:
        answer = _kept(at, token or typer.prompt("Token", hide_input=True, err=True))
    if json:
        as_json(answer)
    else:
        facts({"gateway": at} | answer)


def scope(vo: str, group: str, properties: Any) -> str:
    """What is asked for, as one text."""
    parts = [f"vo:{vo}", *([f"group:{group}"] if group else []), *(f"property:{each}" for each in properties)]
    return " ".join(parts)


def _kept(url: str, token: str) -> dict[str, Any]:
    """Keep a token, if the gateway accepts it."""
    session = Session(url, token)
    with session.http:
        answer: dict[str, Any] = session.get("/api/v1/whoami")
    with credentials.locked():
        credentials.keep({"url": url, "token": token, "vo": answer.get("vo", ""), "name": answer.get("name", "")})
    return answer


def _logged_in(url: str, wanted: str) -> dict[str, Any]:
    session = Session(url, "")
    with session.http:
        asking = {"client_id": credentials.CLIENT, "scope": wanted}
        flow = session.answer("POST", "/api/auth/device", params=asking).json()
        _show(flow)
        tokens = _waited(session, flow)
    mine = Session(url, tokens["access_token"])
    with mine.http:
        answer: dict[str, Any] = mine.get("/api/v1/whoami")
    with credentials.locked():
        credentials.keep(credentials.entry_of(url, tokens, vo=answer["vo"], name=answer["name"]))
    return answer


def _show(flow: dict[str, Any]) -> None:
    """The address as text and as a picture for a telephone, on stderr; nothing is opened by itself."""
    if asked.json:
        note(flow["verification_uri_complete"])
        return
    import io

    import segno

    picture = io.StringIO()
    segno.make(flow["verification_uri_complete"], error="l").terminal(picture, compact=True)
    code = flow["user_code"]
    typer.echo(picture.getvalue(), err=True)
    typer.echo(f"Open {clean(flow['verification_uri_complete'])}", err=True)
    typer.echo(f"or {clean(flow['verification_uri'])} and type {clean(code[:4])}-{clean(code[4:])}", err=True)
    minutes = int(flow["expires_in"]) // 60
    typer.echo(f"waiting for you, for {minutes} minutes (Ctrl-C ends it) …", err=True)


def _waited(session: Session, flow: dict[str, Any]) -> dict[str, Any]:
    """The tokens, as soon as somebody has logged in."""
    end = time.monotonic() + int(flow["expires_in"])
    form = {"grant_type": DEVICE, "client_id": credentials.CLIENT, "device_code": flow["device_code"]}
    while time.monotonic() < end:
        response = session.http.post("/api/auth/token", data=form)
        if response.status_code == 200:
            found: dict[str, Any] = response.json()
            return found
        if response.status_code < 500 and _pending(response.content) is False:
            raise refusal(response)
        time.sleep(PAUSE)
    raise Refused(Code.GRANT, problem="nobody logged in in time", vo="VO")


def _pending(body: bytes) -> bool:
    return b'"authorization_pending"' in body


def logout(url: Url = "", json: Json = False) -> None:
    """End this login, and forget what was kept for it.

    \b
    Example: spinor logout
    """
    entry = credentials.kept(url.rstrip("/"))
    at = str(entry.get("url", "") or url).rstrip("/")
    if not entry:
        raise Refused(Code.NO_INSTALLATION, path=str(credentials.credentials_file()))
    if token := entry.get("refresh"):
        session = Session(at, "")
        with session.http:
            form = {"token": token, "token_type_hint": "refresh_token", "client_id": credentials.CLIENT}
            session.answer("POST", "/api/auth/revoke", data=form)
    with credentials.locked():
        credentials.forget(at)
    if json:
        as_json({"gateway": at, "ended": bool(token)})
    else:
        out(f"logged out of {at}")


def sessions(json: Json = False) -> None:
    """List where one is logged in.

    \b
    Example: spinor sessions list
    """
    with connected() as session:
        rows = session.get("/api/auth/sessions")["sessions"]
    if json:
        as_json(rows)
    else:
        table(rows, SESSIONS)


def end(
    session: Annotated[str, typer.Argument(help="its id; without it: all, this one too")] = "", json: Json = False
) -> None:  # fmt: skip
    """End one login, or all of one's own.

    \b
    Example: spinor sessions end
    """
    with connected() as gateway:
        path = f"/api/auth/refresh-tokens/{session}" if session else "/api/auth/sessions"
        answer = gateway.answer("DELETE", path).json()
    count = answer["ended"] if isinstance(answer, dict) else 1
    if json:
        as_json({"ended": count})
    else:
        out(f"{count} ended; what was given out last works for up to 20 minutes more")
