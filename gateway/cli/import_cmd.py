"""`spinor config import`: a DiracX or DIRAC configuration becomes one of ours, with a report."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import Code, Refused
from domain.tree import Tree
from gateway.cli import cfg, from_dirac, from_diracx
from gateway.cli.commented import parsed, text_of
from gateway.cli.config import Reason, changed
from gateway.cli.ids import Json
from gateway.cli.importing import Source
from gateway.cli.output import as_json, note

BRANCH = "master:default.yml"
Origin = Annotated[str, typer.Argument(metavar="SOURCE", help="a DiracX YAML file or git repository, or a dirac.cfg")]


def add(app: typer.Typer) -> None:
    """The command of this file."""
    app.command("import")(import_)


def import_(
    source: Origin,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="file to write; default: stdout")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="make it the configuration at once")] = False,
    reason: Reason = "", json: Json = False,
) -> None:  # fmt: skip
    """Turn a configuration of DiracX or DIRAC into ours, and tell what was not understood.

    It is only written to a file or stdout, to be looked at: spinor config preview FILE, spinor config apply FILE.

    \b
    Example: spinor config import dirac.cfg --output ours.yml
    """
    from domain.references import contradictions
    from domain.schema import read

    document, found = converted(source)
    read_back = read(document)
    wrong = [*read_back.problems, *contradictions(read_back)]
    told = [each._asdict() for each in found.report()] + [
        {"place": each.field, "problem": f"to be corrected: {each.problem}"} for each in wrong
    ]
    if json:
        as_json({"document": document, "report": told})
    elif output is not None:
        output.write_text(text_of(document))
    elif not apply:
        sys.stdout.write(text_of(document))
    if not json:
        for each in told:
            note(f"{each['place']}: {each['problem']}")
        note(f"{len(told)} to look at" if told else "everything was understood")
    if apply:
        changed({"value": document}, reason or f"imported from {Path(source).name}", json)


def converted(name: str) -> tuple[Tree, Source]:
    """Our document from a foreign one, by what it looks like."""
    path = Path(name)
    text = _from_repository(path) if path.is_dir() else _text(path)
    if path.suffix == ".cfg":
        return from_dirac.converted(cfg.parse(text, path.name))
    tree: Any = parsed(text, path.name)
    if not isinstance(tree, dict):
        raise Refused(Code.MALFORMED, problem=f"{path.name}: expected sections")
    return from_diracx.converted(tree)


def _from_repository(path: Path) -> str:
    """The file in a working copy, else the one of the branch in a bare repository."""
    if (plain := path / "default.yml").exists():
        return _text(plain)
    try:
        command = ["git", "-C", str(path), "show", BRANCH]
        found = subprocess.run(command, capture_output=True, check=True, timeout=60)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        raise Refused(Code.FILE, path=str(path), problem=f"there is no {BRANCH} in a git repository") from None
    return found.stdout.decode()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        raise Refused(Code.FILE, path=str(path), problem="it is no text") from None
    except OSError as fault:
        raise Refused(Code.FILE, path=str(path), problem=fault.strerror or str(fault)) from None
