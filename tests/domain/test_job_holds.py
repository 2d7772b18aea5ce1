"""Holding a job: several reasons at once, who may give them, and what happens when the last one is gone."""

import pytest
from job_stories import AGAIN, PATHS, QUEUED, new_job, waiting_job  # noqa: F401
from scenario import Scenario

from domain.errors import Code
from domain.job import (
    MOST_HOLDS,
    CheckJob,
    DeleteJob,
    ExpireJob,
    FreeJob,
    HoldJob,
    Job,
    KillJob,
    QueueJob,
    RescheduleJob,
    Status,
)

SUSPENDED = "user-suspended"
POLICY = "policy:suspension"


def test_a_job_is_queued_again_when_the_last_reason_is_gone(waiting: Scenario[Job]) -> None:
    waiting.when(HoldJob(42, "user", "wrong input")).then(Job.Held(1, "user", ("user",), "wrong input"))
    waiting.when(HoldJob(42, SUSPENDED), POLICY).then(Job.Held(1, SUSPENDED, ("user", SUSPENDED)))
    waiting.when(FreeJob(42)).then(Job.Freed(1, "user", "Waiting", (SUSPENDED,)))
    waiting.when(FreeJob(42, SUSPENDED), POLICY).then(Job.Freed(1, SUSPENDED, "Waiting"), QUEUED)


def test_the_same_reason_twice_is_one(waiting: Scenario[Job]) -> None:
    waiting.when(HoldJob(42)).then(Job.Held(1, "user", ("user",)))
    waiting.when(HoldJob(42)).then_nothing()
    waiting.when(FreeJob(42)).then(Job.Freed(1, "user", "Waiting"), QUEUED)
    waiting.when(FreeJob(42)).then_nothing()


@pytest.mark.parametrize("status", [Status.RECEIVED, Status.CHECKING])
def test_a_job_held_before_it_waits_is_not_queued(job: Scenario[Job], status: Status) -> None:
    job.given(*PATHS[status]).when(HoldJob(42)).then(Job.Held(1, "user", ("user",)))
    if status is Status.RECEIVED:
        job.when(CheckJob(42), "policy:scheduling").then(Job.Checked())
    job.when(QueueJob(42), "policy:scheduling").then_nothing()
    job.when(FreeJob(42)).then(Job.Freed(1, "user", "Checking"))
    job.when(QueueJob(42), "policy:scheduling").then(QUEUED)


@pytest.mark.parametrize("status", [Status.MATCHED, Status.RUNNING, Status.DONE, Status.KILLED])
def test_what_a_pilot_has_or_had_cannot_be_held(job: Scenario[Job], status: Status) -> None:
    job.given(*PATHS[status]).when(HoldJob(42)).then_refused(Code.JOB_STATE, verb="hold")


def test_a_held_job_can_be_killed_and_deleted(waiting: Scenario[Job]) -> None:
    waiting.when(HoldJob(42)).then(Job.Held(1, "user", ("user",)))
    waiting.when(KillJob(42)).then(Job.Killed(1))
    waiting.when(DeleteJob(42)).then(Job.Deleted())


def test_what_held_an_attempt_holds_the_next_one(waiting: Scenario[Job]) -> None:
    waiting.when(HoldJob(42)).then(Job.Held(1, "user", ("user",)))
    waiting.when(RescheduleJob(42)).then(Job.Rescheduled(2, 1), Job.Held(2, "user", ("user",)))
    waiting.when(CheckJob(42)).then(Job.Checked())
    waiting.when(QueueJob(42)).then_nothing()
    waiting.when(FreeJob(42)).then(Job.Freed(2, "user", "Checking"))
    waiting.when(QueueJob(42)).then(AGAIN)


def test_an_owner_has_one_reason_of_his_own_and_takes_no_other_away(waiting: Scenario[Job]) -> None:
    waiting.when(HoldJob(42, SUSPENDED)).then_refused(Code.FORBIDDEN)
    waiting.when(HoldJob(42, SUSPENDED), POLICY).then(Job.Held(1, SUSPENDED, (SUSPENDED,)))
    waiting.when(FreeJob(42, SUSPENDED)).then_refused(Code.FORBIDDEN)
    waiting.when(FreeJob(42, SUSPENDED), "user:boss", rights=("JobAdministrator",))
    waiting.then(Job.Freed(1, SUSPENDED, "Waiting"), QUEUED)


def test_strangers_hold_nothing(waiting: Scenario[Job]) -> None:
    waiting.when(HoldJob(42), "user:bob").then_refused(Code.JOB_NOT_YOURS)
    waiting.when(HoldJob(42), vo="belle").then_refused(Code.JOB_UNKNOWN)


@pytest.mark.parametrize("code", ["", "Upper", "with space", "9", "a" * 65, "ä"])
def test_a_reason_is_a_word(waiting: Scenario[Job], code: str) -> None:
    waiting.when(HoldJob(42, code), POLICY).then_refused(Code.MALFORMED)


def test_reasons_are_bounded(waiting: Scenario[Job]) -> None:
    codes = tuple(f"reason-{n}" for n in range(MOST_HOLDS))
    waiting.given(Job.Held(1, codes[-1], codes))
    waiting.when(HoldJob(42, "more"), POLICY).then_refused(Code.TOO_MANY)


def test_a_job_is_not_held_for_ever(waiting: Scenario[Job]) -> None:
    waiting.when(HoldJob(42)).then(Job.Held(1, "user", ("user",)))
    waiting.when(ExpireJob(42, 1), "timer").then(Job.Failed(1, "held-too-long", "user"))
