"""What can be asked of jobs: every event folded into the tables of a real PostgreSQL, and every query."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from installation import WANTED, Installation, fact, on_18, submitted  # noqa: F401

from domain.job import Job
from domain.messages import Event, Recorded
from domain.pilot import Pilot
from domain.requirements import Requirements
from domain.values import pilot_stream
from infra.views import apply
from projections import activity, assignments, jobs, pilot_queue, pilots
from projections.projection import Projection

OFFER, OTHER = UUID(int=1), UUID(int=2)
QUEUE = WANTED.queue("lhcb", "user", "ann")
SAID = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WAITING: list[Event] = [submitted(1), Job.Checked(), Job.Queued(QUEUE, "ann", "user", 1, 5, WANTED)]
MATCHED: list[Event] = [*WAITING, Job.Matched("p1", OFFER, 1, "LCG.CERN.ch", "ce1")]
RUNNING: list[Event] = [*MATCHED, Job.Started(1, 1, "node7", said_at=SAID)]
VIEWS = (jobs.projection, pilot_queue.queues, pilot_queue.waiting, assignments.projection, activity.projection)


async def story(core: Installation, *events: Event, job: int = 1, vo: str = "lhcb", first: int = 1) -> None:
    """A job's history, into every view that wants it."""
    history = [fact(event, job=job, version=version, vo=vo) for version, event in enumerate(events, first)]
    await put(core, history, *VIEWS)


async def put(core: Installation, events: list[Recorded[Event]], *views: Projection) -> None:
    async with core.pool.acquire() as connection:
        for view in views:
            await apply(connection, view, [event for event in events if view.wants(event.event)])


async def row(core: Installation, job: int = 1) -> dict[str, Any]:
    (found,) = await core.read(jobs.one("lhcb", job))
    return found


@pytest.mark.parametrize(
    ("history", "shown"),
    [
        ([submitted(1)], {"status": "Received", "minor_status": "Job accepted", "site": "ANY", "owner_name": "Ann",
                          "attempt": 1, "application_status": "Unknown", "reschedules": 0, "pilot": None}),
        ([submitted(1), Job.Checked()], {"status": "Checking", "minor_status": ""}),
        (WAITING, {"status": "Waiting", "queue": QUEUE}),
        (MATCHED, {"status": "Matched", "site": "LCG.CERN.ch", "ce": "ce1", "pilot": "p1", "minor_status": "Assigned"}),
        ([*MATCHED, Job.Released("p1"), WAITING[2]], {"status": "Waiting", "site": "ANY", "ce": None, "pilot": None}),
        ([*WAITING, Job.Held(1, "b", ("a", "b"), "why")], {"status": "Waiting", "held": "a b", "held_detail": "why"}),
        ([*WAITING, Job.Held(1, "b", ("a", "b")), Job.Freed(1, "b", "Waiting", ("a",))], {"held": "a"}),
        ([*WAITING, Job.Held(1, "a", ("a",), "why"), Job.Freed(1, "a", "Waiting"), WAITING[2]],
         {"status": "Waiting", "held": None, "held_detail": None}),
        (RUNNING, {"status": "Running", "minor_status": "Application", "started_at": SAID}),
        ([*RUNNING, Job.Progressed(2, "step 3", "half way")],
         {"status": "Running", "minor_status": "step 3", "application_status": "half way"}),
        ([*RUNNING, Job.Progressed(2, "step 3"), Job.Progressed(3, "", "done")],
         {"minor_status": "step 3", "application_status": "done"}),
        ([*RUNNING, Job.Described(2, {"a": 1})], {"status": "Running"}),
        ([*RUNNING, Job.PayloadEnded(2, 1, 3)],
         {"status": "Completing", "minor_status": "Uploading Output Sandbox", "exit_code": 3}),
        ([*RUNNING, Job.Done(2, 1, 0, "SB:x", (), 9.9, 11.2, 100.0, SAID)],
         {"status": "Done", "minor_status": "Execution Complete", "exit_code": 0, "output": "SB:x", "cpu_seconds": 9,
          "wall_seconds": 11, "ended_at": SAID}),
        ([*RUNNING, Job.Failed(1, "memory-limit", exit_code=137)],
         {"status": "Failed", "minor_status": "memory-limit", "exit_code": 137, "output": None}),
        ([*RUNNING, Job.Stalled(1)], {"status": "Stalled", "minor_status": "Job stalled"}),
        ([*RUNNING, Job.Stalled(1), Job.Resumed(1)], {"status": "Running", "minor_status": "Application"}),
        ([*RUNNING, Job.Killed(1)], {"status": "Killed", "minor_status": "Marked for termination", "pilot": "p1"}),
        ([*RUNNING, Job.Failed(1, "x", output="SB:y", cpu_seconds=5), Job.Rescheduled(2, 1)],
         {"status": "Received", "minor_status": "Job Rescheduled", "attempt": 2, "reschedules": 1, "site": "ANY",
          "ce": None, "pilot": None, "queue": None, "started_at": None, "ended_at": None, "exit_code": None,
          "output": None, "cpu_seconds": None, "wall_seconds": None}),
        ([*RUNNING, Job.Deleted()], {"status": "Deleted"}),
    ],
    ids=lambda part: type(part[-1]).__name__ if isinstance(part, list) else "",
)  # fmt: skip
async def test_a_job_is_shown_as_its_last_event_left_it(
    core: Installation, history: list[Event], shown: dict[str, Any]
) -> None:
    await story(core, *history)
    found = await row(core)
    assert {name: found[name] for name in shown} == shown
    assert found["version"] == len(history)


