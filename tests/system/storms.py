"""A storm: jobs flow while faults happen; and what must hold when it is over."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg
import httpx
from system.fleet import Fleet, connected
from system.inquest import everything_is_right
from system.people import Crew, User, crew, described, person

from domain.job import FINAL
from infra.tokens import Tokens, installation_secret

RATE, SECONDS, PILOTS = int(os.environ.get("FAULTS_RATE", "50")), 20.0, 20  # jobs a second
AFTERWARDS = 60.0  # seconds within which something must happen, until all has
Fault = Callable[[], Awaitable[None]]


async def storm(fleet: Fleet, chance: random.Random, seconds: float, faults: Sequence[Fault]) -> tuple[User, Crew]:
    """Jobs flow while the faults happen one after the other, each at a random moment of its share of the time."""
    async with somebody(fleet) as user:
        pilots = await crew(fleet.url, user, PILOTS)
        flood = asyncio.create_task(user.flood(RATE, seconds, described))
        for fault in faults:
            before = chance.uniform(0, seconds / len(faults))
            await asyncio.sleep(before)
            await fault()
            await asyncio.sleep(max(0.0, seconds / len(faults) - before))
        await flood
        victims = chance.sample(user.acknowledged, 40)
        await user.kill(victims)
        await settled(fleet)
        await pilots.end()
    return user, pilots


@asynccontextmanager
async def somebody(fleet: Fleet) -> AsyncIterator[User]:
    """A user with every right."""
    token = person(Tokens(installation_secret("", fleet.data)))
    head, limits = {"Authorization": f"Bearer {token}"}, httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(base_url=fleet.url, headers=head, timeout=30, limits=limits) as client:
        yield User(client)


async def settled(fleet: Fleet) -> None:
    """Wait until every job that can end has ended; it is a failure when none does for a minute."""
    loop = asyncio.get_running_loop()
    before, end = 0, loop.time() + AFTERWARDS
    async with connected(fleet.database) as pool:
        while left := await open_jobs(pool):
            if sum(left.values()) != before:
                before, end = sum(left.values()), loop.time() + AFTERWARDS
            assert loop.time() < end, left
            await asyncio.sleep(0.5)


async def open_jobs(pool: asyncpg.Pool) -> dict[str, int]:
    """How many jobs are in which state, of those that a pilot could take or has."""
    rows = await pool.fetch(
        "select status, count(*) from jobs where not status = any($1) and not (status = 'Waiting' and queue in "
        "(select queue from task_queues where requirements like '%Nowhere%')) group by 1",
        [status.value for status in FINAL],
    )
    return dict(rows)


async def judged(fleet: Fleet, user: User, pilots: Crew) -> None:
    """Everything that must hold afterwards; a line of figures for who reads the output."""
    async with connected(fleet.database) as pool:
        await quiet(pool)
        await everything_is_right(pool)
        await as_promised(pool, user)
        figures = await pool.fetchrow(
            """select (select count(*) from jobs) as jobs, (select count(*) from log_jobs) as events,
                (select sum(received - 1) from commands) as commands_again,
                (select sum(received - 1) from submissions) as submissions_again,
                (select sum(duplicates) from positions) as envelopes_again, (select sum(gaps) from positions) as gaps,
                (select count(*) from log_jobs where topic = 'job.released') as released"""
        )
        assert figures
        print(dict(figures), "user", dict(user.sent), "pilots", dict(pilots.total("sent")))
        print("refused reports", dict(pilots.total("refused")), "matches again", sum(p.again for p in pilots.pilots))


async def quiet(pool: asyncpg.Pool) -> None:
    """Wait until the log stands still and is followed to its end."""
    seen = None
    async with asyncio.timeout(AFTERWARDS):
        while True:
            now = await pool.fetchrow(
                "select (select max(position) from log_jobs), (select max(position) from log_pilots), "
                "(select sum(position) from positions), (select min(position) from log_heads where log = 'log_jobs')"
            )
            if now == seen and now and now[0] == now[3]:
                return
            seen = now
            await asyncio.sleep(2)


async def as_promised(pool: asyncpg.Pool, user: User) -> None:
    """Every acknowledged job is there once and became what it was to become."""
    assert len(set(user.acknowledged)) == len(user.acknowledged)
    rows = await pool.fetch("select job, name, status, attempt from jobs order by job")
    found = {row["job"]: row for row in rows}
    assert set(user.acknowledged) == found.keys()
    assert len({row["name"] for row in rows}) == len(rows)  # no job twice under two numbers
    wrong = [
        dict(row) for job, row in found.items()
        if row["status"] != ("Killed" if job in user.killed else expected(row["name"]))
    ]  # fmt: skip
    assert not wrong, wrong[:5]
    received = {str(r["id"]): r["received"] for r in await pool.fetch("select id, received from submissions")}
    assert received.keys() == user.tries.keys()
    assert not [(key, tries, received[key]) for key, tries in user.tries.items() if not 1 <= received[key] <= tries]


def expected(name: str) -> str:
    match described(int(name[1:])).get("arguments"):
        case "fails":
            return "Failed"
        case "waits":
            return "Waiting"
    return "Done"
