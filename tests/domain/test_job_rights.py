"""Who may do what to a job (DIRAC 9.1 JobPolicy), and what acts besides killing mean."""

import pytest
from job_stories import PATHS, QUEUED, new_job, waiting_job  # noqa: F401
from msgspec.structs import replace
from scenario import BEGIN, Scenario

from domain.errors import Code, Refused
from domain.job import (
    MAX_RESCHEDULES,
    DeleteJob,
    FreeJob,
    HoldJob,
    Job,
    JobCommand,
    KillJob,
    PrioritiseJob,
    RescheduleJob,
    ResetJob,
    Status,
)
from domain.messages import Origin

ACTS = [KillJob(42), DeleteJob(42), RescheduleJob(42), HoldJob(42), FreeJob(42), PrioritiseJob(42, 9)]
PEOPLE: list[tuple[str, str, frozenset[str], bool, bool]] = [
    # who, group, rights; may act; may reset
    ("ann", "user", frozenset({"NormalUser"}), True, False),
    ("bob", "user", frozenset({"NormalUser"}), False, False),
    ("bob", "user", frozenset({"NormalUser", "JobSharing"}), True, False),
    ("bob", "other", frozenset({"NormalUser", "JobSharing"}), False, False),
    ("bob", "other", frozenset({"JobMonitor"}), False, False),
    ("bob", "other", frozenset({"Operator"}), False, False),
    ("bob", "other", frozenset({"JobAdministrator"}), True, True),
]


def allowed(job: Scenario[Job], command: JobCommand, who: str, group: str, rights: frozenset[str]) -> bool:
    try:
        list(job.state.decide(command, Origin(f"user:{who}", "lhcb", BEGIN, rights=rights, group=group)))
    except Refused as refused:
        assert refused.code in (Code.JOB_NOT_YOURS, Code.FORBIDDEN)
        return False
    return True


@pytest.mark.parametrize(("who", "group", "rights", "acts", "resets"), PEOPLE)
def test_owner_sharing_group_and_administrator_act_and_nobody_else(
    waiting: Scenario[Job], who: str, group: str, rights: frozenset[str], acts: bool, resets: bool
) -> None:
    assert [allowed(waiting, each, who, group, rights) for each in ACTS] == [acts] * len(ACTS)
    assert allowed(waiting, ResetJob(42), who, group, rights) is resets


def test_a_priority_changes_the_place_of_what_waits_at_once(waiting: Scenario[Job]) -> None:
    waiting.when(PrioritiseJob(42, 9)).then(Job.Prioritised(9, 5), replace(QUEUED, priority=9))
    waiting.when(PrioritiseJob(42, 9)).then_nothing()


def test_a_priority_of_a_held_job_counts_when_it_is_freed(waiting: Scenario[Job]) -> None:
    waiting.given(Job.Held(1, "user", ("user",)))
    waiting.when(PrioritiseJob(42, 2)).then(Job.Prioritised(2, 5))
    waiting.when(FreeJob(42)).then(Job.Freed(1, "user", "Waiting"), replace(QUEUED, priority=2))


@pytest.mark.parametrize("priority", [-1, 11, 2**40])
def test_a_priority_has_its_range(waiting: Scenario[Job], priority: int) -> None:
    waiting.when(PrioritiseJob(42, priority)).then_refused(Code.DESCRIPTION, field="priority")


def test_a_reset_gives_all_attempts_back(job: Scenario[Job]) -> None:
    job.given(*PATHS[Status.FAILED], Job.Rescheduled(4, MAX_RESCHEDULES), Job.Killed(4))
    job.when(RescheduleJob(42)).then_refused(Code.RESCHEDULED_TOO_OFTEN)
    job.when(ResetJob(42), "user:boss", rights=("JobAdministrator",)).then(Job.Rescheduled(5, 0, "reset"))
    assert job.state.reschedules == 0
