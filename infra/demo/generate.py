#!/usr/bin/env python3
"""Produce simulated Z -> mu+ mu- decays as a detector would measure them: the payload of the demo's production.

Usage: generate.py SEED [EVENTS]. Reads physics.json, writes muons-SEED.csv.gz: pT, eta, phi of both muons.
The same seed gives the same pairs. Standard library of Python 3.6 and later, since a worker node may have nothing else.
"""

import argparse
import gzip
import json
import math
import os
import random
import sys
from typing import Any


def draw_mass(rng: random.Random, z: "dict[str, float]", background: float) -> float:
    """A mass (GeV): relativistic Breit-Wigner by inversion of its integral; flat for the share of background."""
    if rng.random() < background:
        return rng.uniform(z["lowest"], z["highest"])
    square, scale = z["mass"] ** 2, z["mass"] * z["width"]
    low, high = (math.atan((edge**2 - square) / scale) for edge in (z["lowest"], z["highest"]))
    return math.sqrt(square + scale * math.tan(rng.uniform(low, high)))


def draw_boson(rng: random.Random, mass: float, production: "dict[str, float]") -> "tuple[float, ...]":
    """Four-momentum (px, py, pz, energy): pT from a power law with a soft start, rapidity from a wide plateau."""
    power = -1.0 / (production["pt_power"] - 1.0)
    pt = production["pt_scale"] * math.sqrt((1.0 - rng.random()) ** power - 1.0)
    rapidity = production["rapidity_limit"] + 1.0
    while abs(rapidity) > production["rapidity_limit"]:
        rapidity = rng.gauss(0.0, production["rapidity_width"])
    phi, transverse = rng.uniform(-math.pi, math.pi), math.hypot(mass, pt)
    return pt * math.cos(phi), pt * math.sin(phi), transverse * math.sinh(rapidity), transverse * math.cosh(rapidity)


def draw_direction(rng: random.Random) -> "tuple[float, ...]":
    """Unit vector of the positive muon in the rest frame, distributed as 1 + cos^2 of the angle to the beam."""
    cosine = rng.uniform(-1.0, 1.0)
    while rng.uniform(0.0, 2.0) > 1.0 + cosine * cosine:
        cosine = rng.uniform(-1.0, 1.0)
    sine, phi = math.sqrt(1.0 - cosine * cosine), rng.uniform(-math.pi, math.pi)
    return sine * math.cos(phi), sine * math.sin(phi), cosine


def boost(momentum: "tuple[float, ...]", energy: float, boson: "tuple[float, ...]", mass: float) -> "tuple[float, ...]":
    """Momentum in the laboratory of what has this momentum and energy where the boson is at rest."""
    along = sum(a * b for a, b in zip(momentum, boson))  # noqa: B905 - zip(strict=) is newer than Python 3.6
    factor = (along / (boson[3] + mass) + energy) / mass
    return tuple(a + factor * b for a, b in zip(momentum, boson))  # noqa: B905 - the energy, fourth, is left out


def measure(rng: random.Random, momentum: "tuple[float, ...]", detector: "dict[str, float]") -> "tuple[float, ...]":
    """Transverse momentum, pseudorapidity and azimuth as the detector sees them: every one with a Gaussian error."""
    x, y, z = momentum
    pt = math.hypot(x, y)
    width = math.hypot(detector["resolution"], detector["resolution_per_gev"] * pt)
    eta, phi = math.asinh(z / pt), math.atan2(y, x)
    return pt * rng.gauss(1.0, width), rng.gauss(eta, detector["angle"]), rng.gauss(phi, detector["angle"])


def produce(seed: int, events: int, physics: "dict[str, Any]") -> "list[tuple[float, ...]]":
    """The pairs that pass the selection, of so many generated: (pT, eta, phi) of mu+, then of mu-."""
    rng, pairs = random.Random(seed), []  # noqa: S311 - physics, not secrets
    cuts, background = physics["selection"], physics["production"]["background"]
    for _ in range(events):
        mass = draw_mass(rng, physics["z"], background)
        boson = draw_boson(rng, mass, physics["production"])
        size = math.sqrt(mass * mass / 4.0 - physics["muon"]["mass"] ** 2)
        plus = tuple(size * part for part in draw_direction(rng))
        muons = [boost(p, mass / 2.0, boson, mass) for p in (plus, tuple(-part for part in plus))]
        seen = [measure(rng, muon, physics["detector"]) for muon in muons]
        if all(pt > cuts["pt"] and abs(eta) < cuts["eta"] for pt, eta, _ in seen):
            pairs.append(seen[0] + seen[1])
    return pairs


def write(path: str, seed: int, events: int, pairs: "list[tuple[float, ...]]") -> None:
    """One compressed CSV; its first line tells how many pairs must follow. No time stamp: equal pairs, equal bytes."""
    lines = [f"# seed {seed} generated {events} accepted {len(pairs)}", "pt1,eta1,phi1,pt2,eta2,phi2"]
    lines += [",".join(f"{value:.4f}" for value in pair) for pair in pairs]
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        packed.write(("\n".join(lines) + "\n").encode("ascii"))


def mass_of(pair: "tuple[float, ...]") -> float:
    """Invariant mass (GeV) of two muons, whose own mass is negligible here."""
    return math.sqrt(2.0 * pair[0] * pair[3] * (math.cosh(pair[1] - pair[4]) - math.cos(pair[2] - pair[5])))


def summary(path: str, events: int, pairs: "list[tuple[float, ...]]", physics: "dict[str, Any]") -> str:
    """What was done, for a reader who sees nothing but this output."""
    cuts, z, share = physics["selection"], physics["z"], physics["production"]["background"]
    peak = [mass for mass in map(mass_of, pairs) if abs(mass - z["mass"]) < 10.0]
    chosen = f"both muons measured with pT > {cuts['pt']:g} GeV and |eta| < {cuts['eta']:g}"
    mean = f"{math.fsum(peak) / len(peak):.2f} GeV" if peak else "none"
    return f"""  generated  {events} muon pairs: Z bosons, and {share:.0%} background of any mass
  accepted   {len(pairs)} ({len(pairs) / events:.1%}), {chosen}
  mean mass  {mean} of the {len(peak)} pairs within 10 GeV of the Z (world average {z["mass"]:.2f} GeV)
  written    {path} ({os.path.getsize(path) / 1000:.0f} kB): pT, eta, phi of both muons, one pair a line"""


def main() -> int:
    """Exit code 0, or 2 if the arguments or physics.json cannot be used."""
    parser = argparse.ArgumentParser(description="Produce simulated Z -> mu+ mu- decays.")
    parser.add_argument("seed", type=int)
    parser.add_argument("events", type=int, nargs="?", default=20000)
    options = parser.parse_args()
    if options.events < 1:
        parser.error("events must be at least 1")
    try:
        with open("physics.json", encoding="utf-8") as file:
            physics = json.load(file)
        print(f"Z -> mu+ mu-, simulated, seed {options.seed}", flush=True)
        pairs = produce(options.seed, options.events, physics)
    except (OSError, ValueError, KeyError) as problem:
        print(f"generate.py: physics.json cannot be used: {problem!r}", file=sys.stderr)
        return 2
    path = f"muons-{options.seed}.csv.gz"
    write(path, options.seed, options.events, pairs)
    print(summary(path, options.events, pairs, physics))
    return 0


if __name__ == "__main__":
    sys.exit(main())
