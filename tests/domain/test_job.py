"""The rules of a job, as stories."""

from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from scenario import Scenario, recorded

from domain.errors import Code
from domain.job import (
    FINAL,
    HELD_BY_PILOT,
    MAX_RESCHEDULES,
    STARTABLE,
    STARTED,
    TRANSITIONS,
    CheckJob,
    CompletePayload,
    DeleteJob,
    DescribeJob,
    ExpireJob,
    FailJob,
    FinishJob,
    Job,
    JobCommand,
    KillJob,
    LoseJob,
    ProgressJob,
    QueueJob,
    ReleaseMatch,
    RescheduleJob,
    ResumeJob,
    StallJob,
    StartJob,
    Status,
    SubmitJob,
)
from domain.messages import Event, Origin
from domain.requirements import Requirements
from domain.values import job_stream

REPORTS = [StartJob, ProgressJob, DescribeJob, CompletePayload, FinishJob, FailJob]
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
    Status.DONE: [SUBMITTED, Job.Checked(), QUEUED, MATCHED, STARTED_EVENT, Job.Done(3, 1)],
    Status.FAILED: [SUBMITTED, Job.Checked(), QUEUED, MATCHED, Job.Failed(1, "exit-code", seq=3)],
    Status.KILLED: [SUBMITTED, Job.Checked(), QUEUED, MATCHED, Job.Killed(1)],
    Status.DELETED: [SUBMITTED, Job.Deleted()],
}
COMMANDS: dict[type[JobCommand], tuple[JobCommand, frozenset[Status], frozenset[Status]]] = {
    # the command, the states it acts in, the states in which it is accepted and changes nothing; all others refuse
    CheckJob: (CheckJob(42), frozenset({Status.RECEIVED}), frozenset()),
    QueueJob: (QueueJob(42), frozenset({Status.RECEIVED, Status.CHECKING}), frozenset()),
    ReleaseMatch: (ReleaseMatch(42, 1), frozenset({Status.MATCHED}), frozenset(PATHS) - {Status.NEW}),
    StallJob: (StallJob(42, 1), frozenset({Status.RUNNING, Status.COMPLETING}), frozenset(PATHS) - {Status.NEW}),
    ResumeJob: (ResumeJob(42, 1, "p1"), frozenset({Status.STALLED}), frozenset(PATHS) - {Status.NEW}),
    LoseJob: (LoseJob(42, 1), HELD_BY_PILOT, frozenset(PATHS) - {Status.NEW}),
    ExpireJob: (ExpireJob(42, 1), frozenset({Status.WAITING}), frozenset(PATHS) - {Status.NEW}),
    KillJob: (KillJob(42), frozenset(PATHS) - {Status.NEW} - FINAL, frozenset({Status.KILLED})),
    RescheduleJob: (RescheduleJob(42), frozenset({Status.WAITING, Status.FAILED, Status.KILLED}), frozenset()),
    DeleteJob: (DeleteJob(42), frozenset(PATHS) - {Status.NEW, Status.DELETED}, frozenset({Status.DELETED})),
    StartJob: (StartJob(42, 1, 9, "p1"), STARTABLE, frozenset()),
    ProgressJob: (ProgressJob(42, 1, 9, "p1"), STARTED, frozenset()),
    DescribeJob: (DescribeJob(42, 1, 9, "p1"), STARTED, frozenset()),
    CompletePayload: (CompletePayload(42, 1, 9, "p1"), STARTED, frozenset()),
    FinishJob: (FinishJob(42, 1, 9, "p1"), STARTED, frozenset()),
    FailJob: (FailJob(42, 1, 9, "p1"), HELD_BY_PILOT, frozenset()),
}


@pytest.fixture
def job() -> Scenario[Job]:
    return Scenario(Job(), job_stream(42))


@pytest.fixture
def waiting(job: Scenario[Job]) -> Scenario[Job]:
    return job.given(*PATHS[Status.WAITING])


