"""The rules of a pilot, as stories."""

from datetime import timedelta

import pytest
from scenario import BEGIN, Scenario, recorded

from domain.errors import Code
from domain.messages import Event
from domain.pilot import (
    MOST_PROCESSES,
    RENEWED_FOR,
    SECRET_GOOD_FOR,
    AdmitPilot,
    LosePilot,
    Pilot,
    PilotCommand,
    RequestPilot,
    RetirePilot,
    RevokePilot,
    StartPilot,
    Status,
)
from domain.values import pilot_stream

SECRET = "5" * 64
REQUESTED = Pilot.Requested("p1", SECRET, "LCG.CERN.ch", "ce1", "long")
ADMITTED = Pilot.Admitted("p1", "process-a", 1)
STARTED = Pilot.Started("p1", 1, "LCG.CERN.ch", version="0.1", node={"processors": 8})
PATHS: dict[str, list[Event]] = {
    "unknown": [],
    "requested": [REQUESTED],
    "running": [REQUESTED, ADMITTED],
    "started": [REQUESTED, ADMITTED, STARTED],
    "replaced": [REQUESTED, ADMITTED, Pilot.Admitted("p1", "process-b", 2)],
    "retired": [REQUESTED, ADMITTED, Pilot.Retired("p1", "idle", 3)],
    "lost": [REQUESTED, ADMITTED, Pilot.Lost("p1", 1)],
    "never came": [REQUESTED, Pilot.Lost("p1")],
    "revoked": [REQUESTED, ADMITTED, Pilot.Revoked("p1", "stolen")],
}
REQUEST = RequestPilot("lhcb", "p1", SECRET, "LCG.CERN.ch", "ce1", "long")
ADMIT = AdmitPilot("lhcb", "p1", SECRET, "process-a")
START = StartPilot("lhcb", "p1", 1, "LCG.CERN.ch", version="0.1", node={"processors": 8})
RETIRE = RetirePilot("lhcb", "p1", 1, "idle", 3)
LOSE = LosePilot("lhcb", "p1", 1)
REVOKE = RevokePilot("lhcb", "p1", "stolen")

Answers = dict[str, Event | Code | None]
TABLE: list[tuple[PilotCommand, Answers]] = [  # what each command leads to; None: accepted, and changes nothing
    (REQUEST, {"unknown": REQUESTED} | dict.fromkeys(list(PATHS)[1:])),
    (ADMIT, {
        "unknown": Code.PILOT_SECRET, "requested": ADMITTED, "running": None, "started": None,
        "replaced": Code.PILOT_GONE, "retired": Code.PILOT_GONE,
        "lost": Pilot.Admitted("p1", "process-a", 2), "never came": ADMITTED, "revoked": Code.PILOT_GONE,
    }),
    (START, {
        "unknown": Code.PILOT_UNKNOWN, "requested": Code.PILOT_GONE, "running": STARTED, "started": None,
        "replaced": Code.PILOT_GONE, "retired": Code.PILOT_GONE, "lost": Code.PILOT_GONE,
        "never came": Code.PILOT_GONE, "revoked": Code.PILOT_GONE,
    }),
    (RETIRE, {
        "unknown": Code.PILOT_UNKNOWN, "requested": Code.PILOT_GONE, "running": Pilot.Retired("p1", "idle", 3),
        "started": Pilot.Retired("p1", "idle", 3), "replaced": Code.PILOT_GONE, "retired": None,
        "lost": Code.PILOT_GONE, "never came": Code.PILOT_GONE, "revoked": Code.PILOT_GONE,
    }),
    (LOSE, {
        "unknown": None, "requested": None, "running": Pilot.Lost("p1", 1), "started": Pilot.Lost("p1", 1),
        "replaced": None, "retired": None, "lost": None, "never came": None, "revoked": None,
    }),
    (REVOKE, dict.fromkeys(PATHS, Pilot.Revoked("p1", "stolen")) | {
        "unknown": Code.PILOT_UNKNOWN, "retired": None, "revoked": None,
    }),
]  # fmt: skip


@pytest.fixture
def pilot() -> Scenario[Pilot]:
    return Scenario(Pilot(), pilot_stream("lhcb", "p1"))


def test_every_command_of_a_pilot_has_its_row_in_the_table() -> None:
    assert Pilot.decisions().keys() == {type(command) for command, _ in TABLE}
    assert all(answers.keys() == PATHS.keys() for _, answers in TABLE)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("command", "answers"), TABLE, ids=[type(command).TOPIC for command, _ in TABLE])
def test_each_command_in_each_state(pilot: Scenario[Pilot], command: PilotCommand, answers: Answers, path: str) -> None:
    pilot.given(*PATHS[path]).when(command)
    answer = answers[path]
    if isinstance(answer, Code):
        pilot.then_refused(answer, pilot="p1")
    else:
        pilot.then(*[answer] if answer else [])


