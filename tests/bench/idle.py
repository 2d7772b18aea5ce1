"""What an installation costs when nothing happens: CPU time of all its processes, as a part of one core."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
from private import ports
from report import Row
from stage import LAYOUT, VO, Stage, bench, seconds, until

SETTLE = 15.0  # seconds after the start
WINDOW = 30.0  # seconds


@bench("idle")
async def idle(stage: Stage) -> list[Row]:
    """CPU of the laptop's whole process tree, and of everything with its servers, when nothing happens."""
    async with AsyncExitStack() as stack:
        laptop = await _laptop(stage, stack)
        site = await stack.enter_async_context(stage.site(await stage.database(), stage.bus(), LAYOUT))
        groups = {"idle-laptop": [laptop], "idle-broker": site.processes}
        await asyncio.sleep(SETTLE)
        used: dict[str, list[float]] = {name: [] for name in groups}
        for _ in range(3):
            before, start = {name: seconds(group) for name, group in groups.items()}, time.perf_counter()
            await asyncio.sleep(WINDOW / 3 if not stage.quick else 3)
            for name, group in groups.items():
                used[name].append(100 * (seconds(group) - before[name]) / (time.perf_counter() - start))
    return [
        Row("idle-laptop", used["idle-laptop"], "% of a core", goal=2, at_most=True),
        Row("idle-broker", used["idle-broker"], "% of a core", goal=6, at_most=True),
    ]


async def _laptop(stage: Stage, stack: AsyncExitStack) -> psutil.Process:
    """`spinor up` as somebody types it, with its own PostgreSQL and one pilot that has said hello."""
    (port,) = ports(1)
    data = stage.directory()
    spinor = Path(sys.executable).with_name("spinor")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPINOR_")}
    process = subprocess.Popen([spinor, "up", "--data", data, "--port", str(port)], env=environment | {"SPINOR_VO": VO},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    stack.callback(process.wait, 60)
    stack.callback(process.terminate)

    async def has_pilot() -> bool:
        if process.poll() is not None:
            raise RuntimeError("spinor up ended")
        return any("pilot.pyz" in " ".join(each.cmdline()) for each in psutil.Process(process.pid).children())

    await until(has_pilot, pause=0.5)
    return psutil.Process(process.pid)
