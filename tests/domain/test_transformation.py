"""Transformations and their tasks: one table of states, a claim for good, and what a failure makes of it."""

from typing import Any

import pytest
from scenario import Scenario

from domain.errors import Code
from domain.transformations.audit import Audit
from domain.transformations.definition import Definition, Plugin, Source, Then
from domain.transformations.inputs import Inputs
from domain.transformations.names import task_stream, transformation_stream
from domain.transformations.task import CancelTask, CreateTask, EndTask, ReplaceTask, Task
from domain.transformations.transformation import (
    TRANSITIONS,
    CleanTransformation,
    CompleteTransformation,
    CreateTransformation,
    DrainTransformation,
    ExtendTransformation,
    PauseTransformation,
    StartTransformation,
    Status,
    Transformation,
)

VO, NAME = "lhcb", "merge"
LIST = Definition("d", Source.LIST)
CREATED = Transformation.Created(NAME, "ann", "Ann", "users", LIST)
CREATE = CreateTransformation(VO, NAME, "ann", "Ann", "users", LIST)
VERBS: dict[Status, Any] = {
    Status.ACTIVE: StartTransformation(VO, NAME),
    Status.PAUSED: PauseTransformation(VO, NAME),
    Status.DRAINING: DrainTransformation(VO, NAME),
    Status.COMPLETED: CompleteTransformation(VO, NAME),
    Status.CLEANING: CleanTransformation(VO, NAME),
    Status.CLEANED: CleanTransformation(VO, NAME, finished=True),
}
EVENTS: dict[Status, Any] = {
    Status.ACTIVE: Transformation.Started(NAME),
    Status.PAUSED: Transformation.Paused(NAME),
    Status.DRAINING: Transformation.Draining(NAME),
    Status.COMPLETED: Transformation.Completed(NAME),
    Status.CLEANING: Transformation.Cleaning(NAME),
    Status.CLEANED: Transformation.Cleaned(NAME),
}


def transformation() -> Scenario[Transformation]:
    return Scenario(Transformation(), transformation_stream(VO, NAME))


def task() -> Scenario[Task]:
    return Scenario(Task(), task_stream(VO, NAME, 1))


def test_a_name_is_given_once_and_the_same_again_is_no_news() -> None:
    story = transformation().when(CREATE).then(CREATED)
    story.when(CREATE).then_nothing()
    other = CreateTransformation(VO, NAME, "ann", "Ann", "users", Definition("other", Source.LIST))
    story.when(other).then_refused(Code.TRANSFORMATION_EXISTS, transformation=NAME)


@pytest.mark.parametrize("status", [s for s in Status if s])
@pytest.mark.parametrize("wanted", VERBS)
def test_every_pair_of_states_is_as_the_table_says(status: Status, wanted: Status) -> None:
    story = transformation().given(CREATED, *([EVENTS[status]] if status in EVENTS else []))
    assert story.state.status is status
    story.when(VERBS[wanted])
    if wanted in TRANSITIONS[status]:
        story.then(EVENTS[wanted])
    elif status is wanted or wanted is Status.CLEANED or (status, wanted) == (Status.CLEANED, Status.CLEANING):
        story.then_nothing()
    else:
        story.then_refused(Code.TRANSFORMATION_STATE, status=status.value)


def test_only_its_owner_and_who_manages_productions_act_on_it() -> None:
    story = transformation().given(CREATED)
    story.when(StartTransformation(VO, NAME), actor="user:bob").then_refused(Code.FORBIDDEN)
    story.when(StartTransformation(VO, NAME), actor="user:bob", rights=("ProductionManagement",))
    story.then(Transformation.Started(NAME))


def test_it_is_extended_and_never_cut_short() -> None:
    story = transformation().given(CREATED).when(ExtendTransformation(VO, NAME, 5))
    story.then(Transformation.Extended(NAME, 5)).when(ExtendTransformation(VO, NAME, 4))
    story.then_refused(Code.TRANSFORMATION, field="max_tasks")
    transformation().when(ExtendTransformation(VO, NAME, 5)).then_refused(Code.TRANSFORMATION_UNKNOWN)


@pytest.mark.parametrize(
    ("field", "definition"),
    [
        ("group_size", Definition("d", Source.LIST, group_size=0)),
        ("max_tasks", Definition("d", Source.NONE)),
        ("conditions", Definition("d", Source.QUERY)),
        ("conditions", Definition("d", Source.LIST, path="/lhcb/a")),
        ("targets", Definition("d", Source.LIST, Plugin.BROADCAST)),
        ("shares", Definition("d", Source.LIST, Plugin.BY_SHARE, shares={"A": -1})),
        ("retries", Definition("d", Source.LIST, retries=99)),
    ],
)
def test_what_cannot_be_carried_out_is_refused_by_its_field(field: str, definition: Definition) -> None:
    command = CreateTransformation(VO, NAME, "ann", "Ann", "users", definition)
    transformation().when(command).then_refused(Code.TRANSFORMATION, field=field)


