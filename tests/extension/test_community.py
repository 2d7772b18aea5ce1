"""A community adds a thing of its own, and the core does not know: the seam is used from one end to the other."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from community.app import system
from community.calibration import Calibration
from gateway_site import JOB, VO, Site, refusal, submitted, with_few_partitions

from gateway.app import create
from gateway.rights import walk
from infra.app import CORE
from infra.serve import running
from infra.settings import settings

Json = dict[str, Any]
ROUTE = "/api/v1/calibrations"


@asynccontextmanager
async def community(database: str, data: Path, bus: str = "") -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        given = settings(database=database, bus=bus, data=data, port=0, vo=VO, secret="s" * 40)
        yield Site(await stack.enter_async_context(running(system, given)), stack)


@pytest.fixture
async def site(database: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with community(database, tmp_path) as site:
        yield site


@pytest.fixture(params=["in-process", "rabbitmq"])
async def either(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> AsyncIterator[Site]:
    """On each of the buses."""
    bus = request.getfixturevalue("rabbitmq") if request.param == "rabbitmq" else ""
    await with_few_partitions(database)
    async with community(database, tmp_path, bus) as site:
        yield site


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    """What it gives once it gives something; the test's own time limit ends it."""
    while not (found := await look()):
        await asyncio.sleep(0.05)
    return found


async def ran(site: Site, job: int) -> None:
    """A pilot took the job and finished it."""
    pilot = await site.pilot(f"for-{job}")
    match = await pilot.offer()
    assert match["job"] == job
    for seq, kind in enumerate(("started", "done"), 1):
        more = {"exit_code": 0, "cpu_seconds": 1, "wall_seconds": 1} if kind == "done" else {}
        assert (await pilot.report(job, kind, seq, **more))["ok"]


async def state(client: httpx.AsyncClient, run: int) -> str:
    rows = (await client.get(ROUTE)).json()["calibrations"]
    return next((row["status"] for row in rows if row["run"] == run), "")


async def test_a_calibration_is_asked_for_measured_by_its_job_and_approved(either: Site) -> None:
    ann, bob = await either.user("ann"), await either.user("bob", "CalibrationManager")
    (job,) = await submitted(ann, JOB)
    wanted = {"detector": "rich1", "run": 4711, "job": job}
    assert (await ann.post(ROUTE, json=wanted)).status_code == 201
    assert await state(ann, 4711) == "Requested"  # the caller's next read sees it
    early = refusal(await bob.post(f"{ROUTE}/rich1/4711/approve"), 400, "extension")
    assert "is Requested" in early["detail"]
    await ran(either, job)
    await until(lambda: _is(ann, 4711, "Measured"))
    assert (await bob.post(f"{ROUTE}/rich1/4711/approve")).status_code == 200
    assert await state(ann, 4711) == "Approved"
    told = (await ann.get(f"{ROUTE}/rich1/4711/history")).json()["lines"]
    assert [line["what"] for line in told] == [
        "a calibration of rich1 for run 4711 was asked for",
        f"job {job} measured the constants",
        "the constants are approved",
    ]
    assert [line["actor"] for line in told][:2] == ["ann", "policy calibration-jobs"]
    await until(lambda: _no_timer(either))


async def _is(client: httpx.AsyncClient, run: int, status: str) -> bool:
    return await state(client, run) == status


async def _no_timer(site: Site) -> bool:
    pool = site.work.runtime.pool
    return not await pool.fetchval("select count(*) from timers where topic like 'calibration.%'")


async def test_it_is_measured_too_when_its_job_was_done_before(site: Site) -> None:
    ann = await site.user("ann")
    (job,) = await submitted(ann, JOB)
    await ran(site, job)
    await ann.post(ROUTE, json={"detector": "ot", "run": 1, "job": job})
    await until(lambda: _is(ann, 1, "Measured"))
    timers = await site.work.runtime.pool.fetch("select topic from timers where topic like 'calibration.%'")
    assert [row["topic"] for row in timers] == ["calibration.withdraw"]  # no state without an end


