"""A consumer whose effects can be counted, and the log in envelopes as a relay sends them."""

from collections import defaultdict
from collections.abc import Sequence

import pytest
from installation import Installation, fact

from domain.errors import Code, Refused
from domain.job import Job
from domain.messages import Event, Recorded
from domain.values import job_number, partition
from infra.bus.messages import Envelope, WireEvent, proven
from infra.follower import Follower
from infra.store import Connection, wired

PARTITIONS = 16
TOPICS = frozenset({"job.submitted", "job.checked", "job.killed"})


class Consumer:
    """A follower whose effect is a row an event: handled twice would be two rows. Some jobs are poison."""

    def __init__(self, core: Installation, name: str = "c") -> None:
        self.core = core
        self.poison: set[int] = set()
        self.calls = 0
        self.follower = Follower(name, "jobs", TOPICS, self.handle, core.store, PARTITIONS)

    async def __call__(self, envelopes: Sequence[Envelope]) -> None:
        await self.follower(envelopes)

    async def handle(self, connection: Connection, events: Sequence[Recorded[Event]]) -> None:
        self.calls += 1
        for event in events:
            await connection.execute(
                "insert into effects values ($1, $2, $3)", event.position, job_number(event.stream), event.version
            )
            if job_number(event.stream) in self.poison:
                raise Refused(Code.JOB_STATE, job=job_number(event.stream))

    async def insistently(self, envelopes: Sequence[Envelope]) -> None:
        """As the bus does: the same again until it is taken."""
        for _ in range(10):
            try:
                return await self(envelopes)
            except Exception:
                continue
        raise AssertionError("not taken")

    async def count(self, column: str) -> int:
        query = f"select sum({column}) from positions where consumer = 'c'"
        return int(await self.core.pool.fetchval(query))


@pytest.fixture(name="consumer")
async def new_consumer(core: Installation) -> Consumer:
    await core.pool.execute("create table effects (position bigint, job bigint, version int)")
    return Consumer(core)


async def effects(core: Installation) -> list[tuple[int, int]]:
    """Job and version of everything that was handled, in order of position."""
    return [tuple(row) for row in await core.pool.fetch("select job, version from effects order by position, ctid")]


async def packed(core: Installation, each: int = 2) -> list[Envelope]:
    """The whole log in envelopes of `each` events, as a relay sends them."""
    async with core.pool.acquire() as connection:
        rows = await core.store.read(connection, "jobs", 0)
    epoch, key = await core.pool.fetchrow("select epoch, envelope_key from installation")
    parts: dict[int, list[WireEvent]] = defaultdict(list)
    for event in map(wired, rows):
        parts[partition(event.stream, PARTITIONS)].append(event)
    envelopes = []
    for number, part in parts.items():
        previous = 0
        for start in range(0, len(part), each):
            pack = part[start : start + each]
            whole = Envelope("jobs", epoch, number, previous, pack[0].position, pack[-1].position, pack)
            envelopes.append(proven(whole, key))
            previous = pack[-1].position
    return sorted(envelopes, key=lambda envelope: envelope.first)


async def history(core: Installation, jobs: int, versions: int = 3) -> None:
    """Jobs of a few events each, interleaved."""
    for version in range(1, versions + 1):
        await core.append(*(fact(Job.Checked(), job=job, version=version) for job in range(1, jobs + 1)))
    await core.final()


def complete(jobs: int, versions: int = 3) -> list[tuple[int, int]]:
    return [(job, version) for version in range(1, versions + 1) for job in range(1, jobs + 1)]
