"""Draw the di-muon spectrum as one SVG file: points, fitted curve and pulls, readable on light and dark pages.

Stands beside merge.py in the sandbox of its job. Standard library of Python 3.6 and later.
"""

import math
from html import escape
from typing import NamedTuple

STYLE = """
 .dimuon { font-family: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; }
 .dimuon text { fill: #5b6675; font-size: 15px; font-variant-numeric: tabular-nums; }
 .dimuon .title { fill: #161b22; font-size: 24px; font-weight: 650; }
 .dimuon .value { fill: #2456d6; font-size: 30px; font-weight: 650; }
 .dimuon .card { fill: #ffffff; } .dimuon .grid { stroke: #e9edf2; } .dimuon .axis { stroke: #9aa5b3; fill: none; }
 .dimuon .curve { stroke: #2456d6; stroke-width: 2.5; fill: none; stroke-linejoin: round; }
 .dimuon .area { fill: #2456d6; fill-opacity: .09; } .dimuon .flat { fill: #8c98a8; fill-opacity: .45; }
 .dimuon .mark { stroke: #2456d6; stroke-dasharray: 2 5; stroke-linecap: round; }
 .dimuon .point { fill: #161b22; stroke: #161b22; stroke-width: 1.3; }
 .dimuon .band { fill: #2456d6; fill-opacity: .09; }
 @media (prefers-color-scheme: dark) {
  .dimuon text { fill: #9ba7b6; } .dimuon .title { fill: #eef1f5; } .dimuon .value { fill: #8db0ff; }
  .dimuon .card { fill: #12161c; } .dimuon .grid { stroke: #232a33; } .dimuon .axis { stroke: #586474; }
  .dimuon .curve, .dimuon .mark { stroke: #8db0ff; } .dimuon .area, .dimuon .band { fill: #8db0ff; fill-opacity: .13; }
  .dimuon .point { fill: #eef1f5; stroke: #eef1f5; }
 }
"""
LEFT, RIGHT, TOP, BASE = 96.0, 928.0, 100.0, 462.0  # edges of the upper panel
PULLS, UNIT, FLOOR = 532.0, 12.0, 592.0  # of the lower one: zero, one standard deviation, lower edge


class Plot(NamedTuple):
    """What is drawn, and where: from GeV and counts to the picture's units.

    Counts of equal bins from `low` (GeV) on, the fit's mean of each, and the curve at masses of its own: of all pairs,
    and of the background among them. `notes` are lines of text, the first two of them large.
    """

    low: float
    width: float
    counts: "list[int]"
    means: "list[float]"
    masses: "list[float]"
    curve: "list[float]"
    background: "list[float]"
    peak: float
    notes: "list[str]"

    def high(self) -> float:
        """Where the last bin ends, GeV."""
        return self.low + self.width * len(self.counts)

    def top(self) -> float:
        """The count at the upper edge of the picture."""
        return 1.12 * max(max(self.counts) + math.sqrt(max(self.counts)), *self.curve)

    def centres(self) -> "list[float]":
        """The middle of every bin, GeV."""
        return [self.low + (index + 0.5) * self.width for index in range(len(self.counts))]

    def x(self, mass: float) -> float:
        """Horizontal place of a mass."""
        return LEFT + (mass - self.low) / (self.high() - self.low) * (RIGHT - LEFT)

    def y(self, count: float) -> float:
        """Vertical place of a count."""
        return BASE - count / self.top() * (BASE - TOP)

    def path(self, counts: "list[float]") -> str:
        """Through these counts at the masses of the curve."""
        return "L".join(f"{self.x(m):.1f} {self.y(n):.1f}" for m, n in zip(self.masses, counts))  # noqa: B905


