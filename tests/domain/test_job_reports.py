"""What pilots say of a job: in order, once, by the right pilot, of the right attempt."""

from typing import Any

import pytest
from job_stories import AGAIN, MATCHED, OFFER, PATHS, REPORTS, STARTED_EVENT, matched_job, new_job, running_job  # noqa: F401
from msgspec.structs import replace
from scenario import BEGIN, Scenario

from domain.errors import Code
from domain.job import (
    MOST_NOTES,
    CompletePayload,
    DescribeJob,
    ExpireJob,
    FailJob,
    FinishJob,
    Job,
    JobCommand,
    LoseJob,
    NoteJob,
    ProgressJob,
    ReleaseMatch,
    StallJob,
    StartJob,
    Status,
)
from domain.messages import Event


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


def test_what_a_job_says_of_itself_leaves_its_pilots_numbers_alone(running: Scenario[Job]) -> None:
    seq = running.state.seq
    running.when(NoteJob(42, 1, "event 7")).then(Job.Progressed(seq, application="event 7", said_at=BEGIN))
    running.when(NoteJob(42, 2, "event 8")).then_refused(Code.JOB_ATTEMPT)
    running.when(ProgressJob(42, 1, seq + 1, "p1", minor="x")).then(Job.Progressed(seq + 1, "x"))


def test_a_job_says_so_many_things_of_itself_and_no_more(running: Scenario[Job]) -> None:
    seq = running.state.seq
    running.given(*[Job.Progressed(seq, application="x")] * MOST_NOTES)
    running.when(NoteJob(42, 1, "event 7")).then_refused(Code.TOO_MANY)
    running.when(FinishJob(42, 1, seq + 1, "p1")).then(Job.Done(seq + 1, 1))