@pytest.fixture
def matched(job: Scenario[Job]) -> Scenario[Job]:
    return job.given(*PATHS[Status.MATCHED])


@pytest.fixture
def running(job: Scenario[Job]) -> Scenario[Job]:
    return job.given(*PATHS[Status.RUNNING])


def test_the_paths_lead_where_they_say() -> None:
    found = {status: Scenario(Job(), job_stream(42)).given(*path).state.status for status, path in PATHS.items()}
    assert found == {status: status for status in PATHS}


def test_every_command_of_a_job_has_its_row_in_the_table_of_states() -> None:
    assert Job.decisions().keys() == COMMANDS.keys() | {SubmitJob}


@pytest.mark.parametrize("status", PATHS)
@pytest.mark.parametrize("kind", COMMANDS)
def test_each_command_acts_in_its_states_and_is_refused_in_all_others(
    job: Scenario[Job], kind: type[JobCommand], status: Status
) -> None:
    command, acts, silent = COMMANDS[kind]
    job.given(*PATHS[status]).when(command)
    if status in acts:
        assert job.refusal is None
        assert job.events
    elif status in silent:
        job.then_nothing()
    else:
        unassigned = not job.state.pilot and hasattr(command, "pilot")
        wrong_pilot = Code.PILOT_JOB if unassigned else Code.JOB_STATE
        job.then_refused(Code.JOB_UNKNOWN if status is Status.NEW else wrong_pilot)


@pytest.mark.parametrize("status", PATHS)
@pytest.mark.parametrize("kind", COMMANDS)
def test_no_decision_leaves_the_table_of_transitions(
    job: Scenario[Job], kind: type[JobCommand], status: Status
) -> None:
    job.given(*PATHS[status]).when(COMMANDS[kind][0])
    state = job.state
    for number, event in enumerate(job.events, job.version + 1):
        after = state.evolve(recorded(event, job.stream, number))
        released = isinstance(event, Job.Released)
        assert released or after.status is state.status or after.status in TRANSITIONS[state.status]
        state = after


def test_every_event_of_a_job_means_something_for_its_state() -> None:
    samples: list[Event] = [
        *PATHS[Status.DONE],
        ENDED,
        Job.Released("p1"),
        Job.Progressed(8),
        Job.Described(9),
        Job.Failed(1, "exit-code"),
        Job.Stalled(1),
        Job.Resumed(1),
        Job.Killed(1),
        Job.Rescheduled(2, 1),
        Job.Deleted(),
    ]
    assert {type(sample) for sample in samples} == set(Job.events().values())
    before = Job(number=42, status=Status.SUBMITTING, pilot="p9", seq=5)
    for sample in samples:
        assert before.evolve(recorded(sample, job_stream(42))) != before, type(sample)


# Submission


def test_a_submitted_job_is_received(job: Scenario[Job]) -> None:
    job.when(SUBMIT).then(SUBMITTED)
    assert job.state == Job(42, "lhcb", "ann", "user", WANTED, 5, Status.RECEIVED, 1)


def test_a_number_is_given_once(job: Scenario[Job]) -> None:
    job.given(SUBMITTED).when(SUBMIT).then_refused(Code.JOB_EXISTS, job=42)


def test_the_submission_and_its_event_tell_the_same() -> None:
    assert SubmitJob.__struct_fields__ == Job.Submitted.__struct_fields__


# The way to a pilot


def test_a_received_job_is_checked_then_queued(job: Scenario[Job]) -> None:
    job.given(SUBMITTED).when(CheckJob(42)).then(Job.Checked()).when(QueueJob(42)).then(QUEUED)


def test_a_job_forgotten_before_its_checks_is_checked_when_it_is_queued(job: Scenario[Job]) -> None:
    job.given(SUBMITTED).when(QueueJob(42)).then(Job.Checked(), QUEUED)


