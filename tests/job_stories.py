"""Jobs in every state, and every command to them: what the tests of a job have in common."""

from uuid import UUID

import pytest
from msgspec.structs import replace
from scenario import Scenario

from domain.job import (
    FINAL,
    HELD_BY_PILOT,
    HOLDABLE,
    STARTABLE,
    STARTED,
    CheckJob,
    CleanJob,
    CompletePayload,
    DeleteJob,
    DescribeJob,
    ExpireJob,
    FailJob,
    FinishJob,
    FreeJob,
    HoldJob,
    Job,
    JobCommand,
    KillJob,
    LocateJob,
    LoseJob,
    NoteJob,
    PendJob,
    PrioritiseJob,
    ProgressJob,
    QueueJob,
    RejectJob,
    ReleaseMatch,
    RescheduleJob,
    ResumeJob,
    SettleJob,
    StallJob,
    StartJob,
    Status,
    SubmitJob,
    VacateJob,
)
from domain.messages import Event
from domain.requirements import Requirements
from domain.values import job_stream

REPORTS = [StartJob, ProgressJob, DescribeJob, CompletePayload, FinishJob, PendJob, FailJob]
OFFER = UUID(int=7)
WANTED = Requirements(cpu_time=3600, sites=("LCG.CERN.ch",))
SUBMIT = SubmitJob(42, "ann", "Ann", "user", "digest", WANTED, name="fit", priority=5, parameters={"i": 1})
SUBMITTED = Job.Submitted(42, "ann", "Ann", "user", "digest", WANTED, name="fit", priority=5, parameters={"i": 1})
QUEUE = WANTED.queue("lhcb", "user", "ann")
QUEUED = Job.Queued(QUEUE, "ann", "user", 1, 5, WANTED)
AGAIN = replace(QUEUED, attempt=2)
MATCHED = Job.Matched("p1", OFFER, 1, "LCG.CERN.ch", "ce1")
STARTED_EVENT = Job.Started(1, 1, "node7", 99)
ENDED = Job.PayloadEnded(2, 1)

