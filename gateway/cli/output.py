"""How the commands print: tables that fit for people, plain lines for pipes, JSON for programs."""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import IO, Any, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from gateway.cli.text import clean, shown, to_json

Row = Mapping[str, Any]
GAP = 2
ACTORS = {"user": "you", "site": "the site", "operator": "the operator", "nobody": "nobody needs to"}
COLOURS = {
    "Done": "green", "Running": "cyan", "Completing": "cyan", "Matched": "blue", "Waiting": "yellow",
    "Stalled": "magenta", "Failed": "red", "Killed": "red", "Aborted": "red", "Submitted": "yellow",
    "Deleted": "bright_black",
}  # fmt: skip


class Column(NamedTuple):
    """A column: the field, its title, how to show it.

    When room is short, columns of the highest `rank` go first (0 stays), as soon as not every column can have the
    `least` number of cells; then the widest give way: they are folded where `wrap` says so, else cut.
    """

    field: str
    title: str = ""
    rank: int = 0
    show: Callable[[Any], str] = shown
    least: int = 16
    wrap: bool = False


class Asked:
    """How the user of this process wants to be answered; set once, when the arguments are read."""

    json = False


asked = Asked()


def out(*parts: str, style: str = "") -> None:
    """One line on stdout."""
    _line(console(sys.stdout), " ".join(parts), style)


def note(*parts: str, style: str = "") -> None:
    """One line on stderr, where it does not disturb a pipe."""
    _line(console(sys.stderr), " ".join(parts), style)


def called(text: str) -> str:
    """Advice with our commands as this user can type them: by the path we were called by, if the shell has no other."""
    program, found = sys.argv[0], shutil.which("spinor")
    if os.path.basename(program) != "spinor" or not os.path.exists(program):
        return text
    if found and os.path.samefile(found, program):
        return text
    shortest = min(program, os.path.relpath(program), key=len)
    return re.sub(r"(?<![\w./-])spinor (?=[a-z])", lambda _: f"{shortest} ", text)


def as_json(value: Any) -> None:
    """One JSON document in one line on stdout."""
    sys.stdout.write(to_json(value) + "\n")


def json_lines(rows: Iterable[Any]) -> None:
    """One JSON document a line."""
    for row in rows:
        as_json(row)
        sys.stdout.flush()


def table(rows: Sequence[Row], columns: Sequence[Column], file: IO[str] | None = None) -> None:
    """Rows below their titles: as wide as the terminal at most, or as wide as they are in a pipe."""
    file = file or sys.stdout
    screen = console(file)
    cells = [[column.title or column.field for column in columns]]
    cells += [[clean(column.show(row.get(column.field))) for column in columns] for row in rows]
    kept, widths = fitted(cells, columns, room(file))
    for number, line in enumerate(cells):
        folded = [
            textwrap.wrap(line[index], width) or [""] if columns[index].wrap else [line[index]]
            for index, width in zip(kept, widths, strict=True)
        ]
        for parts in zip_longest(*folded, fillvalue=""):
            _line(screen, _laid_out(parts, widths, heading=not number))
    if not rows:
        note("(none)")


def fitted(cells: Sequence[Sequence[str]], columns: Sequence[Column], width: int | None) -> tuple[list[int], list[int]]:
    """Which columns to show, and how wide. Columns of high rank are left out first, then the widest give way."""
    natural = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    kept = list(range(len(natural)))
    if width is None:
        return kept, natural

    def needed(widths: Sequence[int]) -> int:
        return sum(widths) + GAP * (len(widths) - 1)

    while len(kept) > 1 and needed([min(natural[index], columns[index].least) for index in kept]) > width:
        worst = max(kept, key=lambda index: (columns[index].rank, index))
        if not columns[worst].rank:
            break
        kept.remove(worst)
    widths = [natural[index] for index in kept]
    while needed(widths) > width and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    return kept, widths


def _laid_out(cells: Sequence[str], widths: Sequence[int], heading: bool) -> Text:
    text = Text()
    for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        last = place == len(cells) - 1
        text.append(_cut(cell, width, last), "bold" if heading else COLOURS.get(cell, ""))
        text.append("" if last else " " * GAP)
    return text


def facts(row: Row, names: Mapping[str, str] | None = None) -> None:
    """One thing as `name  value` lines; empty values are left out, `names` gives titles and the order to begin with."""
    names = names or {}
    order = [*(name for name in names if name in row), *(name for name in row if name not in names)]
    lines = [(names.get(name, name.replace("_", " ")), shown(row[name])) for name in order]
    lines = [(name, value) for name, value in lines if value]
    width = max((cell_len(clean(name)) for name, _ in lines), default=0)
    screen = console(sys.stdout)
    for name, value in lines:
        text = Text(set_cell_size(clean(name), width), "bold").append(" " * GAP)
        _line(screen, text.append(clean(value), COLOURS.get(value, "not bold")))


def console(file: IO[str]) -> Console:
    """A console that never reads markup into what it is given; colours only on a terminal without NO_COLOR."""
    return Console(file=file, markup=False, highlight=False, emoji=False, soft_wrap=True)


def room(file: IO[str]) -> int | None:
    """How wide a table may be; None for a file or pipe, unless COLUMNS says otherwise."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    return console(file).width if file.isatty() else None


def progress() -> Progress:
    """A bar for bytes on stderr, which is only there on a terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(),
        console=console(sys.stderr), transient=True, disable=not sys.stderr.isatty(),
    )  # fmt: skip


def counting() -> Progress:
    """A bar for jobs on stderr, which is only there on a terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        console=console(sys.stderr), transient=True, disable=not sys.stderr.isatty(),
    )  # fmt: skip


def _cut(text: str, width: int, last: bool) -> str:
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + "…"
    return text if last else set_cell_size(text, width)


def _line(screen: Console, text: str | Text, style: str = "") -> None:
    screen.print(Text(clean(text), style) if isinstance(text, str) else text, soft_wrap=True)
