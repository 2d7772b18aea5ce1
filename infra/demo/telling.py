"""How the demonstration looks: its titles, the peak, the advice, as wide as the terminal is."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from gateway.cli.history import story
from gateway.cli.output import called

BAR = re.compile(r"(.*?)(█*)([▏▎▍▌▋▊▉]?)")
EIGHTHS = " ▏▎▍▌▋▊▉"


def title(console: Console, text: str) -> None:
    """What the next lines are about."""
    console.print(Text(f"\n{text}", style="bold"))


def indented(console: Console, text: str) -> None:
    """A paragraph of somebody's words, two cells in."""
    console.print(Padding(Text(text), (0, 0, 0, 2)))


def histogram(console: Console, text: str) -> None:
    """A drawn histogram; its bars are shortened where they do not fit."""
    console.print(Text(squeezed(text, console.width)))


def timeline(console: Console, lines: Sequence[Mapping[str, Any]]) -> None:
    """What happened, line by line."""
    for line in story(lines, console.width - 2, fine=True):
        console.print(Text("  ") + line, soft_wrap=True)


def advice(console: Console, lines: Iterable[tuple[str, str]]) -> None:
    """Commands, and what each is good for."""
    told = [(called(command), use) for command, use in lines]
    widest = max(len(command) for command, _ in told)
    beside = all(widest + len(use) + 4 < console.width for _, use in told)
    for command, use in told:
        line = Text(f"  {command:<{widest}}  " if beside else "  ").append(use if beside else f"# {use}", "dim")
        console.print(line if beside else line.append(f"\n  {command}", "not dim"), soft_wrap=True)


def squeezed(text: str, width: int) -> str:
    """Lines that end in a bar, drawn shorter by a common factor so that all fit."""
    lines = [found.groups() if (found := BAR.fullmatch(line)) else (line, "", "") for line in text.splitlines()]
    bars = [len(full) + EIGHTHS.index(part or " ") / 8 for _, full, part in lines]
    room = width - max((len(head) for (head, *_), bar in zip(lines, bars, strict=True) if bar), default=0) - 1
    factor = min(1.0, max(room, 1) / max([*bars, 1e-9]))
    return "\n".join(head + _bar(bar * factor) for (head, *_), bar in zip(lines, bars, strict=True))


def _bar(length: float) -> str:
    eighths = round(length * 8)
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
