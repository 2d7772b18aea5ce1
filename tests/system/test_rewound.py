"""The database comes back in an earlier state under running pilots: what is lost has a name, nothing doubles."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from servers import PostgreSQL, RabbitMQ, Servers, wheel_postgres
from system.fleet import REPOSITORY, Fleet, connected, sailing
from system.inquest import everything_is_right
from system.people import SITE, Json, Pilot, Told, User, crew, done, insist
from system.storms import quiet, settled, somebody

pytestmark = [pytest.mark.servers, pytest.mark.slow]
SEEN = 2.5  # seconds after which the witness has seen what there is


class Backups:
    """A PostgreSQL of its own whose files can be put back."""

    def __init__(self, server: PostgreSQL, place: Path) -> None:
        self.server, self.place = server, place

    async def take(self) -> None:
        """Stop, copy, start."""
        await asyncio.to_thread(self._exchange, self.server.home, self.place)

    async def put_back(self) -> None:
        """Stop, put the files back as they were, start."""
        await asyncio.to_thread(self._exchange, self.place, self.server.home)

    def _exchange(self, source: Path, target: Path) -> None:
        self.server.stop()
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)
        self.server.start()


@pytest.fixture
async def backups(servers: Servers, tmp_path: Path) -> AsyncIterator[Backups]:
    server = PostgreSQL(servers, f"rewound-{tmp_path.name}", wheel_postgres()).start()
    server.sql("create database spinor")
    yield Backups(server, servers.root / f"backup-{tmp_path.name}")
    server.close()


@pytest.fixture
async def fleet(
    servers: Servers, backups: Backups, rabbitmq_server: RabbitMQ, rabbitmq: str, tmp_path: Path
) -> AsyncIterator[Fleet]:
    async with sailing(servers, backups.server.database("spinor"), rabbitmq, tmp_path) as running:
        yield running
        early = "start PostgreSQL"  # a part that starts while the database is away says so, and ends
        assert not [end for end in running.died if early not in end]


async def hired(fleet: Fleet, user: User, stamp: str) -> Pilot:
    """A pilot that said hello."""
    announced = await insist(user.client, "/api/v1/pilots", {"stamp": stamp, "site": SITE}, user.sent)
    client = httpx.AsyncClient(base_url=fleet.url, timeout=30)
    pilot = Pilot(client, stamp, announced["secret"], done)
    await pilot.introduce()
    return pilot


async def taken(pilot: Pilot, count: int) -> list[Json]:
    """Jobs that this pilot runs."""
    found: list[Json] = []
    while len(found) < count:
        if match := await pilot.offer(5):
            found.append(match)
    await pilot.report(found, [{"kind": "started", "host": "n1", "pid": 1}])
    assert not pilot.refused
    return found


def job(number: int, priority: int = 1) -> Json:
    return {"executable": "/bin/true", "name": f"n{number}", "priority": priority}


async def lost(pool: asyncpg.Pool) -> dict[tuple[str, str], Any]:
    return {(row["what"], row["name"]): dict(row) for row in await pool.fetch("select * from lost")}


@pytest.mark.timeout(240)
async def test_a_database_restored_under_running_pilots(fleet: Fleet, backups: Backups) -> None:
    async with somebody(fleet) as user:
        old = await user.submit([job(n) for n in range(20)])
        veteran = await hired(fleet, user, "veteran")
        await veteran.finish(await taken(veteran, 3))
        kept_running = await taken(veteran, 2)
        await backups.take()
        # From here on everything will be lost.
        gone = await user.submit([job(100 + n, priority=9) for n in range(6)])
        recruit = await hired(fleet, user, "recruit")
        unknown = await taken(recruit, 3)
        await veteran.finish(await taken(veteran, 3))
        elsewhere = await taken(veteran, 2)
        assert {match["job"] for match in unknown} < set(gone)
        async with connected(fleet.database) as pool:
            before = await pool.fetchrow("select epoch, (select max(position) from log_jobs) as last from installation")
        await asyncio.sleep(SEEN)
        fleet.parts["relay"].kill()  # what it remembers, too
        (fleet.data / "witness.json").unlink()  # and only the broker knows
        await backups.put_back()
        # New work flows, under numbers that nobody ever had.
        new = await user.submit([job(200 + n) for n in range(10)])
        assert min(new) > max(gone)
        # Pilots learn that what they run is not theirs; what both know goes on.
        with pytest.raises(Told) as told:
            await recruit.call("reports", {"reports": [], "alive": [alive(match) for match in unknown]})
        assert told.value.code == "pilot-unknown"
        both = [*elsewhere, *kept_running]
        answer = await veteran.call("reports", {"reports": [], "alive": [alive(match) for match in both]})
        killed = {command["job"] for command in answer["commands"]}
        assert killed == {match["job"] for match in elsewhere}
        await veteran.report(elsewhere, [done(elsewhere[0])])
        assert veteran.refused == {"pilot-job": 2}
        await veteran.finish(kept_running)
        await veteran.call("bye", {"reason": "stopped", "jobs_run": 10})
        for pilot in (veteran, recruit):
            await pilot.client.aclose()
        await ended(fleet, user)
    async with connected(fleet.database) as pool:
        await quiet(pool)
        await everything_is_right(pool)
        await named(pool, before, gone, elsewhere)
        rows = await pool.fetch("select job, status, name from jobs order by job")
        assert [row["job"] for row in rows] == [*old, *new]  # no number of the lost ones came back
        assert {row["status"] for row in rows} == {"Done"}


@pytest.mark.timeout(180)
async def test_an_operator_begins_a_new_epoch_by_hand(fleet: Fleet) -> None:
    async with somebody(fleet) as user:
        first = await user.submit([job(n) for n in range(5)])
        async with connected(fleet.database) as pool:
            await quiet(pool)
            before = await pool.fetchval("select epoch from installation")
            said = await spinor("restored", fleet, "--bus", fleet.bus)
            after = await pool.fetchval("select epoch from installation")
            assert after > before
            assert str(after) in said
            second = await user.submit([job(5 + n) for n in range(5)])
            assert min(second) > max(first) + 1000
            await ended(fleet, user)
            await quiet(pool)
            await everything_is_right(pool)
            assert "nothing was ever lost" in await spinor("lost", fleet)
            await pool.execute("insert into lost (epoch, what, name, first, last) values (1, 'jobs', 'numbers', 7, 9)")
            (row,) = json.loads(await spinor("lost", fleet, "--json"))
            assert (row["what"], row["first"], row["last"]) == ("jobs", 7, 9)


async def spinor(command: str, fleet: Fleet, *more: str) -> str:
    """What the operator's command says."""
    part = fleet.parts["relay"]
    words = [*part.command[:2], command, "--database", fleet.database, "--data", str(fleet.data), *more]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *words, env=part.environment, cwd=REPOSITORY, stdout=pipe, stderr=pipe
    )
    said, wrong = await process.communicate()
    assert process.returncode == 0, wrong.decode()
    return said.decode()


