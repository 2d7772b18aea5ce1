"""Real payloads run by real pilots, while gateway, database and a pilot die: each is done once, its output is there."""

import asyncio
import io
import os
import random
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from servers import PostgreSQL
from system.fleet import Fleet, connected
from system.inquest import everything_is_right
from system.people import SITE, VO, Json, User, fetched, insist
from system.storms import quiet, settled, somebody

from pilot.build import build

pytestmark = [pytest.mark.servers, pytest.mark.slow]
JOBS, PILOTS = 100, 2


@dataclass
class Flight:
    """Pilots as processes, four jobs each at a time."""

    fleet: Fleet
    secrets: dict[str, str]
    place: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, stamp: str) -> None:
        """Start a pilot, in the directory in which it was before."""
        program = str(self.place / "pilot.pyz")
        command = [sys.executable, program, "--url", self.fleet.url, "--vo", VO, "--stamp", stamp, "--site", SITE,
                   "--work-dir", str(self.place), "--processors", "4", "--memory-mb", "4000", "--cpu-power", "10",
                   "--wait", "10", "--idle-exit", "300"]  # fmt: skip
        environment = {"PATH": os.environ["PATH"], "SPINOR_PILOT_SECRET": self.secrets[stamp], "HOME": str(self.place)}
        with (self.place / f"{stamp}.log").open("ab") as log:
            self.processes[stamp] = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.place)

    def crash(self, stamp: str) -> None:
        """End one at once, and start it again; its payloads go on until it finds them."""
        self.processes[stamp].kill()
        self.processes[stamp].wait()
        self.start(stamp)


@contextmanager
def flying(fleet: Fleet, secrets: dict[str, str], place: Path) -> Iterator[Flight]:
    """All pilots, as long as the context lasts."""
    build(str(place / "pilot.pyz"))
    flight = Flight(fleet, secrets, place)
    for stamp in secrets:
        flight.start(stamp)
    try:
        yield flight
    finally:
        for process in flight.processes.values():
            process.terminate()
        for process in flight.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def described(number: int, marks: Path) -> Json:
    script = f"echo $SPINOR_JOB $SPINOR_ATTEMPT >> {marks}/n{number}; echo payload {number} > result.txt; sleep 0.2"
    return {"executable": "/bin/sh", "arguments": ["-c", script], "name": f"n{number}",
            "output_sandbox": ["std.out", "result.txt"]}  # fmt: skip


async def ends(pool_url: str) -> Counter[tuple[int, int]]:
    async with connected(pool_url) as pool:
        rows = await pool.fetch(
            "select stream_id, (data::json->>'attempt')::int as attempt from log_jobs where topic = 'job.done'"
        )
    return Counter((row["stream_id"].int >> 80, row["attempt"]) for row in rows)


async def result(user: User, job: int) -> str:
    """What the job wrote, from its output sandbox."""
    answer = await fetched(user.client, f"/api/v1/jobs/{job}/output")
    assert answer.status_code == 200, answer.text
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r:*") as archive:
        file = archive.extractfile("result.txt")
        assert file
        return file.read().decode()


@pytest.mark.timeout(240)
async def test_a_hundred_payloads_while_gateway_database_and_a_pilot_die(
    fleet: Fleet, chance: random.Random, postgres_server: PostgreSQL, tmp_path: Path
) -> None:
    marks, place = tmp_path / "marks", tmp_path / "pilots"
    marks.mkdir()
    place.mkdir()
    async with somebody(fleet) as user:
        secrets = {}
        for number in range(PILOTS):
            announced = await insist(user.client, "/api/v1/pilots", {"stamp": f"real{number}", "site": SITE}, user.sent)
            secrets[announced["pilot"]] = announced["secret"]
        jobs = await user.submit([described(number, marks) for number in range(JOBS)])
        with flying(fleet, secrets, place) as flight:
            whens = sorted(chance.sample(range(5, JOBS - 20), 4))
            for victim, when in zip(("gateway", "database", "pilot", "gateway"), whens, strict=True):
                while len(list(marks.iterdir())) < when:
                    await asyncio.sleep(0.05)
                if victim == "gateway":
                    fleet.parts["gateway"].kill()
                elif victim == "pilot":
                    flight.crash(chance.choice(list(secrets)))
                else:
                    await asyncio.to_thread(postgres_server.kill)
                    await asyncio.to_thread(postgres_server.start)
            await settled(fleet)
            results = [await result(user, job) for job in jobs]
    assert results == [f"payload {number}\n" for number in range(JOBS)]
    done = await ends(fleet.database)
    assert sorted(job for job, _ in done) == jobs
    assert set(done.values()) == {1}
    began = Counter(line for mark in marks.iterdir() for line in mark.read_text().splitlines())
    assert {int(line.split()[0]) for line in began} == set(jobs)
    assert set(began.values()) == {1}  # no attempt began twice
    async with connected(fleet.database) as pool:
        await quiet(pool)
        await everything_is_right(pool)
        assert {row["status"] for row in await pool.fetch("select status from jobs")} == {"Done"}