def test_a_job_is_queued_only_once(waiting: Scenario[Job]) -> None:
    waiting.when(QueueJob(42)).then_refused(Code.JOB_STATE, job=42, status="Waiting", verb="queue")


def test_a_match_that_nobody_confirmed_is_given_back_and_does_not_count(matched: Scenario[Job]) -> None:
    matched.when(ReleaseMatch(42, 1)).then(Job.Released("p1"), QUEUED)
    assert (matched.state.status, matched.state.attempt) == (Status.WAITING, 1)


def test_the_pilot_of_a_released_match_has_no_say_any_more(matched: Scenario[Job]) -> None:
    matched.given(Job.Released("p1"), QUEUED)
    matched.when(FailJob(42, 1, 1, "p1", code="sandbox-download")).then_refused(Code.PILOT_JOB, pilot="p1")
    matched.when(StartJob(42, 1, 1, "p1")).then_refused(Code.PILOT_JOB)


def test_a_report_without_a_pilot_is_no_report_on_a_waiting_job(waiting: Scenario[Job]) -> None:
    waiting.when(FailJob(42, 1, 1, "")).then_refused(Code.PILOT_JOB, job=42)


def test_a_job_that_nobody_took_in_time_fails(waiting: Scenario[Job]) -> None:
    waiting.when(ExpireJob(42, 1)).then(Job.Failed(1, "waited-too-long"))


# Reports


def test_a_report_of_the_start_makes_a_job_run(matched: Scenario[Job]) -> None:
    matched.when(StartJob(42, 1, 1, "p1", host="node7", pid=99)).then(STARTED_EVENT)
    assert matched.state.status is Status.RUNNING


def test_progress_before_the_start_is_refused(matched: Scenario[Job]) -> None:
    """Accepting it would use up the number of the start, and the match would be released while the payload runs."""
    matched.when(ProgressJob(42, 1, 2, "p1")).then_refused(Code.JOB_STATE, status="Matched", verb="progress")
    matched.when(StartJob(42, 1, 1, "p1", host="node7", pid=99)).then(STARTED_EVENT)


def test_progress_is_noted_and_long_texts_are_cut(running: Scenario[Job]) -> None:
    running.when(ProgressJob(42, 1, 2, "p1", minor="m" * 300, application="a" * 300)).then(
        Job.Progressed(2, "m" * 255, "a" * 255)
    )


def test_values_are_kept_as_they_come(running: Scenario[Job]) -> None:
    running.when(DescribeJob(42, 1, 2, "p1", values={"HostName": "n"})).then(Job.Described(2, {"HostName": "n"}))


@pytest.mark.parametrize(
    ("report", "events"),
    [
        (StartJob(42, 1, 4, "p1"), [Job.Started(4, 1)]),
        (ProgressJob(42, 1, 4, "p1", minor="x"), [Job.Resumed(1), Job.Progressed(4, "x")]),
        (DescribeJob(42, 1, 4, "p1", values={"a": 1}), [Job.Resumed(1), Job.Described(4, {"a": 1})]),
        (CompletePayload(42, 1, 4, "p1", exit_code=3), [Job.Resumed(1), Job.PayloadEnded(4, 1, 3)]),
        (FinishJob(42, 1, 4, "p1"), [Job.Done(4, 1)]),
        (FailJob(42, 1, 4, "p1", code="exit-code"), [Job.Failed(1, "exit-code", seq=4)]),
    ],
)
def test_whatever_is_heard_of_a_stalled_job_ends_the_silence(
    job: Scenario[Job], report: JobCommand, events: list[Event]
) -> None:
    job.given(*PATHS[Status.STALLED]).when(report).then(*events)
    assert job.state.status is not Status.STALLED


def test_the_good_end_keeps_what_was_used_and_what_was_missing(running: Scenario[Job]) -> None:
    used = {"cpu_seconds": 9.5, "wall_seconds": 11.0, "max_rss_mb": 120.5, "output": "SB:x", "missing": ("a.root",)}
    running.when(FinishJob(42, 1, 2, "p1", **used)).then(Job.Done(2, 1, **used))
    assert running.state.status is Status.DONE