def test_a_task_is_made_once_and_its_job_is_part_of_the_claim() -> None:
    made = CreateTask(VO, NAME, 1, 7, ("/lhcb/a", "/lhcb/b"))
    story = task().when(made).then(Task.Created(NAME, 1, 7, ("/lhcb/a", "/lhcb/b")))
    story.when(made).then_nothing()
    story.when(CreateTask(VO, NAME, 1, 8)).then_refused(Code.TASK_STATE)
    story.when(EndTask(VO, NAME, 1, 8, retries=0)).then_nothing()
    story.when(EndTask(VO, NAME, 1, 7, retries=0)).then(Task.Done(NAME, 1, 2, "Open"))
    story.when(EndTask(VO, NAME, 1, 7, retries=0)).then_nothing()
    story.when(CancelTask(VO, NAME, 1)).then_nothing()


def test_a_failure_is_tried_again_then_split_then_kept_aside() -> None:
    def failed(final: bool = False) -> EndTask:
        return EndTask(VO, NAME, 1, 7, 1, Then.SPLIT, "exit-code", "3", final)

    story = task().given(Task.Created(NAME, 1, 7, ("/lhcb/a", "/lhcb/b")))
    story.when(failed(final=True)).then(Task.Quarantined(NAME, 1, 2, "exit-code", "3"))
    story = task().given(Task.Created(NAME, 1, 7, ("/lhcb/a", "/lhcb/b")))
    story.when(ReplaceTask(VO, NAME, 1)).then_refused(Code.TASK_STATE, status="Open")
    story.when(failed()).then(Task.Retried(NAME, 1, 1, "exit-code", "3"))
    story.when(failed()).then(Task.Split(NAME, 1, 2, "Open", "exit-code", "3"))
    alone = task().given(Task.Created(NAME, 1, 7, ("/lhcb/a",)), Task.Retried(NAME, 1, 1, "exit-code"))
    alone.when(failed()).then(Task.Quarantined(NAME, 1, 1, "exit-code", "3"))
    alone.when(ReplaceTask(VO, NAME, 1)).then(Task.Split(NAME, 1, 1, "Quarantined", "retried"))


def test_a_quarantined_job_that_was_mended_by_hand_counts() -> None:
    story = task().given(Task.Created(NAME, 1, 7, ("/lhcb/a",)), Task.Quarantined(NAME, 1, 1, "exit-code"))
    story.when(EndTask(VO, NAME, 1, 7, 0)).then(Task.Done(NAME, 1, 1, "Quarantined"))


A, B = "/lhcb/a", "/lhcb/b"
GOOD = [
    Inputs.Attached(NAME, 1, (A, B), 2),
    Task.Created(NAME, 1, 7, (A, B)),
    Task.Split(NAME, 1, 2, "Open"),
    Task.Created(NAME, 2, 8, (A,), parent=1),
    Task.Created(NAME, 3, 9, (B,), parent=1),
    Task.Done(NAME, 2, 1, "Open"),
]


@pytest.mark.parametrize(
    ("problem", "more", "jobs"),
    [
        ("", [], {8: 1}),
        ("attached-twice", [Inputs.Attached(NAME, 2, (A,), 1)], {}),
        ("claimed-twice", [Task.Created(NAME, 4, 10, (A,))], {}),
        ("processed-twice", [Task.Created(NAME, 4, 10, (A,)), Task.Done(NAME, 4, 1, "Open")], {}),
        ("never-attached", [Task.Created(NAME, 4, 10, ("/lhcb/c",))], {}),
        ("job-of-two-tasks", [Inputs.Attached(NAME, 2, ("/lhcb/c",), 1), Task.Created(NAME, 4, 8, ("/lhcb/c",))], {}),
        ("split-lost-inputs", [Task.Split(NAME, 3, 1, "Open")], {}),
        ("job-done-twice", [], {8: 2}),
        ("task-done-twice", [Task.Done(NAME, 2, 1, "Open")], {}),
        ("task-made-twice", [Task.Created(NAME, 3, 9, (B,), parent=1)], {}),
    ],
)
def test_the_audit_finds_every_way_to_break_the_invariant(problem: str, more: list[Any], jobs: dict[int, int]) -> None:
    audit = Audit()
    audit.read([*GOOD, *more])
    found = audit.report(jobs)
    assert found["holds"] is not bool(problem)
    assert not problem or problem in found["problems"]