def alive(match: Json) -> Json:
    return {"job": match["job"], "attempt": match["attempt"], "cpu_seconds": 1}


async def ended(fleet: Fleet, user: User) -> None:
    """Fresh pilots end what is left."""
    pilots = await crew(fleet.url, user, 3, done)
    await settled(fleet)
    await pilots.end()


async def named(pool: asyncpg.Pool, before: Any, gone: list[int], elsewhere: list[Json]) -> None:
    """What was lost has names: ranges of events and numbers, attempts and pilots that somebody asked about."""
    found = await lost(pool)
    epoch = await pool.fetchval("select epoch from installation")
    assert epoch > before["epoch"]
    assert {row["epoch"] for row in found.values()} == {epoch}
    events, numbers = found["events", "jobs"], found["jobs", "numbers"]
    assert events["last"] >= before["last"]
    assert (
        await pool.fetchval("select min(position) from log_jobs where position > $1", events["first"]) > events["last"]
    )
    assert (
        await pool.fetchval("select max(position) from log_jobs where position < $1", events["last"]) < events["first"]
    )
    assert events["since"] < events["until"]
    assert (numbers["first"], numbers["last"]) == (min(gone), max(gone))
    assert ("events", "pilots") in found
    assert found["pilot", "lhcb/recruit"]["received"] == 1
    asked = {name for what, name in found if what == "attempt"}
    assert asked == {f"{match['job']}/{match['attempt']}" for match in elsewhere}
