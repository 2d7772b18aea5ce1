#!/usr/bin/env python3
"""Merge the muon pairs of a production and fit the Z peak: the last step of the demonstration.

Usage: merge.py SEED... Reads physics.json and muons-SEED.csv.gz of every seed; writes dimuon.svg, dimuon.txt, fit.json.
Exit code 2 if an input is missing or damaged. Standard library of Python 3.6 and later.
"""

import gzip
import json
import math
import sys
import zlib
from typing import Any, Callable, NamedTuple  # noqa: UP035 - collections.abc.Callable has no [] in Python 3.6

from plot import Plot, svg  # type: ignore[import-not-found]  # the sandbox puts it beside this file

NAMES = ("pairs", "mass", "resolution", "background", "slope")  # of the parameters of the fit, in their order
STEPS = (1.0, 0.01, 1e-4, 1.0, 1e-4)  # of the numerical derivative by each


class Unusable(Exception):
    """An input cannot be used; the message says which, and why."""


class Histogram(NamedTuple):
    """Counts of equal bins from `low` (GeV) on."""

    low: float
    width: float
    counts: "list[int]"

    def centre(self, index: int) -> float:
        """The middle of a bin, GeV."""
        return self.low + (index + 0.5) * self.width


class Fit(NamedTuple):
    """Values and errors by the order of NAMES, and how well the curve describes the points."""

    values: "list[float]"
    errors: "list[float]"
    chi2: float
    freedom: int

    def mass(self) -> str:
        """The mass as it is quoted, without unit."""
        return f"{self.values[1]:.3f} ± {self.errors[1]:.3f}"


def mass_of(pair: "list[float]") -> float:
    """Invariant mass (GeV) of two muons (pT, eta, phi each), whose own mass is negligible here."""
    return math.sqrt(2.0 * pair[0] * pair[3] * (math.cosh(pair[1] - pair[4]) - math.cos(pair[2] - pair[5])))


def read_masses(seed: str) -> "tuple[int, list[float]]":
    """How many pairs were generated, and the masses of those accepted. Raises Unusable unless every one is there."""
    path = f"muons-{seed}.csv.gz"
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            lines = file.read().splitlines()
        words = lines[0].split()
        if words[1::2] != ["seed", "generated", "accepted"]:
            raise ValueError("its first line is not the one generate.py writes")
        pairs = [[float(value) for value in line.split(",")] for line in lines[2:]]
        if words[2] != seed or len(pairs) != int(words[6]) or any(len(pair) != 6 for pair in pairs):
            raise ValueError(f"it announces {words[6]} pairs of seed {words[2]} and holds {len(pairs)}")
        masses = [mass_of(pair) for pair in pairs]
        if not all(map(math.isfinite, masses)):
            raise ValueError("it holds a pair without a mass")
    except FileNotFoundError:
        raise Unusable(f"{path} is missing: the production job of seed {seed} has not delivered it") from None
    except (OSError, EOFError, ValueError, IndexError, ArithmeticError, zlib.error) as problem:
        raise Unusable(f"{path} is damaged: {problem}") from None
    return int(words[4]), masses


def fill(masses: "list[float]", window: "dict[str, float]") -> Histogram:
    """Count the masses of the window in its bins."""
    counts = [0] * round((window["highest"] - window["lowest"]) / window["bin"])
    for mass in masses:
        index = math.floor((mass - window["lowest"]) / window["bin"])
        if 0 <= index < len(counts):
            counts[index] += 1
    return Histogram(window["lowest"], window["bin"], counts)


