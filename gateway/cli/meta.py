"""`data find` and `data meta …`: files by their metadata, and the metadata of files."""

from typing import Annotated, Any

import typer

from gateway.cli.ids import Json
from gateway.cli.lfns import ROUTE, Lfns, expanded, parts, report
from gateway.cli.output import Column, as_json, json_lines, out, table
from gateway.cli.session import connected
from gateway.cli.text import shown

Conditions = Annotated[list[str], typer.Argument(metavar="[PATH] CONDITION…", help="a directory; FIELD OPERATOR VALUE")]


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command()(find)
    group = typer.Typer(help="Metadata of files and directories.", no_args_is_help=True, rich_markup_mode=None)
    for name, command in (("fields", fields), ("declare", declare), ("set", set_values), ("show", show)):
        group.command(name)(command)
    app.add_typer(group, name="meta")


def find(
    conditions: Conditions,
    count: Annotated[bool, typer.Option("--count", help="only how many, and their bytes")] = False,
    json: Json = False,
) -> None:
    """Find files for which all conditions hold; directories give what they have to all below.

    Operators: = != < <= > >= in (values with commas). Besides the declared fields every file has size, created,
    owner, group, name and se. One name a line, for other commands. With --json: one object a line.

    \b
    Example: spinor data find /demo/data 'run = 7' 'energy >= 6.5' 'stream in A,B'
    """
    path = conditions[0] if conditions[0].startswith("/") else ""
    body: dict[str, Any] = {"path": path, "conditions": conditions[1:] if path else conditions}
    with connected() as session:
        if count:
            answer = session.post(f"{ROUTE}/find", body | {"count": True})
            as_json(answer) if json else out(f"{answer['files']} files, {answer['bytes']} bytes")
            return
        after = None
        while True:
            page = session.post(f"{ROUTE}/find", body | {"after": after})
            if json:
                json_lines(page["files"])
            else:
                for file in page["files"]:
                    out(file["lfn"])
            if (after := page["next"]) is None:
                return


def fields(json: Json = False) -> None:
    """List the metadata fields of your VO.

    \b
    Example: spinor data meta fields
    """
    with connected() as session:
        rows = session.get(f"{ROUTE}/fields")["fields"]
    if json:
        json_lines(rows)
    else:
        table(rows, [Column("name"), Column("type"), Column("holder", "of a")])


def declare(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="int, float, string or date")],
    of: Annotated[str, typer.Option(help="directory (all below it inherits) or file")] = "directory",
    json: Json = False,
) -> None:
    """Declare a metadata field, for good. For who manages the VO's data.

    \b
    Example: spinor data meta declare run int
    """
    with connected() as session:
        answer = session.post(f"{ROUTE}/fields", {"name": name, "type": kind, "holder": of})
    as_json(answer) if json else out(name)


def set_values(
    paths: Lfns,
    values: Annotated[list[str], typer.Option("--value", "-v", help="NAME=VALUE; NAME= takes it away")],
    json: Json = False,
) -> None:
    """Describe directories and files.

    \b
    Example: spinor data meta set /demo/data/run7 -v run=7 -v energy=6.5
    """
    given: dict[str, str | None] = {}
    for each in values:
        name, sign, value = each.partition("=")
        if not sign:
            raise typer.BadParameter(f"{each!r}: expected NAME=VALUE")
        given[name.strip()] = value.strip() or None
    results: list[dict[str, Any]] = []
    with connected() as session:
        for part in parts(expanded(session, paths)):
            results += session.post(f"{ROUTE}/describe", {"paths": part, "values": given})["results"]
    report(results, json, "path")


def show(path: Annotated[str, typer.Argument(metavar="PATH")], json: Json = False) -> None:
    """Show the metadata of a file or directory, with what it inherits.

    \b
    Example: spinor data meta show /demo/data/run7/raw.dst
    """
    with connected() as session:
        answer = session.get(f"{ROUTE}/meta", path=path)
    if json:
        as_json(answer)
        return
    rows = [{"field": name, "value": shown(each["value"]), "from": each["from"]}
            for name, each in answer["values"].items()]  # fmt: skip
    table(rows, [Column("field"), Column("value"), Column("from", rank=1)])
