"""What is late, what is killed and not yet gone, and what waits for requests."""

from typing import Any

import pytest
from job_stories import PATHS, matched_job, new_job, running_job, waiting_job  # noqa: F401
from msgspec.structs import replace
from scenario import BEGIN, Scenario

from domain.errors import Code
from domain.job import (
    CleanJob,
    DeleteJob,
    DescribeJob,
    FailJob,
    FinishJob,
    Job,
    KillJob,
    LoseJob,
    PendJob,
    ProgressJob,
    RescheduleJob,
    SettleJob,
    Status,
    VacateJob,
)
from domain.messages import Event


def test_a_killed_job_is_killed_at_once_and_holds_its_slot_until_its_pilot_says_so(running: Scenario[Job]) -> None:
    running.when(KillJob(42)).then(Job.Killed(1, pilot="p1"))
    assert (running.state.status, running.state.leaving) == (Status.KILLED, True)
    used: dict[str, Any] = {"exit_code": 143, "cpu_seconds": 5.0, "wall_seconds": 9.0, "max_rss_mb": 1.0}
    running.when(FailJob(42, 1, 2, "p1", code="killed", output="SB:never-registered", **used))
    running.then(Job.Vacated(1, "confirmed", 2, **used))
    assert (running.state.status, running.state.leaving) == (Status.KILLED, False)
    running.when(FailJob(42, 1, 3, "p1", code="killed")).then_refused(Code.JOB_STATE)


def test_a_job_that_ended_well_before_it_heard_of_its_end_is_killed_all_the_same(running: Scenario[Job]) -> None:
    running.when(KillJob(42)).then(Job.Killed(1, pilot="p1"))
    running.when(FinishJob(42, 1, 2, "p1", cpu_seconds=3.0)).then(Job.Vacated(1, "confirmed", 2, cpu_seconds=3.0))
    assert running.state.status is Status.KILLED


@pytest.mark.parametrize(
    ("command", "how"), [(VacateJob(42, 1), "silence"), (LoseJob(42, 1, "pilot-lost"), "pilot-lost")]
)
def test_a_pilot_that_never_says_so_does_not_hold_it_for_ever(running: Scenario[Job], command: Any, how: str) -> None:
    running.when(KillJob(42)).then(Job.Killed(1, pilot="p1"))
    running.when(command).then(Job.Vacated(1, how))
    running.when(command).then_nothing()


def test_a_superseded_attempt_is_left_behind_and_its_pilot_has_no_say(running: Scenario[Job]) -> None:
    running.when(KillJob(42)).then(Job.Killed(1, pilot="p1"))
    running.when(RescheduleJob(42)).then(Job.Vacated(1, "superseded"), Job.Rescheduled(2, 1))
    running.when(FinishJob(42, 1, 2, "p1", output="SB:x")).then_refused(Code.JOB_ATTEMPT)


def test_a_deleted_job_that_ran_is_vacated_too(running: Scenario[Job]) -> None:
    running.when(DeleteJob(42)).then(Job.Killed(1, "deleted", "p1"), Job.Deleted())
    running.when(FailJob(42, 1, 2, "p1", code="killed")).then(Job.Vacated(1, "confirmed", 2))
    assert running.state.status is Status.DELETED


def test_a_job_that_no_pilot_had_leaves_nothing(waiting: Scenario[Job]) -> None:
    waiting.when(KillJob(42)).then(Job.Killed(1))
    waiting.when(VacateJob(42, 1)).then_nothing()


def test_a_note_that_was_passed_over_is_kept_and_changes_nothing(running: Scenario[Job]) -> None:
    running.when(ProgressJob(42, 1, 4, "p1", minor="third")).then(Job.Progressed(4, "third"))
    late = ProgressJob(42, 1, 2, "p1", minor="first", said_at=BEGIN)
    running.when(late).then(Job.Late(1, 2, "progress", "first", said_at=BEGIN))
    running.when(late).then_nothing()
    running.when(DescribeJob(42, 1, 3, "p1", values={"a": 1})).then(Job.Late(1, 3, "values", values={"a": 1}))
    assert running.state.status is Status.RUNNING


@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED])
def test_what_is_said_after_the_end_is_kept_once_and_wakes_nobody(job: Scenario[Job], status: Status) -> None:
    job.given(*PATHS[status])
    job.when(ProgressJob(42, 1, 9, "p1", minor="bye")).then(Job.Late(1, 9, "progress", "bye"))
    job.when(ProgressJob(42, 1, 9, "p1", minor="bye")).then_nothing()
    assert job.state.status is status


def test_a_late_start_is_refused_once_the_job_has_ended(running: Scenario[Job]) -> None:
    running.given(Job.Failed(1, "payload-lost"))
    running.when(FinishJob(42, 1, 5, "p1")).then_refused(Code.JOB_STATE, verb="finish")


def test_a_job_with_pending_requests_is_done_when_they_are(running: Scenario[Job]) -> None:
    running.when(PendJob(42, 1, 2, "p1", pending=("r1",))).then(Job.PayloadEnded(2, 1), Job.Completed(2, 1, ("r1",)))
    running.when(SettleJob(42, 1)).then(Job.Settled(1))
    running.when(SettleJob(42, 1)).then_nothing()
    assert running.state.status is Status.DONE


def test_requests_that_fail_fail_the_job(job: Scenario[Job]) -> None:
    job.given(*PATHS[Status.COMPLETED]).when(SettleJob(42, 1, "requests-failed"))
    job.then(Job.Settled(1, "requests-failed"))
    assert job.state.status is Status.FAILED
    job.when(RescheduleJob(42)).then(Job.Rescheduled(2, 1))


def test_what_ended_long_ago_is_deleted_unless_it_ran_again(job: Scenario[Job]) -> None:
    job.given(*PATHS[Status.FAILED])
    job.when(RescheduleJob(42)).then(Job.Rescheduled(2, 1))
    job.when(CleanJob(42, 1)).then_refused(Code.JOB_ATTEMPT)
    job.given(Job.Killed(2)).when(CleanJob(42, 2)).then(Job.Deleted())


def test_jobs_of_a_production_are_cleaned_with_it(job: Scenario[Job]) -> None:
    first = PATHS[Status.DONE][0]
    assert isinstance(first, Job.Submitted)
    production = replace(first, requirements=replace(first.requirements, job_type="MCSimulation"))
    events: list[Event] = [production, *PATHS[Status.DONE][1:]]
    job.given(*events).when(CleanJob(42, 1)).then_nothing()
