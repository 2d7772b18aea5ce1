"""How fast it is: `python tests/bench [NAME …] [--quick] [--json] [--list]`; medians, in one table, with the goals.

Nothing here passes or fails by its speed: the exit status is 1 only when a benchmark itself breaks. Ratios are of
figures taken in turns and hold on a busy machine, too; rates want a quiet one: the last row says how quiet it was.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

import appending  # noqa: E402, F401
import configuring  # noqa: E402, F401
import data  # noqa: E402, F401
import flat  # noqa: E402, F401
import identifying  # noqa: E402, F401
import idle  # noqa: E402, F401
import match_peer  # noqa: E402, F401
import matching  # noqa: E402, F401
import million  # noqa: E402, F401
import psutil  # noqa: E402
import replaying  # noqa: E402, F401
import structlog  # noqa: E402
import submitting  # noqa: E402, F401
import suspending  # noqa: E402, F401
import transformations  # noqa: E402, F401
import uvloop  # noqa: E402
from report import Row, table  # noqa: E402
from stage import BENCHES, Stage  # noqa: E402


def main() -> int:
    """Run the benchmarks that were named, all by default."""
    parser = argparse.ArgumentParser(prog="python tests/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run, all when none is named")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer repetitions")
    parser.add_argument("--json", action="store_true", help="the rows as JSON, with every single value")
    parser.add_argument("--list", action="store_true", help="say which benchmarks there are")
    given = parser.parse_args()
    if unknown := set(given.names) - BENCHES.keys():
        parser.error(f"no benchmark named {', '.join(sorted(unknown))}")
    if given.list:
        print("\n".join(f"{name:<18}{(run.__doc__ or '').splitlines()[0]}" for name, run in BENCHES.items()))
        return 0
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    rows, broken = uvloop.run(_run(given.names or list(BENCHES), given.quick))
    print(json.dumps([row.as_json() for row in rows], indent=1) if given.json else table(rows))
    return int(broken)


async def _run(names: list[str], quick: bool) -> tuple[list[Row], bool]:
    busy, own, began = _machine(), sum(os.times()[:4]), time.perf_counter()
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # servers and processes end with us
    stage = Stage(quick)
    rows: list[Row] = []
    broken = False
    try:
        for name in names:
            start = time.perf_counter()
            try:
                rows += await BENCHES[name](stage)
            except Exception:
                broken = True
                traceback.print_exc()
            print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
            await asyncio.sleep(0)
    finally:
        stage.close()
    wall = (time.perf_counter() - began) * psutil.cpu_count()
    others = 100 * (_machine() - busy - (sum(os.times()[:4]) - own)) / wall
    return [*rows, Row("other work on this machine", [max(0.0, others)], "% of all cores")], broken


def _machine() -> float:
    """CPU seconds that this machine has been busy, or had to give away to its host."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


if __name__ == "__main__":
    sys.exit(main())
