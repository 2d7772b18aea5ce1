"""Whether a submission costs the same in a large installation as in a small one."""

from contextlib import AsyncExitStack

import asyncpg
from history import fill, opened, submission
from report import Row
from stage import Site, Stage, bench
from submitting import distinct, rate

SMALL, LARGE = 10_000, 200_000  # jobs that are there already
MORE = 2_000  # jobs of one submission


@bench("cost-flat")
async def cost_flat(stage: Stage) -> list[Row]:
    """Jobs/s of submission with 200 000 jobs stored, beside the same with 10 000; the bus inside each process."""
    async with AsyncExitStack() as stack:
        small, large = [await _site(stage, stack, stored) for stored in (SMALL, stage.size(LARGE))]
        for site in (small, large):
            await rate(site, distinct, MORE)
        figures: dict[str, list[float]] = {"small": [], "large": []}
        for _ in range(stage.repetitions + 2):
            figures["small"].append((await rate(small, distinct, MORE))[1])
            figures["large"].append((await rate(large, distinct, MORE))[1])
    return [Row("cost-flat", figures["large"], "jobs/s", figures["small"], 0.8, of_ratio=True)]


async def _site(stage: Stage, stack: AsyncExitStack, stored: int) -> Site:
    database = await stage.database()
    async with asyncpg.create_pool(database, min_size=1, max_size=4) as pool:
        await fill(opened(pool), [submission(job) for job in range(1, stored + 1)])
    return await stack.enter_async_context(stage.site(database))
