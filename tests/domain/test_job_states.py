"""The state table of a job: each command in each state."""

import pytest
from job_stories import COMMANDS, ENDED, PATHS, new_job  # noqa: F401
from scenario import Scenario, recorded

from domain.errors import Code
from domain.job import TRANSITIONS, Job, JobCommand, ResetJob, Status, SubmitJob
from domain.messages import Event
from domain.values import job_stream


def test_the_paths_lead_where_they_say() -> None:
    found = {status: Scenario(Job(), job_stream(42)).given(*path).state.status for status, path in PATHS.items()}
    assert found == {status: status for status in PATHS}


def test_every_command_of_a_job_has_its_row_in_the_table_of_states() -> None:
    assert Job.decisions().keys() == COMMANDS.keys() | {SubmitJob, ResetJob}


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
        Job.Prioritised(9, 1),
        Job.Vacated(1, "silence"),
        Job.Late(1, 9, "progress"),
        Job.Completed(9, 1, ("r",)),
        Job.Settled(1),
        Job.Held(1, "b", ("a", "b")),
        Job.Freed(1, "a", "Waiting"),
        Job.Located(("A",)),
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
    before = Job(number=42, status=Status.SUBMITTING, pilot="p9", seq=5, holds=("a",), leaving=True)
    for sample in samples:
        assert before.evolve(recorded(sample, job_stream(42))) != before, type(sample)
