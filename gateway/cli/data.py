"""What there is to know of files: `data ls`, `replicas`, `history`, `usage`, `elements`; and to register them."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer

from gateway.cli.ids import Json
from gateway.cli.lfns import AT_ONCE, ROUTE, Lfns, expanded, files_in, parts, report, words
from gateway.cli.output import Column, as_json, json_lines, note, out, progress, table
from gateway.cli.session import Session, connected
from gateway.cli.text import ago, moment

FILES = (
    Column("mode"), Column("owner_group", "group", rank=2), Column("size"), Column("created_at", "made", 1, ago),
    Column("adler32", rank=3), Column("name"),
)  # fmt: skip
REPLICAS = (
    Column("lfn"), Column("se", "storage element"), Column("state"), Column("since", rank=2, show=ago),
    Column("reason", rank=1),
)  # fmt: skip
Path = Annotated[str, typer.Argument(metavar="PATH", help="a directory or a file; empty: that of your VO")]


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command("ls")(list_files)
    for command in (replicas, register, mkdir, history, usage, elements, quota):
        app.command()(command)


def list_files(
    path: Path = "",
    long: Annotated[bool, typer.Option("--long", "-l", help="sizes, groups, times")] = False,
    directory: Annotated[bool, typer.Option("--directory", "-d", help="the directory itself")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="all files below")] = False,
    json: Json = False,
) -> None:
    """List a directory: names that other commands take, one a line. With --json: one object a line.

    \b
    Example: spinor data ls -l /demo/user/ann
    """
    with connected() as session:
        if any(sign in path for sign in "*?["):
            lfns = expanded(session, [path])
            entries = iter(_looked_up(session, lfns))
        elif directory:
            entries = iter([session.get(f"{ROUTE}/list", path=path, limit=1)["directory"]])
        elif recursive:
            entries = files_in(session, path, recursive=True)
        else:
            entries = _entries(session, path)
        _shown(entries, long or directory, json)


def _entries(session: Session, path: str) -> Iterator[dict[str, Any]]:
    first = session.get(f"{ROUTE}/list", path=path)
    yield from first["directories"]
    yield from first["files"]
    after = first["next"]
    while after is not None:
        page = session.get(f"{ROUTE}/list", path=path, after=after)
        yield from page["files"]
        after = page["next"]


def _shown(entries: Iterator[dict[str, Any]], long: bool, json: bool) -> None:
    if json:
        json_lines(entries)
    elif long:
        table([_long(entry) for entry in entries], FILES)
    else:
        for entry in entries:
            out(entry["lfn"] if "lfn" in entry else f"{entry['path']}/")


def _long(entry: dict[str, Any]) -> dict[str, Any]:
    is_file = "lfn" in entry
    mode = "-" if is_file else "d" + _letters(entry["mode"])
    return entry | {"mode": mode, "name": entry["lfn"] if is_file else f"{entry['path']}/"}


def _letters(mode: int) -> str:
    return "".join(letter if mode >> (8 - n) & 1 else "-" for n, letter in enumerate("rwxrwxrwx"))


def _looked_up(session: Session, lfns: list[str]) -> list[dict[str, Any]]:
    """Files with their replicas, in order; those that cannot be had with their error."""
    found: list[dict[str, Any]] = []
    for part in parts(lfns):
        answer = session.post(f"{ROUTE}/lookup", {"lfns": part})["files"]
        found += [{"lfn": lfn} | answer[lfn] for lfn in part]
    return found


def replicas(lfns: Lfns, json: Json = False) -> None:
    """Show on which storage elements files lie, and whether they can be relied on there.

    \b
    Example: spinor data replicas /demo/user/ann/raw.dst
    """
    with connected() as session:
        found = _looked_up(session, expanded(session, lfns))
    good = [file for file in found if "error" not in file]
    if json:
        json_lines(found)
        return
    if good:
        table([{"lfn": file["lfn"]} | each for file in good for each in file["replicas"]], REPLICAS)
    if bad := [file for file in found if "error" in file]:
        report(bad, json)


def register(
    file: Annotated[str, typer.Argument(metavar="FILE", help="one JSON object a line: lfn, size, ses; - is stdin")],
    json: Json = False,
) -> None:
    """Register files that lie on storage elements already, in bulks of 1 000; the same again is no fault.

    Fields: lfn, size, ses (a list), and adler32, md5, sha256, guid, ancestors where they are known.

    \b
    Example: spinor data register files.jsonl
    """
    described = _described(file)
    results: list[dict[str, Any]] = []
    with connected() as session, progress() as bar:
        task = bar.add_task("register", total=len(described))
        for part in parts(described, AT_ONCE):
            results += session.post(f"{ROUTE}/files", {"files": part})["results"]
            bar.update(task, completed=len(results))
    report(results, json)


def _described(name: str) -> list[dict[str, Any]]:
    with sys.stdin.buffer if name == "-" else open(name, "rb") as file:
        lines = [(number, line) for number, line in enumerate(file, 1) if line.strip()]
    found = []
    for number, line in lines:
        try:
            found.append(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.MsgspecError as fault:
            raise typer.BadParameter(f"line {number}: {fault}") from None
    return found


def mkdir(
    paths: Lfns,
    mode: Annotated[str, typer.Option(help="who may do what, as octal number")] = "775",
    json: Json = False,
) -> None:
    """Make directories, with all they are in.

    \b
    Example: spinor data mkdir /demo/user/ann/results
    """
    try:
        number = int(mode, 8)
    except ValueError:
        raise typer.BadParameter(f"{mode!r} is no octal number, expected one like 775") from None
    results: list[dict[str, Any]] = []
    with connected() as session:
        for part in parts(words(paths)):
            results += session.post(f"{ROUTE}/directories", {"paths": part, "mode": number})["results"]
    report(results, json, "path")


def history(path: Annotated[str, typer.Argument(metavar="PATH")], json: Json = False) -> None:
    """Tell everything that happened to a file or directory, a sentence each.

    \b
    Example: spinor data history /demo/user/ann/raw.dst
    """
    with connected() as session:
        lines = session.get(f"{ROUTE}/history", path=path)["lines"]
    if json:
        json_lines(lines)
        return
    for line in lines:
        out(f"{moment(line['at'])}  {line['actor']}: {line['what']}")


def usage(
    path: Annotated[str, typer.Argument(metavar="PATH", help="what a directory holds; empty: by group")] = "",
    by: Annotated[str, typer.Option(help="some of owner, owner_group, se")] = "owner_group,se",
    json: Json = False,
) -> None:
    """Show how many files and bytes there are, by group and storage element or in a directory, and the quotas.

    \b
    Example: spinor data usage /demo/user
    """
    with connected() as session:
        answer = session.get(f"{ROUTE}/usage/directory", path=path) if path else session.get(f"{ROUTE}/usage", by=by)
        limits = [] if path else session.get(f"{ROUTE}/quotas")["quotas"]
    if json:
        as_json(answer | ({} if path else {"quotas": limits}))
        return
    names = ["se"] if path else answer["by"]
    table(answer["usage"], [Column(name) for name in (*names, "files", "bytes")])
    if limits:
        note("quotas:")
        table(limits, [Column(name) for name in ("scope", "name", "most_files", "most_bytes")])


def elements(json: Json = False) -> None:
    """List the storage elements of your VO, and what is not possible there now.

    \b
    Example: spinor data elements
    """
    with connected() as session:
        rows = session.get(f"{ROUTE}/elements")["elements"]
    if json:
        json_lines(rows)
    else:
        table(rows, [Column(name) for name in ("name", "kind", "sites", "refuses")])


def quota(
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help="vo, group or owner")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
    most_bytes: Annotated[int | None, typer.Option("--bytes", min=0, help="bytes at most; left out: no limit")] = None,
    most_files: Annotated[int | None, typer.Option("--files", min=0, help="files at most; left out: no limit")] = None,
    json: Json = False,
) -> None:
    """Limit what a VO, a group or an owner may have; without limits: lift it. For operators.

    \b
    Example: spinor data quota group users --bytes 1000000000000
    """
    limits = {"scope": scope, "name": name, "most_bytes": most_bytes, "most_files": most_files}
    with connected() as session:
        answer = session.post(f"{ROUTE}/quotas", limits)
    as_json(answer) if json else out(f"{scope} {name}")