PATHS: dict[Status, list[Event]] = {
    Status.NEW: [],
    Status.RECEIVED: [SUBMITTED],
    Status.CHECKING: [SUBMITTED, Job.Checked()],
    Status.WAITING: [SUBMITTED, Job.Checked(), QUEUED],
    Status.MATCHED: [SUBMITTED, Job.Checked(), QUEUED, MATCHED],
    Status.RUNNING: [SUBMITTED, Job.Checked(), QUEUED, MATCHED, STARTED_EVENT],
    Status.STALLED: [SUBMITTED, Job.Checked(), QUEUED, MATCHED, STARTED_EVENT, Job.Stalled(1)],
    Status.COMPLETING: [SUBMITTED, Job.Checked(), QUEUED, MATCHED, STARTED_EVENT, ENDED],
    Status.COMPLETED: [SUBMITTED, Job.Checked(), QUEUED, MATCHED, STARTED_EVENT, ENDED, Job.Completed(2, 1, ("r",))],
    Status.DONE: [SUBMITTED, Job.Checked(), QUEUED, MATCHED, STARTED_EVENT, Job.Done(3, 1)],
    Status.FAILED: [SUBMITTED, Job.Checked(), QUEUED, MATCHED, STARTED_EVENT, Job.Failed(1, "exit-code", seq=3)],
    Status.KILLED: [SUBMITTED, Job.Checked(), QUEUED, MATCHED, Job.Killed(1)],
    Status.DELETED: [SUBMITTED, Job.Deleted()],
}
ENDED_WELL_OR_NOT = frozenset({Status.DONE, Status.FAILED, Status.KILLED})
COMMANDS: dict[type[JobCommand], tuple[JobCommand, frozenset[Status], frozenset[Status]]] = {
    # the command, the states it acts in, the states in which it is accepted and changes nothing; all others refuse
    CheckJob: (CheckJob(42), frozenset({Status.RECEIVED}), frozenset()),
    RejectJob: (RejectJob(42, "bad-name"), frozenset({Status.RECEIVED, Status.CHECKING}), frozenset()),
    QueueJob: (QueueJob(42), frozenset({Status.RECEIVED, Status.CHECKING}), frozenset()),
    ReleaseMatch: (ReleaseMatch(42, 1), frozenset({Status.MATCHED}), frozenset(PATHS) - {Status.NEW}),
    StallJob: (StallJob(42, 1), frozenset({Status.RUNNING, Status.COMPLETING}), frozenset(PATHS) - {Status.NEW}),
    ResumeJob: (ResumeJob(42, 1, "p1"), frozenset({Status.STALLED}), frozenset(PATHS) - {Status.NEW}),
    LoseJob: (LoseJob(42, 1), HELD_BY_PILOT, frozenset(PATHS) - {Status.NEW}),
    ExpireJob: (ExpireJob(42, 1), frozenset({Status.WAITING}), frozenset(PATHS) - {Status.NEW}),
    KillJob: (KillJob(42), frozenset(PATHS) - {Status.NEW} - FINAL, frozenset({Status.KILLED})),
    RescheduleJob: (RescheduleJob(42), frozenset({Status.WAITING, Status.FAILED, Status.KILLED}), frozenset()),
    DeleteJob: (DeleteJob(42), frozenset(PATHS) - {Status.NEW, Status.DELETED}, frozenset({Status.DELETED})),
    PrioritiseJob: (PrioritiseJob(42, 9), HOLDABLE, frozenset()),
    LocateJob: (LocateJob(42, ("LCG.CERN.ch",)), HOLDABLE, frozenset(PATHS) - {Status.NEW}),
    HoldJob: (HoldJob(42), HOLDABLE, frozenset()),
    FreeJob: (FreeJob(42), frozenset(), frozenset(PATHS) - {Status.NEW}),
    NoteJob: (NoteJob(42, 1, "event 7", {"events": 7}), STARTED, frozenset()),
    VacateJob: (VacateJob(42, 1), frozenset(), frozenset(PATHS) - {Status.NEW}),
    CleanJob: (CleanJob(42, 1), ENDED_WELL_OR_NOT, frozenset(PATHS) - {Status.NEW}),
    SettleJob: (SettleJob(42, 1), frozenset({Status.COMPLETED}), frozenset(PATHS) - {Status.NEW}),
    PendJob: (PendJob(42, 1, 9, "p1"), STARTED, frozenset()),
    StartJob: (StartJob(42, 1, 9, "p1"), STARTABLE, frozenset()),
    ProgressJob: (ProgressJob(42, 1, 9, "p1"), STARTED | ENDED_WELL_OR_NOT, frozenset()),
    DescribeJob: (DescribeJob(42, 1, 9, "p1"), STARTED | ENDED_WELL_OR_NOT, frozenset()),
    CompletePayload: (CompletePayload(42, 1, 9, "p1"), STARTED, frozenset()),
    FinishJob: (FinishJob(42, 1, 9, "p1"), STARTED, frozenset()),
    FailJob: (FailJob(42, 1, 9, "p1"), HELD_BY_PILOT, frozenset()),
}


@pytest.fixture(name="job")
def new_job() -> Scenario[Job]:
    return Scenario(Job(), job_stream(42))


@pytest.fixture(name="waiting")
def waiting_job(job: Scenario[Job]) -> Scenario[Job]:
    return job.given(*PATHS[Status.WAITING])


@pytest.fixture(name="matched")
def matched_job(job: Scenario[Job]) -> Scenario[Job]:
    return job.given(*PATHS[Status.MATCHED])


@pytest.fixture(name="running")
def running_job(job: Scenario[Job]) -> Scenario[Job]:
    return job.given(*PATHS[Status.RUNNING])
