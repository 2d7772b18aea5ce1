"""The life of a sandbox in the store, as a story; and what ends it."""

from datetime import timedelta
from typing import Any

import pytest
from scenario import Scenario, recorded

from domain.job import Job
from domain.messages import Later, Origin
from domain.stored_sandbox import (
    AgeSandbox,
    DoomSandbox,
    NoteSandbox,
    RemoveSandbox,
    SpareSandbox,
    Status,
    StoredSandbox,
    sandbox_stream,
)
from handlers import sandbox_lifetimes

PATH = f"/S3/sandboxes/lhcb/user/ann/sha256:{'0' * 64}.tar.bz2"
STREAM = sandbox_stream(PATH)
NOTED = StoredSandbox.Noted(PATH, 5)


@pytest.fixture(name="sandbox")
def new_sandbox() -> Scenario[StoredSandbox]:
    return Scenario(StoredSandbox(), STREAM)


def test_it_is_noted_doomed_and_removed(sandbox: Scenario[StoredSandbox]) -> None:
    sandbox.when(NoteSandbox(PATH, 5)).then(NOTED)
    sandbox.when(NoteSandbox(PATH, 5)).then_nothing()
    sandbox.when(AgeSandbox(PATH), "timer").then(StoredSandbox.Aged(PATH))
    sandbox.when(DoomSandbox(PATH)).then(StoredSandbox.Doomed(PATH))
    sandbox.when(DoomSandbox(PATH)).then_nothing()
    sandbox.when(DoomSandbox(PATH), "timer").then(StoredSandbox.Doomed(PATH))
    sandbox.when(RemoveSandbox(PATH)).then(StoredSandbox.Removed(PATH))
    for over in (RemoveSandbox(PATH), DoomSandbox(PATH), SpareSandbox(PATH), AgeSandbox(PATH)):
        sandbox.when(over).then_nothing()
    sandbox.when(NoteSandbox(PATH, 5)).then(NOTED)


def test_who_announces_it_again_saves_it(sandbox: Scenario[StoredSandbox]) -> None:
    sandbox.given(NOTED, StoredSandbox.Doomed(PATH)).when(NoteSandbox(PATH, 5)).then(NOTED)
    sandbox.when(RemoveSandbox(PATH)).then_nothing()
    assert sandbox.state.status is Status.STORED


def test_what_is_used_after_all_is_spared(sandbox: Scenario[StoredSandbox]) -> None:
    sandbox.given(NOTED, StoredSandbox.Doomed(PATH)).when(SpareSandbox(PATH)).then(StoredSandbox.Spared(PATH))
    assert sandbox.state.status is Status.STORED


def test_an_announcement_a_day_later_is_a_new_one(sandbox: Scenario[StoredSandbox]) -> None:
    sandbox.given(NOTED)
    later = Origin("user:ann", "lhcb", (sandbox.state.noted_at or None) + timedelta(days=2))  # type: ignore[operator]
    assert list(sandbox.state.decide(NoteSandbox(PATH, 5), later)) == [NOTED]


def reactions(policy: Any, event: Any, **found: Any) -> list[Any]:
    return list(policy.react(recorded(event, STREAM), found))


def test_what_nobody_used_for_two_weeks_is_doomed() -> None:
    event = recorded(NOTED, STREAM)
    aged = Later.after(event, sandbox_lifetimes.USED_WITHIN, "state", AgeSandbox(PATH))
    assert reactions(sandbox_lifetimes.policy, NOTED) == [aged]
    aged_event = StoredSandbox.Aged(PATH)
    assert reactions(sandbox_lifetimes.policy, aged_event, uses_of_sandbox=[]) == [DoomSandbox(PATH)]
    assert reactions(sandbox_lifetimes.policy, aged_event, uses_of_sandbox=[{"job": 1}]) == []


def test_the_last_job_that_used_it_takes_it_along() -> None:
    freed = [{"path": PATH}]
    assert reactions(sandbox_lifetimes.jobs, Job.Deleted(), sandboxes_freed=freed) == [DoomSandbox(PATH)]


def test_what_is_doomed_is_named_again_until_it_is_gone() -> None:
    doomed = StoredSandbox.Doomed(PATH)
    again = Later.after(recorded(doomed, STREAM), sandbox_lifetimes.REMOVED_WITHIN, "state", DoomSandbox(PATH))
    assert reactions(sandbox_lifetimes.policy, doomed) == [again]
    assert reactions(sandbox_lifetimes.policy, StoredSandbox.Removed(PATH)) == [Later(STREAM, "state")]