def test_the_bad_end_keeps_its_code(running: Scenario[Job]) -> None:
    said: dict[str, Any] = {"code": "memory-limit", "detail": "2049 MB", "exit_code": 137}
    running.when(FailJob(42, 1, 2, "p1", **said)).then(Job.Failed(1, seq=2, **said))


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("status", [Status.RUNNING, Status.DONE, Status.FAILED, Status.COMPLETING])
def test_a_report_that_came_before_changes_nothing(job: Scenario[Job], report: Any, status: Status) -> None:
    job.given(*PATHS[status]).when(report(42, 1, 1, "p1")).then_nothing()


@pytest.mark.parametrize("report", REPORTS)
def test_a_foreign_pilot_has_no_say(running: Scenario[Job], report: Any) -> None:
    running.when(report(42, 1, 2, "p2")).then_refused(Code.PILOT_JOB, job=42, pilot="p2")


@pytest.mark.parametrize("report", REPORTS)
def test_a_pilot_of_the_same_stamp_in_another_vo_has_no_say(running: Scenario[Job], report: Any) -> None:
    running.when(report(42, 1, 2, "p1"), actor="pilot:p1", vo="belle").then_refused(Code.JOB_UNKNOWN, job=42)


@pytest.mark.parametrize("kind", [*REPORTS, ReleaseMatch, StallJob, LoseJob, ExpireJob])
@pytest.mark.parametrize("attempt", [1, 3])
def test_what_concerns_another_attempt_is_refused(running: Scenario[Job], kind: Any, attempt: int) -> None:
    running.given(Job.Failed(1, "pilot-lost"), Job.Rescheduled(2, 1), Job.Checked(), AGAIN)
    running.given(replace(MATCHED, attempt=2), Job.Started(1, 2))
    more = (9, "p1") if kind in REPORTS else ()
    running.when(kind(42, attempt, *more)).then_refused(Code.JOB_ATTEMPT, job=42, attempt=attempt, current=2)


def test_the_numbers_of_reports_begin_anew_with_each_match(running: Scenario[Job]) -> None:
    running.given(Job.Failed(1, "pilot-lost"), Job.Rescheduled(2, 1), Job.Checked(), AGAIN)
    running.given(Job.Matched("p2", OFFER, 2)).when(StartJob(42, 2, 1, "p2")).then(Job.Started(1, 2))


@pytest.mark.parametrize("report", [FinishJob, FailJob])
def test_a_job_ends_once_whatever_number_the_second_report_has(running: Scenario[Job], report: Any) -> None:
    running.given(Job.Done(2, 1)).when(report(42, 1, 3, "p1")).then_refused(Code.JOB_STATE, status="Done")


def test_a_pilot_given_up_cannot_finish_its_job_after_all(running: Scenario[Job]) -> None:
    running.given(Job.Failed(1, "pilot-lost"))
    running.when(FinishJob(42, 1, 2, "p1")).then_refused(Code.JOB_STATE, status="Failed", verb="finish")
    running.when(FailJob(42, 1, 2, "p1")).then_refused(Code.JOB_STATE, status="Failed", verb="fail")


# Silence


def test_silence_stalls_a_running_job_then_loses_it(running: Scenario[Job]) -> None:
    running.when(StallJob(42, 1)).then(Job.Stalled(1))
    running.when(LoseJob(42, 1, "pilot-lost", "p1")).then(Job.Failed(1, "pilot-lost", "p1"))


def test_a_job_whose_outputs_are_on_their_way_stalls_too(job: Scenario[Job]) -> None:
    job.given(*PATHS[Status.COMPLETING]).when(StallJob(42, 1)).then(Job.Stalled(1))


# Owners


def test_the_owner_kills_a_job(running: Scenario[Job]) -> None:
    running.when(KillJob(42, "r" * 300)).then(Job.Killed(1, "r" * 255))


