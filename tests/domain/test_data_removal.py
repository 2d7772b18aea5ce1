"""What may happen to a removal of many files."""

from uuid import UUID

from scenario import Scenario

from domain.data.removal import BeginRemoval, EndRemoval, ForgetRemoval, PlanRemoval, Removal, Status
from domain.errors import Code

ID = UUID(int=7)
PLANNED = Removal.Planned(ID, "ann", "users", "digest", 3, 30)


def removal() -> Scenario[Removal]:
    return Scenario(Removal(), PlanRemoval("lhcb", ID, "ann", "users", False, "digest", 3, 30).stream)


def begin(owner: str = "ann", manages: bool = False, undo: bool = False) -> BeginRemoval:
    return BeginRemoval("lhcb", ID, owner, manages, undo)


def test_a_removal_is_planned_carried_out_and_undone() -> None:
    told = removal().when(PlanRemoval("lhcb", ID, "ann", "users", False, "digest", 3, 30)).then(PLANNED)
    told.when(begin()).then(Removal.Begun(ID))
    told.when(EndRemoval("lhcb", ID, 2, 1)).then(Removal.CarriedOut(ID, 2, 1))
    told.when(begin(undo=True)).then(Removal.Begun(ID, True))
    told.when(EndRemoval("lhcb", ID, 1, 0, ("/lhcb/a",), 1)).then(Removal.Undone(ID, 1, 1, ("/lhcb/a",)))
    told.when(begin()).then_refused(Code.REMOVAL_STATE, status="Undone")


def test_what_is_too_large_is_not_planned() -> None:
    command = PlanRemoval("lhcb", ID, "ann", "users", False, "digest", 100_001, 30)
    removal().when(command).then_refused(Code.TOO_MANY)


def test_only_who_planned_it_or_manages_data_carries_it_out() -> None:
    removal().when(begin()).then_refused(Code.REMOVAL_UNKNOWN)
    told = removal().given(PLANNED).when(begin("bob")).then_refused(Code.REMOVAL_UNKNOWN)
    told.when(begin("bob", manages=True)).then(Removal.Begun(ID))


def test_a_timer_goes_on_with_what_was_begun_and_begins_nothing() -> None:
    removal().given(PLANNED).when(begin("")).then_refused(Code.REMOVAL_STATE)
    removal().given(PLANNED, Removal.Begun(ID)).when(begin("")).then_nothing()
    removal().given(PLANNED, Removal.Begun(ID, True)).when(begin("", undo=True)).then_nothing()


def test_an_undone_removal_is_never_purged() -> None:
    purge = EndRemoval("lhcb", ID, 3, purged=True)
    carried_out = (PLANNED, Removal.Begun(ID), Removal.CarriedOut(ID, 3))
    removal().given(*carried_out).when(purge).then(Removal.Purged(ID, 3))
    undone = (*carried_out, Removal.Begun(ID, True), Removal.Undone(ID, 3))
    assert removal().given(*undone).when(purge).then_nothing().state.status is Status.UNDONE


def test_a_plan_that_nobody_carries_out_is_forgotten() -> None:
    told = removal().given(PLANNED).when(ForgetRemoval("lhcb", ID)).then(Removal.Forgotten(ID))
    told.when(begin()).then_refused(Code.REMOVAL_STATE)
