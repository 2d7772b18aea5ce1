"""An extension that contradicts the core, or itself, is refused before anything runs, in a sentence that names both."""

from pathlib import Path
from typing import Annotated

import pytest
from community import calibrations, routes
from community.app import system
from community.calibration import Calibration, MeasureCalibration
from fastapi import APIRouter, Depends
from sqlalchemy import BigInteger, Column, MetaData, Table

from domain.errors import Code, Refused
from domain.job import Job, KillJob
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from gateway.rights import User, operator
from handlers.policy import Policy, Rows
from infra.admin import load
from infra.app import CORE
from infra.doctor import Verdict, _whole
from infra.runtime import opened
from infra.settings import settings
from infra.system import System
from projections.projection import Projection


class Shift(Aggregate, frozen=True):
    """Somebody is there."""

    TOPIC = "shift"
    LOG = "shifts"

    class Begun(Event, frozen=True):
        TOPIC = "job.done"


class Order(Command, frozen=True):
    TOPIC = "job.submit"


class Desk(Aggregate, frozen=True):
    TOPIC = "desk"
    LOG = "desks"

    def order(self, command: Order, origin: Origin) -> Decision:
        yield from ()


class Killer(Aggregate, frozen=True):
    TOPIC = "killer"
    LOG = "killers"

    def kill(self, command: KillJob, origin: Origin) -> Decision:
        yield from ()


class SecondJob(Aggregate, frozen=True):
    TOPIC = "job"
    LOG = "others"


def view(name: str) -> Projection:
    table = Table(name, MetaData(), Column("id", BigInteger, primary_key=True))
    return Projection(table, "jobs", calibrations.of_event)


def router(prefix: str, path: str) -> APIRouter:
    made = APIRouter(prefix=prefix)

    @made.get(path)
    async def route(who: User) -> None:
        """Nothing."""

    return made


bare, twice = APIRouter(prefix="/bare"), APIRouter(prefix="/twice")


@bare.get("")
async def open_to_all() -> None:
    """Nobody thought of who may do this."""


@twice.get("")
async def two_rules(who: User, also: Annotated[object, Depends(operator)]) -> None:
    """Which of the two?"""


wanting = Policy("wanting", log="jobs")


@wanting
def wants(event: Recorded[Job.Done], nobody_has_this: Rows) -> Decision:
    yield from ()


deaf = Policy("deaf", log="pilots")


@deaf
def never_happens(event: Recorded[Job.Done]) -> Decision:
    yield from ()


@pytest.mark.parametrize(
    ("extension", "sentence"),
    [
        (System(aggregates=(Shift,)), "the topic job.done is claimed twice: by domain.job.Job.Done and by "),
        (System(aggregates=(Desk,)), "the topic job.submit is claimed twice: by domain.job.Job and by "),
        (System(aggregates=(Killer,)), "the topic job.kill is claimed twice: by domain.job.Job and by "),
        (System(aggregates=(SecondJob,)), "the aggregate job is claimed twice: by domain.job.Job and by "),
        (System(policies=(Policy("scheduling", log="jobs"),)), "the consumer scheduling is claimed twice"),
        (
            System(projections=(view("jobs"),)),
            "the consumer jobs is claimed twice: by the view jobs of projections.jobs",
        ),
        (System(projections=(view("timers"),)), "the table timers is claimed twice: by the log and by the view timers"),
        (System(projections=(view("log_jobs"),)), "the table log_jobs is claimed twice"),
        (System(routers=(router("/api/v1", "/jobs/{number}"),)), "the route GET /api/v1/jobs/{} is claimed twice"),
        (System(routers=(bare,)), "names 0 access rules, not one"),
        (System(routers=(twice,)), "names 2 access rules, not one"),
        (System(policies=(wanting,)), "no look-up is named nobody_has_this"),
        (System(policies=(deaf,)), "waits for job.done, which is not in the log pilots"),
        (
            System(policies=(Policy("late", log="calibrations"),)),
            "follows the log calibrations, which no aggregate",
        ),
    ],
)
async def test_a_contradiction_is_refused_at_the_start(extension: System, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        async with opened(CORE | extension, settings(data=tmp_path)):
            pytest.fail("it started")
    assert sentence in refused.value.what
    assert refused.value.code in (Code.CLAIMED_TWICE, Code.SYSTEM)


def test_the_same_extension_twice_is_refused_as_early_as_it_is_joined() -> None:
    with pytest.raises(Refused, match="look-up calibrations_of_job is claimed twice: by community"):
        system | System(lookups={"calibrations_of_job": calibrations.its_job})
    with pytest.raises(Refused, match="the aggregate calibration is claimed twice"):
        (system | System(aggregates=(Calibration,))).check()


def test_extensions_that_do_not_meet_go_together() -> None:
    both = system | System(routers=(router("/api/v1/shifts", ""),))
    both.check()
    assert both.commands[MeasureCalibration] is Calibration
    assert routes.router in both.routers


def test_a_system_that_cannot_be_loaded_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, problem in (("nowhere.app:system", "No module named"), ("json:dumps", "is not a System")):
        with pytest.raises(Refused, match=problem):
            load(name)
    (tmp_path / "their_shop.py").write_text("from infra.app import CORE\nsystem = CORE\n")
    monkeypatch.chdir(tmp_path)
    assert load("their_shop:system") is CORE


def test_the_doctor_says_what_contradicts() -> None:
    finding = _whole(CORE | System(aggregates=(Shift,)))
    assert (finding.verdict, finding.what[:33]) == (Verdict.BAD, "the topic job.done is claimed twi")
    assert _whole(system).verdict is Verdict.GOOD