def test_every_event_of_a_pilot_means_something_for_its_state() -> None:
    samples: list[Event] = [REQUESTED, ADMITTED, STARTED, Pilot.Retired("p1"), Pilot.Lost("p1")]
    samples.append(Pilot.Revoked("p1"))
    assert {type(sample) for sample in samples} == set(Pilot.events().values())
    for sample in samples:
        assert Pilot(stamp="p0").evolve(recorded(sample, pilot_stream("lhcb", "p1"))) != Pilot(stamp="p0")


def test_a_stamp_cannot_be_taken_over_with_another_secret(pilot: Scenario[Pilot]) -> None:
    pilot.given(REQUESTED).when(RequestPilot("lhcb", "p1", "6" * 64)).then_refused(Code.PILOT_GONE, pilot="p1")


@pytest.mark.parametrize("secret", ["", "6" * 64, SECRET[:-1], "né" * 32])
def test_a_wrong_secret_and_an_unknown_stamp_are_told_apart_by_nobody(secret: str) -> None:
    wrong = AdmitPilot("lhcb", "p1", secret, "x")
    known = Scenario(Pilot(), pilot_stream("lhcb", "p1")).given(REQUESTED).when(wrong)
    unknown = Scenario(Pilot(), pilot_stream("lhcb", "p1")).when(wrong)
    known.then_refused(Code.PILOT_SECRET)
    assert known.refusal is not None
    assert unknown.refusal is not None
    assert known.refusal.args == unknown.refusal.args


def test_a_second_process_with_the_secret_fences_the_first(pilot: Scenario[Pilot]) -> None:
    pilot.given(REQUESTED, ADMITTED, STARTED)
    pilot.when(AdmitPilot("lhcb", "p1", SECRET, "process-b")).then(Pilot.Admitted("p1", "process-b", 2))
    pilot.when(RetirePilot("lhcb", "p1", 1)).then_refused(Code.PILOT_GONE, status="running elsewhere")
    pilot.when(StartPilot("lhcb", "p1", 2)).then(Pilot.Started("p1", 2))


def test_a_pilot_that_never_came_is_lost(pilot: Scenario[Pilot]) -> None:
    pilot.given(REQUESTED).when(LosePilot("lhcb", "p1")).then(Pilot.Lost("p1"))
    assert pilot.state.status is Status.ABORTED


def test_a_late_timer_does_not_lose_a_pilot_that_came(pilot: Scenario[Pilot]) -> None:
    pilot.given(REQUESTED, ADMITTED).when(LosePilot("lhcb", "p1")).then_nothing()


def test_the_reason_of_a_goodbye_is_cut(pilot: Scenario[Pilot]) -> None:
    pilot.given(REQUESTED, ADMITTED).when(RetirePilot("lhcb", "p1", 1, "r" * 99)).then(Pilot.Retired("p1", "r" * 64))


def test_the_same_stamp_in_two_vos_is_two_pilots() -> None:
    assert pilot_stream("lhcb", "p1") != pilot_stream("belle", "p1")


def test_a_stamp_has_not_any_number_of_processes(pilot: Scenario[Pilot]) -> None:
    pilot.given(
        REQUESTED, *(Pilot.Admitted("p1", f"process-{number}", number) for number in range(1, MOST_PROCESSES + 1))
    )
    pilot.when(AdmitPilot("lhcb", "p1", SECRET, "one more")).then_refused(Code.PILOT_GONE, status="started too often")
    pilot.when(AdmitPilot("lhcb", "p1", SECRET, f"process-{MOST_PROCESSES}")).then_nothing()


def requested(before: timedelta) -> Scenario[Pilot]:
    """A pilot whose secret was given out so long ago."""
    stream = pilot_stream("lhcb", "p1")
    return Scenario(Pilot().evolve(recorded(REQUESTED, stream, at=BEGIN - before)), stream)


def test_a_secret_that_lay_around_for_too_long_starts_nothing() -> None:
    requested(SECRET_GOOD_FOR).when(ADMIT).then(ADMITTED)
    late = SECRET_GOOD_FOR + timedelta(seconds=1)
    requested(late).when(ADMIT).then_refused(Code.PILOT_SECRET_OLD, days=7)
    requested(late).given(ADMITTED).when(AdmitPilot("lhcb", "p1", SECRET, "b")).then_refused(Code.PILOT_SECRET_OLD)


def test_whoever_began_in_time_may_finish() -> None:
    requested(RENEWED_FOR).given(ADMITTED).when(ADMIT).then_nothing()
    requested(RENEWED_FOR + timedelta(seconds=1)).given(ADMITTED).when(ADMIT).then_refused(Code.PILOT_SECRET_OLD)


def test_a_process_that_was_replaced_never_comes_back(pilot: Scenario[Pilot]) -> None:
    pilot.given(REQUESTED, ADMITTED, Pilot.Admitted("p1", "process-b", 2), Pilot.Lost("p1", 2))
    pilot.when(ADMIT).then_refused(Code.PILOT_GONE, status="running elsewhere")
    pilot.when(AdmitPilot("lhcb", "p1", SECRET, "process-b")).then(Pilot.Admitted("p1", "process-b", 3))