def expected(values: "list[float]", z: "dict[str, float]", low: float, width: float, bins: int) -> "list[float]":
    """Mean count of every bin: (Breit-Wigner convolved with a Gaussian + flat background) x efficiency.

    The Gaussian is as wide as `resolution` x mass and integrated over the bin exactly; the convolution is a sum over
    true masses. A mass is the root of two measured momenta, so its mean lies resolution^2 / 2 below the true one.
    The efficiency of the selection may change with the true mass, by `slope` per GeV.
    """
    pairs, mass, resolution, background, slope = values
    counts, total, step = [0.0] * bins, 0.0, 0.1
    for index in range(round((z["highest"] - z["lowest"]) / step)):
        true = z["lowest"] + (index + 0.5) * step
        weight = true / ((true * true - mass * mass) ** 2 + (mass * z["width"]) ** 2)
        total += weight
        weight *= 1.0 + slope * (true - z["mass"])
        mean, sigma = true * (1.0 - resolution**2 / 2.0), abs(resolution) * true
        first = max(0, math.floor((mean - 5.0 * sigma - low) / width))
        last = min(bins, math.ceil((mean + 5.0 * sigma - low) / width))
        edges = [math.erf((low + i * width - mean) / sigma / math.sqrt(2.0)) for i in range(first, last + 1)]
        for i in range(first, last):
            counts[i] += weight * (edges[i - first + 1] - edges[i - first]) / 2.0
    flat = [background * width * (1.0 + slope * (low + (i + 0.5) * width - z["mass"])) for i in range(bins)]
    return [max(1e-9, pairs / total * counts[i] + flat[i]) for i in range(bins)]


def deviance(counts: "list[int]", means: "list[float]") -> float:
    """Twice the Poisson log-likelihood ratio to the perfect description: chi-squared in the limit of many events."""
    return 2.0 * math.fsum(m - n + (n * math.log(n / m) if n else 0.0) for n, m in zip(counts, means))  # noqa: B905


def invert(matrix: "list[list[float]]") -> "list[list[float]]":
    """Gauss-Jordan elimination; raises ZeroDivisionError if there is no inverse."""
    size = len(matrix)
    rows = [row + [float(i == j) for j in range(size)] for i, row in enumerate(matrix)]
    for i in range(size):
        best = max(range(i, size), key=lambda j: abs(rows[j][i]))
        rows[i], rows[best] = rows[best], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in range(size):
            if j != i:
                rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i])]  # noqa: B905
    return [row[size:] for row in rows]


def information(model: "Callable[[list[float]], list[float]]", values: "list[float]", counts: "list[int]") -> "Any":
    """Gradient of the log-likelihood and Fisher's information matrix at these values."""
    means, slopes = model(values), []
    for k, step in enumerate(STEPS):
        up, down = (model([v + sign * step * (i == k) for i, v in enumerate(values)]) for sign in (1.0, -1.0))
        slopes.append([(a - b) / (2.0 * step) for a, b in zip(up, down)])  # noqa: B905
    bins = range(len(counts))
    gradient = [math.fsum(s[i] * (counts[i] / means[i] - 1.0) for i in bins) for s in slopes]
    return gradient, [[math.fsum(s[i] * t[i] / means[i] for i in bins) for t in slopes] for s in slopes]


def fit_peak(data: Histogram, z: "dict[str, float]") -> Fit:
    """Binned maximum likelihood by scoring with Levenberg's damping; errors from the inverse information matrix."""

    def model(values: "list[float]") -> "list[float]":
        return expected(values, z, data.low, data.width, len(data.counts))

    total, size = sum(data.counts), len(NAMES)
    values = [0.9 * total, data.centre(data.counts.index(max(data.counts))), 0.012, 0.002 * total, 0.0]
    cost, damping = deviance(data.counts, model(values)), 1e-3
    for _ in range(40):
        gradient, matrix = information(model, values, data.counts)
        damped = [[matrix[i][j] * (1.0 + damping * (i == j)) for j in range(size)] for i in range(size)]
        moves = [math.fsum(a * g for a, g in zip(row, gradient)) for row in invert(damped)]  # noqa: B905
        trial = [value + move for value, move in zip(values, moves)]  # noqa: B905
        change = cost - deviance(data.counts, model(trial))
        damping *= 0.1 if change >= 0.0 else 10.0
        if change >= 0.0:
            values, cost = trial, cost - change
        if abs(change) < 1e-6:
            break
    else:
        raise Unusable(f"the fit of {total} pairs does not converge")
    errors = [math.sqrt(row[i]) for i, row in enumerate(invert(matrix))]
    return Fit(values, errors, cost, len(data.counts) - size)


