"""What a benchmark found: one row a figure, and the table of all rows."""

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

COLUMNS = ("name", "value", "unit", "reference", "ratio", "goal", "ok", "spread")


class Row(NamedTuple):
    """One figure, measured several times.

    `references` are the peer's figures of the same run, side by side with `values`, or one required figure. The goal
    is one for the value, or for the ratio of value and reference where `of_ratio`; `at_most` turns it round.
    """

    name: str
    values: Sequence[float]
    unit: str
    references: Sequence[float] = ()
    goal: float = 0.0
    of_ratio: bool = False
    at_most: bool = False

    @property
    def value(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def ratio(self) -> float | None:
        """The median of the ratios, pair by pair where both were measured side by side."""
        if not self.references:
            return None
        references = list(self.references) * (len(self.values) if len(self.references) == 1 else 1)
        return median(value / other for value, other in zip(self.values, references, strict=True))

    @property
    def ok(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        reached = self.ratio if self.of_ratio else self.value
        if not self.goal or reached is None:
            return None
        return reached <= self.goal if self.at_most else reached >= self.goal

    def as_json(self) -> dict[str, Any]:
        """The row as numbers."""
        return {
            "name": self.name, "value": self.value, "unit": self.unit,
            "reference": median(self.references) if self.references else None, "ratio": self.ratio,
            "goal": self.goal or None, "goal_of": "ratio" if self.of_ratio else "value", "at_most": self.at_most,
            "ok": self.ok, "values": list(self.values),
        }  # fmt: skip

    def as_text(self) -> tuple[str, ...]:
        """The row as it is printed."""
        sign = "<=" if self.at_most else ">="
        goal = f"{'ratio ' if self.of_ratio else ''}{sign} {_short(self.goal)}" if self.goal else ""
        reference = _short(median(self.references)) if self.references else ""
        ratio = f"{self.ratio:.2f}" if self.ratio is not None else ""
        ok = {True: "yes", False: "NO", None: ""}[self.ok]
        spread = f"{_short(min(self.values))} … {_short(max(self.values))}" if len(self.values) > 1 else ""
        return (self.name, _short(self.value), self.unit, reference, ratio, goal, ok, spread)


def table(rows: Sequence[Row]) -> str:
    """All rows under each other, in columns."""
    lines = [COLUMNS, *(row.as_text() for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(COLUMNS))]
    rights = {1, 3, 4}
    return "\n".join(
        "  ".join(f"{cell:>{width}}" if n in rights else f"{cell:<{width}}"
                  for n, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in lines
    )  # fmt: skip


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _short(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ") if abs(number) >= 100 else f"{number:.3g}"
