"""The matcher beside that of another system, at that system's own size: SPINOR_BENCH_MATCHER names what it wrote."""

import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
from million import Described, direct, seeded, system
from report import Row
from stage import VO, Stage, bench

from domain.matching import Offer
from domain.requirements import Requirements, segment

PEER = os.environ.pop("SPINOR_BENCH_MATCHER", "")
JOBS, QUEUES = 100_000, 300
SITES = tuple(f"LCG.Site{n:02d}.org" for n in range(50))
OFTEN = ("x86_64-el8", "x86_64-el9")
CPU_TIMES = (300, 3_000, 40_000, 80_000, 300_000)


def _queues() -> list[Described]:
    """Twenty owners in three groups; some ask for sites, platforms, tags, and keep away from sites."""
    draw = random.Random(1)
    found = []
    for n in range(QUEUES):
        tags = () if n % 5 else ("GPU",) if n % 10 else ("4Processors", "MultiProcessor")
        wanted = Requirements(
            segment(CPU_TIMES[n // 60]), tags=tags, platforms=() if n % 4 else OFTEN,
            sites=() if n % 3 else tuple(sorted(draw.sample(SITES, 5))),
            banned_sites=() if n % 7 else tuple(sorted(draw.sample(SITES, 2))),
            job_type=("User", "MCSimulation", "Merge")[n % 3],
        )  # fmt: skip
        owner, group = f"u{n % 20:02d}", ("prod", "user", "ana")[n // 20 % 3]
        found.append((wanted.queue(VO, group, owner), VO, owner, group, msgspec.json.encode(wanted).decode()))
    return found


def _offers(seed: int) -> Iterator[Offer]:
    draw = random.Random(seed)
    tags = (("2Processors",), ("2Processors", "4Processors", "MultiProcessor"), ("GPU",))
    for number in itertools.count():
        seconds, platform = draw.choice((1_800, 10_000, 50_000, 100_000, 400_000)), draw.choice((*OFTEN, "aarch64-el9"))
        place = (draw.choice(SITES), f"ce{draw.randint(1, 5)}.org", platform)
        yield Offer(uuid4(), f"pilot-{seed}-{number}", VO, *place, 4, 0, 0, seconds, 1, draw.choice(tags))


@bench("match-peer")
async def beside_a_peer(stage: Stage) -> list[Row]:
    """100 000 jobs in 300 queues, 50 sites, 20 owners; with a peer's figures from the file in SPINOR_BENCH_MATCHER."""
    database = await stage.database()
    await seeded(database, JOBS, _queues())
    async with system(stage, database) as work:
        rows = await direct(stage, work, _offers, "match-peer")
    rate, cost = rows[0], rows[1]
    theirs = json.loads(Path(PEER).read_text()) if PEER else []
    return rows + [row for each in theirs if "match" in each["name"] for row in _beside(rate, cost, each)]


def _beside(rate: Row, cost: Row, peer: dict[str, float | str]) -> list[Row]:
    """A row of the peer: matches a second, and the CPU of a match with its database."""
    spent = float(peer["py_ms"]) + float(peer["db_ms"])
    return [
        Row(f"beside {peer['name']}", [rate.value], "matches/s", [float(peer["units_per_s"])], 10.0, of_ratio=True),
        Row(f"CPU beside {peer['name']}", [cost.value], "ms", [spent], 0.1, of_ratio=True, at_most=True),
    ]