def test_a_killed_job_stays_killed_without_a_second_event(running: Scenario[Job]) -> None:
    running.given(Job.Killed(1)).when(KillJob(42)).then_nothing()


def test_a_stale_kill_never_hits_a_later_attempt(running: Scenario[Job]) -> None:
    running.given(Job.Failed(1, "x"), Job.Rescheduled(2, 1))
    running.when(KillJob(42, attempt=1)).then_refused(Code.JOB_ATTEMPT, attempt=1, current=2)
    running.when(KillJob(42, attempt=2)).then(Job.Killed(2))


@pytest.mark.parametrize("kind", [KillJob, RescheduleJob, DeleteJob])
@pytest.mark.parametrize("status", [Status.WAITING, Status.FAILED])
def test_a_job_belongs_to_its_owner(job: Scenario[Job], kind: Any, status: Status) -> None:
    job.given(*PATHS[status]).when(kind(42), actor="user:bob").then_refused(Code.JOB_NOT_YOURS, job=42)


@pytest.mark.parametrize("actor", ["user:bob", "policy:rescheduling", "timer", "program:x"])
def test_administrators_and_the_system_may_do_what_the_owner_may(waiting: Scenario[Job], actor: str) -> None:
    waiting.when(KillJob(42), actor=actor, rights=("JobAdministrator",)).then(Job.Killed(1))


@pytest.mark.parametrize("command", [entry[0] for entry in COMMANDS.values()])
def test_a_job_is_known_in_its_own_vo_only(running: Scenario[Job], command: JobCommand) -> None:
    running.when(command, vo="belle", rights=("JobAdministrator",)).then_refused(Code.JOB_UNKNOWN, job=42)


def test_a_failed_job_runs_again_as_another_attempt(running: Scenario[Job]) -> None:
    running.given(Job.Failed(1, "pilot-lost", seq=7))
    running.when(RescheduleJob(42, "pilot-lost", 1)).then(Job.Rescheduled(2, 1, "pilot-lost"))
    assert (running.state.pilot, running.state.seq, running.state.attempt) == ("", 0, 2)


def test_a_late_policy_does_not_reschedule_what_its_owner_rescheduled_already(running: Scenario[Job]) -> None:
    running.given(Job.Failed(1, "pilot-lost"), Job.Rescheduled(2, 1), Job.Checked(), AGAIN)
    running.when(RescheduleJob(42, "pilot-lost", 1), actor="policy:rescheduling")
    running.then_refused(Code.JOB_ATTEMPT, attempt=1, current=2)


def test_a_job_is_rescheduled_a_limited_number_of_times(running: Scenario[Job]) -> None:
    for n in range(MAX_RESCHEDULES):
        running.given(Job.Failed(n + 1, "exit-code"))
        running.when(RescheduleJob(42)).then(Job.Rescheduled(n + 2, n + 1))
    running.given(Job.Killed(4)).when(RescheduleJob(42)).then_refused(Code.RESCHEDULED_TOO_OFTEN, job=42, count=3)


def test_a_living_job_is_killed_before_it_is_deleted(running: Scenario[Job]) -> None:
    running.when(DeleteJob(42)).then(Job.Killed(1, "deleted"), Job.Deleted())


def test_a_deleted_job_stays_deleted(job: Scenario[Job]) -> None:
    job.given(*PATHS[Status.DELETED]).when(DeleteJob(42)).then_nothing()


def test_an_event_nobody_knows_changes_nothing() -> None:
    class Strange(Event, frozen=True):
        """Of a later release."""

    assert Job(number=1).evolve(recorded(Strange())) == Job(number=1)


def test_a_decision_can_be_repeated_exactly(job: Scenario[Job]) -> None:
    origin = Origin("user:ann", "lhcb", recorded(SUBMITTED).at)
    assert list(Job().decide(SUBMIT, origin)) == list(Job().decide(SUBMIT, origin))