def text(x: float, y: float, words: str, anchor: str = "start", style: str = "") -> str:
    """One line of text."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def counts_axis(plot: Plot) -> "list[str]":
    """Grid and numbers of the upper panel: at most six steps of 1, 2 or 5 times a power of ten."""
    unit = 10.0 ** math.floor(math.log10(plot.top()) - 1.0)
    step = next(unit * size for size in (1, 2, 5, 10, 20, 50) if plot.top() / (unit * size) <= 6.0)
    parts = []
    for count in (step * index for index in range(int(plot.top() / step) + 1)):
        parts.append(f'<path class="grid" d="M{LEFT} {plot.y(count):.1f}H{RIGHT}"/>')
        parts.append(text(LEFT - 12, plot.y(count) + 5, f"{count:,.0f}", "end"))
    return parts


def pulls_axis() -> "list[str]":
    """Grid and numbers of the lower panel, and the band of one standard deviation."""
    parts = [f'<rect class="band" x="{LEFT}" y="{PULLS - UNIT}" width="{RIGHT - LEFT}" height="{2 * UNIT}"/>']
    for label, pull in (("−3", -3), ("0", 0), ("+3", 3)):
        parts.append(f'<path class="grid" d="M{LEFT} {PULLS - pull * UNIT}H{RIGHT}"/>')
        parts.append(text(LEFT - 12, PULLS - pull * UNIT + 5, label, "end"))
    return parts


def mass_axis(plot: Plot) -> "list[str]":
    """Ticks below both panels: every GeV, with numbers every five."""
    parts = [f'<path class="axis" d="M{LEFT} {y}H{RIGHT}"/>' for y in (BASE, FLOOR)]
    for mass in range(math.ceil(plot.low), math.floor(plot.high()) + 1):
        size = 9 if mass % 5 == 0 else 5
        parts += [f'<path class="axis" d="M{plot.x(mass):.1f} {y}v{-size}"/>' for y in (BASE, FLOOR)]
        if mass % 5 == 0:
            parts.append(text(plot.x(mass), FLOOR + 24, str(mass), "middle"))
    return parts


def names(plot: Plot) -> "list[str]":
    """What the axes show, and what the marks mean."""
    turned = ((TOP + BASE) / 2.0, f"muon pairs per {plot.width:g} GeV"), (PULLS, "(data − fit) / σ")
    parts = [
        f'<text transform="translate(30 {y}) rotate(-90)" text-anchor="middle">{name}</text>' for y, name in turned
    ]
    x, y = RIGHT - 218.0, TOP + 22.0
    return [
        *parts,
        text(RIGHT, FLOOR + 50, "invariant mass of µ⁺µ⁻ (GeV)", "end"),
        f'<path class="point" d="M{x + 15} {y - 11}v22"/><circle class="point" cx="{x + 15}" cy="{y}" r="2.6"/>',
        text(x + 42, y + 5, "pairs, with √n errors"),
        f'<rect class="area" x="{x}" y="{y + 27}" width="30" height="12"/><path class="curve" d="M{x} {y + 27}h30"/>',
        text(x + 42, y + 35, "Breit–Wigner ⊗ Gauss"),
        f'<rect class="flat" x="{x}" y="{y + 54}" width="30" height="12"/>',
        text(x + 42, y + 65, "flat background"),
    ]


def curves(plot: Plot) -> "list[str]":
    """The fitted curve with its peak, and the background below it."""
    down = f"L{plot.x(plot.masses[-1]):.1f} {BASE}L{plot.x(plot.masses[0]):.1f} {BASE}Z"
    return [
        f'<path class="area" d="M{plot.path(plot.curve)}{down}"/>',
        f'<path class="flat" d="M{plot.path(plot.background)}{down}"/>',
        f'<path class="mark" d="M{plot.x(plot.peak):.1f} {TOP}V{BASE}"/>',
        f'<path class="curve" d="M{plot.path(plot.curve)}"/>',
    ]


def points(plot: Plot) -> "list[str]":
    """Every bin as a point with its error, and below as its distance from the fit, cut at four standard deviations."""
    parts = []
    for mass, count, mean in zip(plot.centres(), plot.counts, plot.means):  # noqa: B905
        x, error = plot.x(mass), math.sqrt(count)
        parts.append(f'<path class="point" d="M{x:.1f} {plot.y(count + error):.1f}V{plot.y(count - error):.1f}"/>')
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{plot.y(count):.1f}" r="2.6"/>')
        pull = max(-4.0, min(4.0, (count - mean) / math.sqrt(mean)))
        parts.append(f'<path class="point" d="M{x:.1f} {PULLS}V{PULLS - pull * UNIT:.1f}"/>')
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{PULLS - pull * UNIT:.1f}" r="2.2"/>')
    return parts


def svg(plot: Plot, title: str, subtitle: str) -> str:
    """The whole picture; its description for those who cannot see it is made of the notes."""
    said = escape(". ".join([subtitle, *plot.notes]) + ".")
    notes = [
        text(LEFT + 22, TOP + 44 + 24 * i + 8 * (i > 0), note, style="" if i else "value")
        for i, note in enumerate(plot.notes)
    ]
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" class="dimuon" viewBox="0 0 960 660" role="img"'
        ' aria-labelledby="dimuon-title dimuon-desc">',
        f'<title id="dimuon-title">{escape(title)}</title><desc id="dimuon-desc">{said}</desc>',
        f'<style>{STYLE}</style><rect class="card" width="960" height="660" rx="14"/>',
        text(LEFT, 48, title, style="title"),
        text(LEFT, 74, subtitle),
        *counts_axis(plot),
        *pulls_axis(),
        *curves(plot),
        *mass_axis(plot),
        *points(plot),
        *names(plot),
        *notes,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
