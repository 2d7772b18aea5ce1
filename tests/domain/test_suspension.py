"""The rules of suspending, as stories."""

from datetime import timedelta

import pytest
from scenario import BEGIN, Scenario

from domain.errors import Code
from domain.suspension import Kind, Resume, Running, Standing, Suspend, Suspension, Sweep, SweepAgain, in_force
from domain.values import suspension_stream

ANN = ("lhcb", Kind.USER, "ann")
SUSPENDED = Suspension.Suspended(Kind.USER, "ann", 1, "a stolen laptop", "Ann")
AGAIN = Suspension.Suspended(Kind.USER, "ann", 3, "again", "Ann")
RESUMED = Suspension.Resumed(Kind.USER, "ann", 2)


def swept(round_: int, after: int, jobs: int, done: bool = False, again: bool = False) -> Suspension.Swept:
    return Suspension.Swept(Kind.USER, "ann", round_, after, jobs, round_ == 2, Running.RUN, done, again)


@pytest.fixture
def ann() -> Scenario[Suspension]:
    return Scenario(Suspension(), suspension_stream(*ANN))


def test_somebody_is_suspended_and_goes_on(ann: Scenario[Suspension]) -> None:
    ann.when(Suspend(*ANN, "a stolen laptop", "Ann")).then(SUSPENDED)
    ann.when(Suspend(*ANN, "a stolen laptop", "Ann")).then_nothing()
    ann.when(Resume(*ANN)).then(RESUMED)
    ann.when(Resume(*ANN)).then_nothing()


def test_there_is_a_reason_and_an_end_that_is_still_to_come(ann: Scenario[Suspension]) -> None:
    ann.when(Suspend(*ANN, "  ")).then_refused(Code.SUSPENSION)
    ann.when(Suspend(*ANN, "why not", until=BEGIN)).then_refused(Code.SUSPENSION)


def test_another_reason_or_end_is_another_round(ann: Scenario[Suspension]) -> None:
    later = BEGIN + timedelta(days=1)
    again = Suspension.Suspended(Kind.USER, "ann", 2, "a stolen laptop", "Ann", later)
    ann.given(SUSPENDED).when(Suspend(*ANN, "a stolen laptop", "Ann", later)).then(again)


def test_a_timer_ends_only_the_round_it_was_set_for(ann: Scenario[Suspension]) -> None:
    ann.given(SUSPENDED, RESUMED, AGAIN).when(Resume(*ANN, round=1)).then_nothing()
    ann.when(Resume(*ANN, round=3)).then(Suspension.Resumed(Kind.USER, "ann", 4))


def test_jobs_are_swept_forwards_and_each_part_counts_once(ann: Scenario[Suspension]) -> None:
    ann.given(SUSPENDED).when(Sweep(*ANN, 1, 500, 500)).then(swept(1, 500, 500))
    ann.when(Sweep(*ANN, 1, 500, 500)).then_nothing()
    ann.when(Sweep(*ANN, 1, 700, 20, done=True)).then(swept(1, 700, 20, done=True))
    ann.when(Sweep(*ANN, 1, 900, 20)).then_nothing()


def test_a_sweep_of_a_former_round_comes_too_late(ann: Scenario[Suspension]) -> None:
    ann.given(SUSPENDED, RESUMED).when(Sweep(*ANN, 1, 500, 500)).then_nothing()
    ann.when(Sweep(*ANN, 2, 500, 500)).then(swept(2, 500, 500))


def test_what_was_on_its_way_is_swept_once_more(ann: Scenario[Suspension]) -> None:
    ann.given(SUSPENDED).when(SweepAgain(*ANN, 1)).then_nothing()
    ann.given(swept(1, 7, 7, done=True)).when(SweepAgain(*ANN, 1)).then(swept(1, 0, 0, again=True))
    ann.when(Sweep(*ANN, 1, 0, 0, done=True)).then(swept(1, 0, 0, done=True, again=True))
    ann.when(SweepAgain(*ANN, 1)).then_nothing()


def test_the_widest_suspension_counts_and_none_after_its_end() -> None:
    user = Standing(Kind.USER, "ann", "u", until=BEGIN)
    group, vo = Standing(Kind.GROUP, "prod", "g"), Standing(Kind.VO, "lhcb", "v")
    every = {("lhcb", one.kind, one.name): one for one in (user, group, vo)}
    just_before = BEGIN - timedelta(seconds=1)
    assert in_force(every, "lhcb", "ann", "prod", BEGIN) == vo
    del every["lhcb", Kind.VO, "lhcb"]
    assert in_force(every, "lhcb", "ann", "prod", BEGIN) == group
    assert in_force(every, "lhcb", "ann", "prod", just_before, [Kind.USER]) == user
    assert in_force(every, "lhcb", "ann", "other", BEGIN) is None
    assert in_force(every, "belle", "ann", "prod", just_before) is None