async def test_the_rules_of_the_community_hold(site: Site) -> None:
    ann, eve = await site.user("ann", "CalibrationManager"), await site.user("eve")
    (job,) = await submitted(ann, JOB)
    refusal(await eve.post(ROUTE, json={"detector": "ot", "run": 1, "job": job}), 403, "job-not-yours")
    refusal(await eve.post(f"{ROUTE}/ot/1/approve"), 403, "forbidden")
    await ann.post(ROUTE, json={"detector": "ot", "run": 1, "job": job})
    await ran(site, job)
    await until(lambda: _is(ann, 1, "Measured"))
    own = refusal(await ann.post(f"{ROUTE}/ot/1/approve"), 400, "extension")
    assert own["next"] == "ask a colleague"


async def test_its_log_and_view_are_made_by_the_migration_and_its_events_are_sealed(site: Site) -> None:
    pool = site.work.runtime.pool
    assert "log_calibrations" in site.work.runtime.migrated
    assert "calibrations" in site.work.runtime.migrated
    ann = await site.user("ann")
    (job,) = await submitted(ann, JOB)
    await ann.post(ROUTE, json={"detector": "ot", "run": 1, "job": job})
    with pytest.raises(Exception, match="append-only"):
        await pool.execute("delete from log_calibrations")
    await until(lambda: pool.fetchval("select count(*) from seals where log = 'calibrations'"))


async def test_other_programs_are_told_of_its_topics(site: Site) -> None:
    anybody = await site.client()
    document = (await anybody.get("/asyncapi.json")).json()
    assert set(Calibration.events()) <= document["channels"].keys()
    assert "publish.calibration.request" in document["operations"]
    assert "publish.calibration.approve" not in document["operations"]
    assert f"{ROUTE}/{{detector}}/{{run}}/approve" in (await anybody.get("/api/openapi.json")).json()["paths"]


def test_the_walk_over_all_routes_sees_the_rules_of_the_community() -> None:
    world: Any = None
    rules = {route.path: route.rules for route in walk(create(world, system.routers))}
    assert rules[f"{ROUTE}/{{detector}}/{{run}}/approve"] == ("calibration manager",)
    assert {rule for path, rule in rules.items() if path.startswith(ROUTE)} == {("user",), ("calibration manager",)}


def test_the_core_is_what_it_was() -> None:
    assert not any("calibration" in name for name in (*CORE.events, *CORE.logs, *CORE.lookups))
    root = Path(__file__).parents[2]
    folders = ("domain", "handlers", "projections", "gateway", "infra")
    sources = [path for folder in folders for path in (root / folder).rglob("*.py")]
    assert len(sources) > 50
    words = ("from community", "import community", "calibrations")
    assert [path for path in sources if any(word in path.read_text() for word in words)] == []


async def test_it_runs_by_its_name_from_the_command_line(database: str, tmp_path: Path) -> None:
    spinor = Path(sys.executable).with_name("spinor")
    options = {"--pilots": "0", "--port": "0", "--database": database, "--data": str(tmp_path)}
    line = (str(spinor), "--system", "community.app:system", "up", *(word for pair in options.items() for word in pair))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPINOR_")}
    process = await asyncio.create_subprocess_exec(
        *line, cwd=Path(__file__).parent, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        first = (await process.stdout.readline()).decode()
        assert first.startswith("Spinor is up at ")
        found = json.loads((tmp_path / "credentials.json").read_text())
        async with httpx.AsyncClient(base_url=found["url"]) as client:
            client.headers["Authorization"] = f"Bearer {found['token']}"
            (job,) = await submitted(client, JOB)
            assert (await client.post(ROUTE, json={"detector": "ot", "run": 1, "job": job})).status_code == 201
            assert await state(client, 1) == "Requested"
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0


async def test_a_community_has_jobs_checked_by_rules_of_its_own(site: Site) -> None:
    ann = await site.user("ann")
    bad, good = await submitted(ann, JOB | {"name": "calibrate velo"}, JOB | {"name": "calibrate velo run7"})

    async def ended() -> Any:
        return (row := (await ann.get(f"/api/v1/jobs/{bad}")).json())["status"] == "Failed" and row

    assert await until(ended)
    assert (await ann.get(f"/api/v1/jobs/{bad}/why")).json()["code"] == "calibration-without-run"
    assert (await (await site.pilot()).offer())["job"] == good
