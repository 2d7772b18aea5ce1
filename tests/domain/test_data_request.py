"""A request goes through its operations, file by file, whatever comes of each in whatever order."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from scenario import Scenario

from domain.data.request import ExpireRequest, MakeRequest, NoteRequest, Operation, Request, Status
from domain.errors import Code
from domain.messages import Command

ID = UUID(int=7)
FILES = ("/lhcb/a", "/lhcb/b", "/lhcb/c")
STEPS = (Operation("replicate", "X"), Operation("drop", "Y"))
MAKE = MakeRequest("lhcb", ID, "ann", "user", STEPS, FILES, job=3, attempt=1)
OUTCOMES = st.lists(st.tuples(st.sampled_from(FILES), st.sampled_from(["done", "failed", "waiting"])), max_size=40)


def made() -> Scenario[Request]:
    return told(Scenario(Request(), MAKE.stream), MAKE)


def told(story: Scenario[Request], command: Command) -> Scenario[Request]:
    """The command is decided, and its events happen."""
    story.when(command)
    return story.given(*story.events)


def note(operation: int, lfn: str, what: str) -> NoteRequest:
    failed, waiting = {lfn: "no"} if what == "failed" else {}, {lfn: "later"} if what == "waiting" else {}
    return NoteRequest("lhcb", ID, operation, (lfn,) if what == "done" else (), failed, waiting)


@given(OUTCOMES)
def test_it_is_done_when_every_operation_is_done_with_every_file_and_fails_for_one_that_failed(
    outcomes: list[tuple[str, str]],
) -> None:
    story = made()
    for lfn, what in outcomes:
        operation = story.state.current
        left = story.state.left if story.state.status is Status.WAITING else set()
        told(story, note(operation, lfn, what if lfn in left else "waiting"))
    state = story.state
    assert (state.status is Status.FAILED) == bool(state.failed and not state.left)
    assert (state.status is Status.DONE) == (not state.failed and not state.left and state.current == 1)
    if state.status is Status.WAITING:
        assert state.left
        assert isinstance(story.when(ExpireRequest("lhcb", ID)).events[0], Request.Ended)


def test_the_same_request_again_changes_nothing_and_a_late_note_neither() -> None:
    story = made()
    story.when(MAKE).then_nothing()
    story.when(note(1, FILES[0], "done")).then_nothing()


def test_operations_that_nobody_knows_are_refused() -> None:
    for step in (Operation("burn", "X"), Operation("drop"), Operation("remove", "X")):
        bad = MakeRequest("lhcb", ID, "ann", "user", (step,), FILES)
        refusal = Scenario(Request(), bad.stream).when(bad).refusal
        assert refusal and refusal.code is Code.MALFORMED
