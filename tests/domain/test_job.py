"""The rules of a job, as stories."""

from typing import Any

import pytest
from job_stories import (  # noqa: F401
    AGAIN,
    COMMANDS,
    PATHS,
    QUEUED,
    SUBMIT,
    SUBMITTED,
    WANTED,
    matched_job,
    new_job,
    running_job,
    waiting_job,
)
from scenario import Scenario, recorded

from domain.errors import Code
from domain.job import (
    MAX_RESCHEDULES,
    CheckJob,
    DeleteJob,
    ExpireJob,
    FailJob,
    Job,
    JobCommand,
    KillJob,
    LoseJob,
    QueueJob,
    ReleaseMatch,
    RescheduleJob,
    StallJob,
    StartJob,
    Status,
    SubmitJob,
)
from domain.messages import Event, Origin

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


# Silence


def test_silence_stalls_a_running_job_then_loses_it(running: Scenario[Job]) -> None:
    running.when(StallJob(42, 1)).then(Job.Stalled(1))
    running.when(LoseJob(42, 1, "pilot-lost", "p1")).then(Job.Failed(1, "pilot-lost", "p1"))


def test_a_job_whose_outputs_are_on_their_way_stalls_too(job: Scenario[Job]) -> None:
    job.given(*PATHS[Status.COMPLETING]).when(StallJob(42, 1)).then(Job.Stalled(1))


# Owners


def test_the_owner_kills_a_job(running: Scenario[Job]) -> None:
    running.when(KillJob(42, "r" * 300)).then(Job.Killed(1, "r" * 255, "p1"))


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
    running.when(DeleteJob(42)).then(Job.Killed(1, "deleted", "p1"), Job.Deleted())


def test_a_deleted_job_stays_deleted(job: Scenario[Job]) -> None:
    job.given(*PATHS[Status.DELETED]).when(DeleteJob(42)).then_nothing()


def test_an_event_nobody_knows_changes_nothing() -> None:
    class Strange(Event, frozen=True):
        """Of a later release."""

    assert Job(number=1).evolve(recorded(Strange())) == Job(number=1)


def test_a_decision_can_be_repeated_exactly(job: Scenario[Job]) -> None:
    origin = Origin("user:ann", "lhcb", recorded(SUBMITTED).at)
    assert list(Job().decide(SUBMIT, origin)) == list(Job().decide(SUBMIT, origin))
