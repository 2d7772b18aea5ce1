"""One act on many jobs, as a story."""

from uuid import UUID

import pytest
from scenario import Scenario

from domain.bulk_action import (
    MOST,
    PART,
    UNDONE,
    BulkAction,
    ConfirmBulk,
    DropBulk,
    GoOnWithBulk,
    PlanBulk,
    Status,
    UndoBulk,
    Verb,
)
from domain.errors import Code

ID = UUID("6c4d6f1e-1d0c-5f43-9d3c-0c6f2b8a0a11")
JOBS = tuple(range(1, PART + 3))
PLANNED = BulkAction.Planned(Verb.HOLD, JOBS, "name=fit", "wrong")
FIRST = BulkAction.Part(ID, Verb.HOLD, JOBS[:PART], PART, "wrong")
REST = BulkAction.Part(ID, Verb.HOLD, JOBS[PART:], len(JOBS), "wrong")


@pytest.fixture(name="action")
def new_action() -> Scenario[BulkAction]:
    return Scenario(BulkAction(), ID)


def test_it_is_planned_confirmed_and_carried_out_a_part_at_a_time(action: Scenario[BulkAction]) -> None:
    action.when(PlanBulk(ID, Verb.HOLD, JOBS, "name=fit", "wrong")).then(PLANNED)
    action.when(ConfirmBulk(ID)).then(BulkAction.Confirmed(), FIRST)
    action.when(ConfirmBulk(ID)).then_nothing()
    action.when(GoOnWithBulk(ID, PART), "policy:bulk-actions").then(REST)
    action.when(GoOnWithBulk(ID, PART), "policy:bulk-actions").then_nothing()
    action.when(GoOnWithBulk(ID, len(JOBS)), "policy:bulk-actions").then(BulkAction.Finished())
    assert action.state.status is Status.DONE


def test_it_is_undone_with_what_was_before(action: Scenario[BulkAction]) -> None:
    action.given(BulkAction.Planned(Verb.PRIORITY, (1, 2), "q", priority=9, formers=(1, 5)), BulkAction.Confirmed())
    action.given(BulkAction.Part(ID, Verb.PRIORITY, (1, 2), 2, values=(9, 9)), BulkAction.Finished())
    back = BulkAction.Part(ID, Verb.PRIORITY, (1, 2), 2, values=(1, 5), undoing=True)
    action.when(UndoBulk(ID)).then(BulkAction.UndoAsked(), back)
    action.when(GoOnWithBulk(ID, 2)).then_nothing()
    action.when(GoOnWithBulk(ID, 2, True)).then(BulkAction.Finished(True))
    assert action.state.status is Status.UNDONE
    action.when(UndoBulk(ID)).then_nothing()


@pytest.mark.parametrize("verb", sorted(set(Verb) - UNDONE))
def test_what_has_no_way_back_is_not_undone(action: Scenario[BulkAction], verb: Verb) -> None:
    action.given(BulkAction.Planned(verb, (1,)), BulkAction.Confirmed(), BulkAction.Finished())
    action.when(UndoBulk(ID)).then_refused(Code.NOT_UNDONE, verb=verb.value)


def test_what_is_under_way_is_undone_later(action: Scenario[BulkAction]) -> None:
    action.given(PLANNED, BulkAction.Confirmed(), FIRST).when(UndoBulk(ID)).then_refused(Code.BUSY)


def test_a_plan_is_forgotten_in_time_and_only_a_plan(action: Scenario[BulkAction]) -> None:
    action.given(PLANNED).when(DropBulk(ID), "timer").then(BulkAction.Dropped())
    action.when(ConfirmBulk(ID)).then_refused(Code.BULK_GONE)
    other = Scenario(BulkAction(), ID).given(PLANNED, BulkAction.Confirmed())
    other.when(DropBulk(ID), "timer").then_nothing()


def test_nobody_else_confirms_but_an_administrator(action: Scenario[BulkAction]) -> None:
    action.given(PLANNED)
    action.when(ConfirmBulk(ID), "user:bob").then_refused(Code.FORBIDDEN)
    action.when(ConfirmBulk(ID), vo="belle").then_refused(Code.NOT_FOUND)
    action.when(ConfirmBulk(ID), "user:boss", rights=("JobAdministrator",)).then(BulkAction.Confirmed(), FIRST)


def test_a_plan_of_nothing_or_of_too_much_is_refused(action: Scenario[BulkAction]) -> None:
    action.when(PlanBulk(ID, Verb.KILL, (), "name=x")).then_refused(Code.NOT_FOUND)
    action.when(PlanBulk(ID, Verb.KILL, tuple(range(1, MOST + 2)))).then_refused(Code.TOO_MANY)
    action.when(ConfirmBulk(ID)).then_refused(Code.BULK_GONE)
