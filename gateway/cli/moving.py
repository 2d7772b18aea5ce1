"""`data put` and `data get`: files between this machine and storage elements, checked at both ends; both can go on."""

import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.progress import Progress

from domain.errors import Code, Refused
from gateway.cli.ids import Json, fields
from gateway.cli.lfns import ROUTE, Lfns, expanded, parts, report
from gateway.cli.output import progress
from gateway.cli.sandbox import CHUNK, PATIENCE, Counted, answered, reaching
from gateway.cli.session import Session, connected

AT_ONCE = 100
Row = dict[str, Any]
Moved = Callable[[int], None]


def add(app: typer.Typer) -> None:
    """The commands of this file."""
    for command in (put, get):
        app.command()(command)


def put(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="files of this machine")],
    to: Annotated[str, typer.Option("--to", "-t", help="a directory, or with one file also its whole name")],
    se: Annotated[str, typer.Option("--se", help="storage element; empty: the preferred one")] = "",
    json: Json = False,
) -> None:
    """Upload files and register them. Given again after an interruption, it goes on with what is missing.

    Each file is announced, uploaded past the gateway, read again by the storage element and only then registered.

    \b
    Example: spinor data put raw.dst --to /demo/user/ann/
    """
    sources = _sources(files, to)
    results: list[Row] = []
    with connected() as session, progress() as bar:
        total = sum(path.stat().st_size for path in sources.values())
        task = bar.add_task("put", total=total)
        for part in parts(list(sources), AT_ONCE):
            results += _put(session, {lfn: sources[lfn] for lfn in part}, se, lambda n: bar.advance(task, n))
    report(results, json)


def _sources(files: list[Path], to: str) -> dict[str, Path]:
    """The file behind each name.

    Raises:
        typer.BadParameter: a file is none, or two would have one name.
    """
    to = to.removeprefix("LFN:")
    if len(files) == 1 and not to.endswith("/"):
        names = {to: files[0]}
    else:
        names = {f"{to.rstrip('/')}/{path.name}": path for path in files}
    if len(names) < len(files):
        raise typer.BadParameter("two files have the same name")
    for path in files:
        if not path.is_file():
            raise typer.BadParameter(f"{path} is not a file")
    return names


def _put(session: Session, sources: dict[str, Path], se: str, moved: Moved) -> list[Row]:
    described = [_described(lfn, path) | ({"ses": [se]} if se else {}) for lfn, path in sources.items()]
    places = session.post(f"{ROUTE}/uploads", {"files": described})["results"]
    results: dict[str, Row] = {}
    written = []
    for place in places:
        path = sources[place["lfn"]]
        if not place.get("error") and place["url"]:
            results[place["lfn"]] = _uploaded(place, path, moved)
        else:
            results[place["lfn"]] = place
            moved(path.stat().st_size)
    for place in results.values():
        written += [{"lfn": place["lfn"], "se": place["se"]}] if place.get("url") else []
    if written:
        for result in session.post(f"{ROUTE}/uploads/confirm", {"files": written})["results"]:
            results[result["lfn"]] = result
    return [{name: row[name] for name in ("lfn", "se", "error") if name in row} for row in results.values()]


def _described(lfn: str, path: Path) -> Row:
    size, adler32, sha256 = summed(path)
    return {"lfn": lfn, "size": size, "adler32": adler32, "sha256": sha256}


def summed(path: Path) -> tuple[int, str, str]:
    """Size, adler32 and sha256 of a file."""
    size, adler32, sha256 = 0, 1, hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            adler32 = zlib.adler32(chunk, adler32)
            sha256.update(chunk)
    return size, f"{adler32:08x}", sha256.hexdigest()


def _uploaded(place: Row, path: Path, moved: Moved) -> Row:
    """The place, or the place with its error: one file that fails does not stop the others."""
    last = 0

    def told(done: int, _: int) -> None:
        nonlocal last
        moved(done - last)
        last = done

    try:
        with reaching(), path.open("rb") as file:
            body: Any = Counted(file, os.fstat(file.fileno()).st_size, told)
            response = httpx.post(place["url"], data=place["fields"], files={"file": ("file", body)}, timeout=PATIENCE)
        answered(response)
    except Refused as refusal:
        return {"lfn": place["lfn"], "se": place["se"], "error": fields(refusal)}
    return place


def get(
    lfns: Lfns,
    to: Annotated[Path, typer.Option("--to", "-t", help="directory to put them in")] = Path(),
    se: Annotated[str, typer.Option("--se", help="only from this storage element")] = "",
    json: Json = False,
) -> None:
    """Download files and check them. Given again after an interruption, it goes on where it was.

    \b
    Example: spinor data get '/demo/user/ann/*.dst' --to data/
    """
    results: list[Row] = []
    with connected() as session, progress() as bar:
        names = expanded(session, lfns)
        if len({name.rpartition("/")[2] for name in names}) < len(names):
            raise typer.BadParameter("two files have the same name")
        to.mkdir(parents=True, exist_ok=True)
        task = bar.add_task("get", total=None)
        for part in parts(names, AT_ONCE):
            body = {"lfns": part} | ({"se": se} if se else {})
            for source in session.post(f"{ROUTE}/downloads", body)["results"]:
                results.append(_got(source, to, bar, task))
    report(results, json)


def _got(source: Row, to: Path, bar: Progress, task: Any) -> Row:
    if source.get("error"):
        return source
    path = to / source["lfn"].rpartition("/")[2]
    row: Row = {"lfn": source["lfn"], "path": str(path)}
    if path.exists() and _right(path, source):
        return row
    refusal: Refused | None = None
    for place in source["urls"]:
        try:
            _fetch(place["url"], path, source, lambda n: bar.advance(task, n))
            return row | {"se": place["se"]}
        except Refused as refused:
            refusal = refused
    assert refusal
    return row | {"error": fields(refusal)}


def _fetch(url: str, path: Path, source: Row, moved: Moved) -> None:
    """Fetch into a file beside it, which goes on where it was; it has its name once it is right."""
    part = path.with_name(path.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    have = have if have < source["size"] else 0
    further = {"Range": f"bytes={have}-"} if have else {}  # of an empty file there is no range
    with reaching(), httpx.stream("GET", url, timeout=PATIENCE, headers=further) as response:
        if not response.is_success:
            response.read()
        answered(response)
        with part.open("ab" if have and response.status_code == 206 else "wb") as file:
            for chunk in response.iter_bytes(CHUNK):
                file.write(chunk)
                moved(len(chunk))
    if not _right(part, source):
        part.unlink()
        raise Refused(Code.NOT_STORED, lfn=source["lfn"], se=httpx.URL(url).host, problem="other bytes came")
    part.replace(path)


def _right(path: Path, source: Row) -> bool:
    size, adler32, sha256 = summed(path)
    known = ((source["adler32"], adler32), (source["sha256"], sha256))
    return size == source["size"] and all(not wanted or wanted == found for wanted, found in known)