def as_text(data: Histogram, fit: Fit, report: "dict[str, Any]") -> str:
    """The histogram as bars of 80 columns at most, two bins a line, and the result below."""
    counts = [sum(data.counts[i : i + 2]) for i in range(0, len(data.counts), 2)]
    lines = ["Z → µ⁺µ⁻, simulated: muon pairs by invariant mass", "", "    GeV   pairs"]
    for index, count in enumerate(counts):
        full, part = divmod(round(count * 480 / max(counts)), 8)
        bar = "█" * full + " ▏▎▍▌▋▊▉"[part]
        lines.append(f"  {data.low + 2 * index * data.width:5.1f} {count:7d} {bar}".rstrip())
    lines += [
        "",
        f"fitted mass {fit.mass()} GeV (world average {report['world_average']:.3f})",
        f"from {report['accepted']} pairs accepted of {report['generated']} generated by {len(report['seeds'])} jobs,"
        f" χ²/ndf {fit.chi2:.0f}/{fit.freedom}",
    ]
    return "\n".join(lines) + "\n"


def as_picture(data: Histogram, fit: Fit, report: "dict[str, Any]", z: "dict[str, float]") -> str:
    """The same as SVG, with the curve five times finer than the bins."""
    bins, fine = len(data.counts), data.width / 5.0
    curve = [5.0 * n for n in expected(fit.values, z, data.low, fine, 5 * bins)]
    flat = [5.0 * n for n in expected([0.0, *fit.values[1:]], z, data.low, fine, 5 * bins)]
    notes = [
        f"{fit.mass()} GeV",
        f"fitted Z mass; world average {report['world_average']:.3f} GeV",
        f"detector resolution {100.0 * fit.values[2]:.2f} %",
        f"χ²/ndf = {fit.chi2:.0f}/{fit.freedom}",
    ]
    means = expected(fit.values, z, data.low, data.width, bins)
    masses = [data.low + (index + 0.5) * fine for index in range(5 * bins)]
    plot = Plot(data.low, data.width, data.counts, means, masses, curve, flat, fit.values[1], notes)
    subtitle = f"{report['accepted']:,} simulated muon pairs, produced by {len(report['seeds'])} jobs"
    return str(svg(plot, "Z → µ⁺µ⁻", subtitle))


def merge(seeds: "list[str]") -> str:
    """Read, fit and write everything; returns the text. Raises Unusable."""
    try:
        with open("physics.json", encoding="utf-8") as file:
            physics = json.load(file)
        z, window = physics["z"], physics["fit"]
    except (OSError, ValueError, KeyError) as problem:
        raise Unusable(f"physics.json cannot be used: {problem!r}") from None
    inputs = [read_masses(seed) for seed in seeds]
    data = fill([mass for _, masses in inputs for mass in masses], window)
    if sum(data.counts) < 500:
        raise Unusable(f"{sum(data.counts)} pairs are too few to fit a peak, 500 are needed")
    try:
        fit = fit_peak(data, z)
    except (ArithmeticError, ValueError):
        raise Unusable(f"{sum(data.counts)} pairs show no peak that could be fitted") from None
    report = {
        "seeds": [int(seed) for seed in seeds],
        "generated": sum(generated for generated, _ in inputs),
        "accepted": sum(len(masses) for _, masses in inputs),
        "world_average": z["mass"],
        "fit": {name: {"value": v, "error": e} for name, v, e in zip(NAMES, fit.values, fit.errors)},  # noqa: B905
        "chi2": fit.chi2,
        "ndf": fit.freedom,
    }
    text = as_text(data, fit, report)
    contents = {"dimuon.txt": text, "dimuon.svg": as_picture(data, fit, report, z), "fit.json": json.dumps(report)}
    for path, content in contents.items():
        with open(path, "w", encoding="utf-8") as file:  # whatever the locale of the worker node
            file.write(content)
    return text


def main(seeds: "list[str]") -> int:
    """Exit code 0, or 2 with a line on standard error."""
    if not seeds or not all(seed.isdigit() for seed in seeds) or len(set(seeds)) < len(seeds):
        print("usage: merge.py SEED... (each seed once)", file=sys.stderr)
        return 2
    try:
        sys.stdout.buffer.write(merge(seeds).encode("utf-8"))
    except Unusable as problem:
        print(f"merge.py: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
