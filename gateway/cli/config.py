"""`spinor config …`: read, change, compare and go back; every change passes the same checks."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import Code, Refused
from gateway.cli.commented import parsed, text_of
from gateway.cli.ids import Json
from gateway.cli.output import Column, as_json, asked, json_lines, note, out, table
from gateway.cli.session import Session, connected
from gateway.cli.text import ago

ROUTE = "/api/v1/config"
Place = Annotated[str, typer.Argument(metavar="SECTION", help="such as /registry/lhcb; default: all")]
Where = Annotated[str, typer.Argument(metavar="PLACE", help="such as /operations/lhcb/times/silent_for")]
File = Annotated[str, typer.Argument(metavar="FILE", help="YAML or JSON; - is stdin")]
Reason = Annotated[str, typer.Option(help="why; kept with the revision")]
Section = Annotated[str, typer.Option(help="the section that the file holds; default: the whole document")]
Expected = Annotated[int | None, typer.Option(min=0, help="revision that must be the newest; default: what is now")]
HISTORY = (
    Column("revision"), Column("at", "when", rank=1, show=ago), Column("author", "by", rank=3), Column("vo", rank=2),
    Column("count", "places", rank=4), Column("reason"), Column("places", "first places", rank=5),
)  # fmt: skip
DIFFERENCES = (Column("place", wrap=True), Column("old"), Column("new"))
EFFECTS = (Column("kind"), Column("vo", rank=2), Column("name"), Column("affected"), Column("why", rank=1, wrap=True))


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    for command in (show, get, set_, unset, edit, apply, preview, history, diff, rollback, schema, health):
        app.command(command.__name__.rstrip("_"))(command)


def show(
    section: Place = "", revision: Annotated[int, typer.Option(min=0, help="0: the newest")] = 0, json: Json = False
) -> None:
    """Show the configuration, or a section of it, as YAML that says what each option means.

    \b
    Example: spinor config show /registry/lhcb > lhcb.yml
    """
    with connected() as session:
        answer = session.get(ROUTE, section=section, revision=revision)
    if json:
        as_json(answer)
        return
    note(f"revision {answer['revision']}, {ago(answer['at'])} ago")
    sys.stdout.write(text_of(answer["value"], section))


def get(place: Where, json: Json = False) -> None:
    """Print one value.

    \b
    Example: spinor config get /operations/lhcb/times/silent_for
    """
    with connected() as session:
        value = session.get(ROUTE, section=place)["value"]
    as_json(value) if json else sys.stdout.write(text_of(value, place))


def set_(
    place: Where, value: Annotated[str, typer.Argument(help="the value, as YAML")], reason: Reason = "",
    json: Json = False,
) -> None:  # fmt: skip
    """Set one value.

    \b
    Example: spinor config set /operations/lhcb/times/silent_for 2h --reason "slow sites"
    """
    changed({"put": {place: parsed(value, "value")}}, reason, json)


def unset(place: Where, reason: Reason = "", json: Json = False) -> None:
    """Take one value or section away; what is below it in Defaults holds again.

    \b
    Example: spinor config unset /operations/lhcb/times/silent_for
    """
    changed({"removed": [place]}, reason, json)


def edit(section: Place = "", reason: Reason = "", json: Json = False) -> None:
    """Change a section in your editor (EDITOR).

    What is refused is not lost: the file stays, and the message says where.

    \b
    Example: EDITOR=nano spinor config edit /registry/lhcb/groups
    """
    with connected() as session:
        answer = session.get(ROUTE, section=section)
    with tempfile.NamedTemporaryFile("w", suffix=".yml", prefix="spinor-config-", delete=False) as file:
        file.write(text_of(answer["value"], section))
    path = Path(file.name)
    _edited(path)
    value = _mapping(parsed(path.read_text(), str(path)), str(path))
    try:
        changed({"section": section, "value": value, "expected": answer["revision"]}, reason, json)
    except Refused:
        note(f"your text is kept in {path}")
        raise
    path.unlink()


def apply(
    file: File, section: Section = "", reason: Reason = "", expected: Expected = None, json: Json = False
) -> None:  # fmt: skip
    """Make a section, or the whole document, what a file says.

    \b
    Example: spinor config apply lhcb.yml --section /registry/lhcb --reason "new groups"
    """
    body: dict[str, Any] = {"section": section, "value": document(file)}
    changed(body | ({} if expected is None else {"expected": expected}), reason, json)


def preview(file: File, section: Section = "", json: Json = False) -> None:
    """Say what a file would change and what that would do, without doing it.

    Jobs that could run nowhere, people who lose a group, pilots and storages that are left without their place.

    \b
    Example: spinor config preview new.yml
    """
    with connected() as session:
        revision = _revision(session)
        body = {"expected": revision, "section": section, "value": document(file)}
        answer = session.post(f"{ROUTE}/preview", body)
    if json:
        as_json(answer)
    else:
        _tell_preview(answer)
    if answer["problems"]:
        raise SystemExit(1)


def _tell_preview(answer: Any) -> None:
    if not answer["changes"]:
        note("nothing would change")
    table(answer["changes"], DIFFERENCES)
    if answer["problems"]:
        note("it would be refused:", style="bold red")
        table(answer["problems"], (Column("field", wrap=True), Column("problem", wrap=True)))
    if answer["effects"]:
        note("it would have these effects:", style="bold")
        table(answer["effects"], EFFECTS)
    elif answer["changes"]:
        note("no job, pilot, person or storage of today would notice")


def history(limit: Annotated[int, typer.Option(min=1, max=1000)] = 20, json: Json = False) -> None:
    """Who changed what, when and why; newest first.

    \b
    Example: spinor config history
    """
    with connected() as session:
        rows = session.get(f"{ROUTE}/history", limit=limit)["revisions"]
    if json:
        json_lines(rows)
        return
    table([row | {"places": " ".join(row["places"][:3])} for row in rows], HISTORY)


def diff(
    old: Annotated[int, typer.Argument(min=0, help="a revision; 0 is the empty document")],
    new: Annotated[int, typer.Argument(min=0, help="another; default: the newest")] = 0, json: Json = False,
) -> None:  # fmt: skip
    """Show what is different between two revisions.

    \b
    Example: spinor config diff 12 14
    """
    with connected() as session:
        answer = session.get(f"{ROUTE}/diff", old=str(old), new=new)
    as_json(answer) if json else table(answer["changes"], DIFFERENCES)


def rollback(
    revision: Annotated[int, typer.Argument(min=1, help="the revision to go back to")],
    section: Annotated[str, typer.Option(help="only this section; default: all")] = "", reason: Reason = "",
    json: Json = False,
) -> None:  # fmt: skip
    """Go back to an earlier revision: a new revision, checked like any other.

    \b
    Example: spinor config rollback 12 --section /registry/lhcb --reason "wrong groups"
    """
    changed({"revision": revision, "section": section}, reason, json, "/rollback")


def schema(json: Json = False) -> None:
    """Print the JSON Schema of the document, for editors.

    \b
    Example: spinor config schema > spinor.schema.json
    """
    with connected() as session:
        as_json(session.get(f"{ROUTE}/schema"))


def health(json: Json = False) -> None:
    """Say whether every section can be read; a broken one stops its own VO only.

    \b
    Example: spinor config health
    """
    with connected() as session:
        answer = session.get(f"{ROUTE}/health")
    if json:
        as_json(answer)
        return
    out(f"revision {answer['revision']}, VOs at work: {', '.join(answer['vos']) or 'none'}")
    rows = [{"vo": vo} | wrong for vo, found in answer["broken"].items() for wrong in found]
    if rows:
        table(rows, (Column("vo"), Column("field", wrap=True), Column("problem", wrap=True)))


def changed(body: dict[str, Any], reason: str, json: bool, route: str = "") -> None:
    """Ask for a change against what is now, and say what became of it."""
    with connected() as session:
        if "expected" not in body:
            body = body | {"expected": _revision(session)}
        try:
            answer = session.post(ROUTE + route, body | {"reason": reason})
        except Refused as refusal:
            tell_all(refusal)
            raise
    if json:
        as_json(answer)
    elif answer["changed"]:
        out(f"revision {answer['revision']}")
        note(*(["changed:", " ".join(answer["places"][:10])] if answer["places"] else ["changed"]))
    else:
        note("nothing to change")


def tell_all(refusal: Refused) -> None:
    """Every problem of a refused change; the refusal itself only tells the first."""
    problems = refusal.parameters.get("problems", [])
    if len(problems) > 1 and not asked.json:
        for each in problems:
            note(f"  {each['field']}: {each['problem']}")


def _revision(session: Session) -> int:
    return int(session.get(f"{ROUTE}/health")["revision"])


def document(file: str) -> dict[str, Any]:
    """The mapping in a file."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as fault:
        raise Refused(Code.FILE, path=file, problem=getattr(fault, "strerror", None) or "it is no text") from None
    return _mapping(parsed(text, file), file)


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(Code.MALFORMED, problem=f"{name}: expected options, each with its name")
    return {str(key): inner for key, inner in value.items()}


def _edited(path: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("vi" if sys.stdin.isatty() else "")
    if not editor:
        raise Refused(Code.SETTING, name="EDITOR", problem="it is not set, and there is no terminal for one")
    try:
        status = subprocess.call([*shlex.split(editor), str(path)])  # noqa: S603
    except OSError as fault:
        raise Refused(Code.FILE, path=editor, problem=fault.strerror or "it does not start") from None
    if status:
        raise Refused(Code.FILE, path=editor, problem=f"it ended with {status}; nothing was changed, see {path}")