async def test_one_event_at_a_time_shows_the_same_as_all_at_once(core: Installation) -> None:
    history = [*RUNNING, Job.Stalled(1), Job.Resumed(1), Job.PayloadEnded(2, 1), Job.Done(3, 1)]
    for version, event in enumerate(history, 1):
        await story(core, event, first=version)
    await story(core, *history, job=2)
    one, other = await row(core, 1), await row(core, 2)
    times = ("job", "submitted_at", "updated_at", "ended_at")
    assert {name: one[name] for name in one if name not in times} == {n: other[n] for n in other if n not in times}


def test_every_event_of_a_job_is_folded_or_moves_the_version() -> None:
    assert jobs.projection.topics == set(Job.events())
    assert pilots.projection.topics == set(Pilot.events())


@pytest.mark.parametrize(
    ("sites", "shown"), [((), "ANY"), (("LCG.CERN.ch",), "LCG.CERN.ch"), (("LCG.A.fr", "LCG.B.it"), "Multiple")]
)
async def test_a_job_that_may_run_at_several_sites_says_so(
    core: Installation, sites: tuple[str, ...], shown: str
) -> None:
    await story(core, msgspec.structs.replace(submitted(1), requirements=Requirements(sites=sites)))
    assert (await row(core))["site"] == shown


HELD_AND_FREED = [Job.Held(1, "user", ("user",)), Job.Freed(1, "user", "Waiting"), WAITING[2]]


@pytest.mark.parametrize(
    "end", [[], [MATCHED[-1], Job.Released("p1"), WAITING[2]], HELD_AND_FREED], ids=["queued", "released", "freed"]
)
async def test_what_waits_is_in_the_queue(core: Installation, end: list[Event]) -> None:
    await story(core, *WAITING, *end)
    found = await core.pool.fetch("select job, queue, priority, attempt from pilot_queue")
    assert [tuple(row) for row in found] == [(1, QUEUE, 5, 1)]
    (queue,) = await core.read(pilot_queue.of_vo("lhcb"))
    assert (queue["waiting"], queue["priority"], queue["owner"]) == (1, 5, "ann")
    assert pilot_queue.queue(queue).requirements == WANTED
    assert await core.read(pilot_queue.of_vo("belle")) == []


@pytest.mark.parametrize(
    "event",
    [
        Job.Matched("p1", OFFER, 1),
        Job.Held(1, "user", ("user",)),
        Job.Killed(1),
        Job.Failed(1, "waited-too-long"),
        Job.Rescheduled(2, 1),
        Job.Deleted(),
    ],
    ids=lambda event: type(event).__name__,
)
async def test_what_does_not_wait_any_more_is_not_in_the_queue(core: Installation, event: Event) -> None:
    await story(core, *WAITING, event)
    assert await core.count("pilot_queue") == 0
    assert await core.read(pilot_queue.all_queues()) == []


async def test_which_pilot_got_which_job_is_known_both_ways(core: Installation) -> None:
    await story(core, *MATCHED, Job.Failed(1, "pilot-lost"), Job.Rescheduled(2, 1), WAITING[2])
    await story(core, Job.Matched("p2", OTHER, 2), first=8)
    assert [(a["pilot"], a["attempt"]) for a in await core.read(assignments.of_job("lhcb", 1))] == [
        ("p1", 1),
        ("p2", 2),
    ]
    assert [(a["job"], a["name"]) for a in await core.read(assignments.of_pilot("lhcb", "p2"))] == [(1, "Unknown")]
    assert [a["pilot"] for a in await core.read(assignments.of_offer("lhcb", OTHER))] == ["p2"]
    for query in (
        assignments.of_job("belle", 1),
        assignments.of_pilot("belle", "p2"),
        assignments.of_offer("belle", OTHER),
    ):
        assert await core.read(query) == []


