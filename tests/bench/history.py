"""Jobs made in bulk, by our own decider and store, for benchmarks that begin with a full log."""

from collections.abc import Callable, Sequence

import asyncpg
from stage import USER, VO

from domain.job import Job, QueueJob, SubmitJob
from domain.messages import Command, Event, Origin, Recorded
from domain.requirements import Requirements
from handlers.policy import Policy
from infra.app import CORE
from infra.bus.messages import now
from infra.decider import Ask, Decider
from infra.store import Store, record
from projections.projection import Projection

AT_ONCE = 2000  # commands of one transaction


def opened(pool: asyncpg.Pool) -> Decider:
    """The command side on this database, without anything that follows it."""
    return Decider(CORE, Store(pool, CORE.codec()))


def submission(job: int, sites: tuple[str, ...] = ()) -> SubmitJob:
    """A job; those with the same sites wait in the same queue."""
    body = f"{job:032x}"
    return SubmitJob(job, USER.subject, USER.name, USER.group, body, Requirements(21600, sites), f"sim_{job}")


async def fill(decider: Decider, jobs: Sequence[SubmitJob]) -> None:
    """Have the jobs submitted and queued, as if everything that follows the log had seen it."""
    origin = Origin(f"user:{USER.subject}", VO, now())
    pool = decider.store.pool
    for start in range(0, len(jobs), AT_ONCE):
        part = jobs[start : start + AT_ONCE]
        commands: list[Command] = [*part, *(QueueJob(each.job) for each in part)]
        async with decider.store.transaction() as connection:
            await decider.decide(connection, [Ask(command, origin) for command in commands])
    await pool.execute("""insert into timers (stream_id, name, due, topic, data, vo, cause_id, correlation_id)
        select stream_id, 'state', recorded_at + interval '30 days', 'job.expire', '{"attempt":1}', vo, event_id,
            event_id from log_jobs where topic = 'job.queued'""")
    await pool.execute("""insert into activity (vo, minute, topic, events)
        select vo, date_trunc('minute', recorded_at), topic, count(*) from log_jobs
        where topic in ('job.submitted', 'job.queued') group by 1, 2, 3""")
    await pool.execute("update job_numbers set last = $1", max(job.job for job in jobs))
    await pool.execute("update log_heads set position = (select max(position) from log_jobs) where log = 'log_jobs'")
    parts: tuple[Policy | Projection, ...] = (*CORE.policies, *CORE.projections)
    followers = [part.name for part in parts if part.log == "jobs"]
    await pool.execute("""insert into positions (consumer, log, partition, position)
        select name, 'jobs', part, position from unnest($1::text[]) name, generate_series(0, 15) part, log_heads
        where log = 'log_jobs'""", followers)  # fmt: skip
    await pool.execute("vacuum analyze")


def lives(first: int, count: int) -> list[Recorded[Event]]:
    """The events of whole lives of jobs, eight each, in the order in which they happen to many jobs at a time."""
    origin = Origin(f"user:{USER.subject}", VO, now())
    told: list[Recorded[Event]] = []
    for version, step in enumerate(_LIFE, 1):
        for job in range(first, first + count):
            command = submission(job)
            told.append(record(step(command), command.stream, version, origin))
    return told


def _submitted(command: SubmitJob) -> Event:
    return Job.Submitted(**{name: getattr(command, name) for name in Job.Submitted.__struct_fields__})


def _queued(command: SubmitJob) -> Event:
    queue = command.requirements.queue(VO, command.group, command.owner)
    return Job.Queued(queue, command.owner, command.group, 1, 1, command.requirements)


_LIFE: tuple[Callable[[SubmitJob], Event], ...] = (
    _submitted,
    lambda command: Job.Checked(),
    _queued,
    lambda command: Job.Matched("pilot-1", command.stream, 1, "LCG.CERN.cern", "ce1", {"considered": 50}),
    lambda command: Job.Started(1, 1, "node-1", 4711),
    lambda command: Job.Progressed(2, "Application", "event 1000"),
    lambda command: Job.PayloadEnded(3, 1),
    lambda command: Job.Done(4, 1, cpu_seconds=3600.0, wall_seconds=3700.0, max_rss_mb=812.5),
)