async def test_only_jobs_still_in_the_hands_of_a_pilot_are_lost_with_it(core: Installation) -> None:
    """Not what it finished, not what went to another pilot, not another VO's, not what it got after it came back."""
    await story(core, *RUNNING)
    await story(core, *RUNNING[:3], Job.Matched("p1", UUID(int=3), 1), Job.Done(1, 1), job=2)
    await story(core, *RUNNING[:3], Job.Matched("p2", UUID(int=4), 1), job=3)
    await story(core, *RUNNING[:3], Job.Matched("p1", UUID(int=5), 1), job=4, vo="belle")
    lost = fact(Pilot.Lost("p1", 1), stream=pilot_stream("lhcb", "p1"))
    await story(core, *RUNNING[:3], Job.Matched("p1", UUID(int=6), 2), job=5)
    found = await core.read(assignments.held_by_pilot(lost))
    assert [(held["job"], held["attempt"]) for held in found] == [(1, 1)]


async def test_jobs_are_listed_newest_first_without_the_deleted_ones(core: Installation) -> None:
    for job in range(1, 6):
        await story(core, submitted(job, owner="ann" if job % 2 else "bob"), job=job)
    await story(core, Job.Deleted(), job=5, first=2)
    await story(core, submitted(9), job=9, vo="belle")

    async def listed(**restricted: Any) -> list[int]:
        return [found["job"] for found in await core.read(jobs.of_vo("lhcb", **restricted))]

    assert await listed() == [4, 3, 2, 1]
    assert await listed(limit=2) == [4, 3]
    assert await listed(after=3) == [2, 1]
    assert await listed(owner="bob", status=None) == [4, 2]
    assert await listed(status="Deleted") == [5]
    assert [found["job"] for found in await core.read(jobs.some("lhcb", [1, 4, 9]))] == [1, 4]
    assert await core.read(jobs.one("belle", 1)) == []


async def test_jobs_are_counted_by_any_columns(core: Installation) -> None:
    await story(core, *WAITING)
    await story(core, *WAITING, job=2)
    await story(core, *RUNNING, job=3)
    found = await core.read(jobs.summary("lhcb", "status", "site"))
    assert [tuple(part.values()) for part in found] == [("Running", "LCG.CERN.ch", 1), ("Waiting", "ANY", 2)]


async def test_activity_is_counted_by_the_minute_and_vo(core: Installation) -> None:
    await story(core, *RUNNING)
    await story(core, submitted(2), job=2, vo="belle")
    found = await core.read(activity.since("lhcb", datetime.now(UTC) - timedelta(minutes=5)))
    assert {part["topic"]: part["events"] for part in found} == {
        "job.submitted": 1, "job.queued": 1, "job.matched": 1, "job.started": 1,
    }  # fmt: skip
    assert all(part["minute"].second == 0 for part in found)
    assert await core.read(activity.since("lhcb", datetime.now(UTC) + timedelta(minutes=5))) == []


ASKED = Pilot.Requested("p1", "s", "LCG.CERN.ch", "ce1", "long")
ADMITTED = Pilot.Admitted("p1", "a", 1)


@pytest.mark.parametrize(
    ("history", "shown"),
    [
        ([ASKED], {"status": "Submitted", "site": "LCG.CERN.ch", "ce": "ce1", "queue": "long", "incarnation": 0}),
        ([ASKED, ADMITTED], {"status": "Running", "incarnation": 1}),
        ([ASKED, ADMITTED, Pilot.Started("p1", 1, "", "ce2", "", "0.1", {"processors": 8})],
         {"status": "Running", "site": "LCG.CERN.ch", "ce": "ce2", "software": "0.1", "node": '{"processors":8}'}),
        ([ASKED, ADMITTED, Pilot.Retired("p1", "idle")], {"status": "Done", "reason": "idle"}),
        ([ASKED, ADMITTED, Pilot.Lost("p1", 1)], {"status": "Aborted", "reason": "silent"}),
        ([ASKED, ADMITTED, Pilot.Lost("p1", 1), Pilot.Admitted("p1", "a", 2)],
         {"status": "Running", "incarnation": 2, "reason": None, "ended_at": None}),
    ],
    ids=lambda part: type(part[-1]).__name__ if isinstance(part, list) else "",
)  # fmt: skip
async def test_a_pilot_is_shown_as_its_last_event_left_it(
    core: Installation, history: list[Event], shown: dict[str, Any]
) -> None:
    stream = pilot_stream("lhcb", "p1")
    await put(core, [fact(event, stream=stream, version=n) for n, event in enumerate(history, 1)], pilots.projection)
    (found,) = await core.read(pilots.one("lhcb", "p1"))
    assert {name: found[name] for name in shown} == shown
    assert len(await core.read(pilots.of_vo("lhcb", status=shown["status"]))) == 1
    assert await core.read(pilots.of_vo("lhcb", status="Elsewhere")) == []
    assert await core.read(pilots.of_vo("belle")) == []
