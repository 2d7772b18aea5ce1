"""Calibrations over HTTP: ask, list, approve, and what happened to one."""

from typing import Annotated, Any

from community import calibrations
from community.calibration import (
    ApproveCalibration,
    Calibration,
    CalibrationCommand,
    RequestCalibration,
    calibration_stream,
)
from fastapi import APIRouter, Depends
from pydantic import Field

from gateway.fields import Body, JobNumber
from gateway.keys import Key, Keyed
from gateway.ports import Outside, Principal, World
from gateway.rights import OPERATORS, Holder, User
from gateway.stories import visible
from projections.history import SENTENCES, lines

router = APIRouter(prefix="/api/v1/calibrations", tags=["calibrations"])
manager = Holder("calibration manager", "user", OPERATORS | {"CalibrationManager"})
Manager = Annotated[Principal, Depends(manager)]
Detector = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Run = Annotated[int, Field(ge=1, le=2**62)]
Json = dict[str, Any]
OURS = {
    Calibration.Requested: lambda facts: f"a calibration of {facts.detector} for run {facts.run} was asked for",
    Calibration.Measured: lambda facts: f"job {facts.job} measured the constants",
    Calibration.Approved: lambda facts: "the constants are approved",
    Calibration.Withdrawn: lambda facts: f"the calibration was withdrawn: {facts.reason}",
}


class Wanted(Body):
    """A calibration, and the job that measures it."""

    detector: Detector
    run: Run
    job: JobNumber


@router.post("", status_code=201)
async def request(who: User, key: Keyed, outside: Outside, body: Wanted) -> Json:
    """Ask for a calibration."""
    await visible(outside, who, body.job)
    await _ask(outside, who, key, RequestCalibration(who.vo, body.detector, body.run, body.job))
    return {"detector": body.detector, "run": body.run}


@router.get("")
async def listed(who: User, outside: Outside, detector: str = "") -> Json:
    """The calibrations of the VO."""
    return {"calibrations": await outside.read(calibrations.of_vo(who.vo, detector))}


@router.post("/{detector}/{run}/approve")
async def approve(who: Manager, key: Keyed, outside: Outside, detector: Detector, run: Run) -> Json:
    """Let the constants be used."""
    await _ask(outside, who, key, ApproveCalibration(who.vo, detector, run))
    return {"detector": detector, "run": run}


@router.get("/{detector}/{run}/history")
async def history(who: User, outside: Outside, detector: Detector, run: Run) -> Json:
    """Everything that happened to a calibration."""
    events = await outside.history("calibrations", calibration_stream(who.vo, detector, run))
    return {"lines": [line._asdict() for line in lines(events, {who.subject: who.name}, {**SENTENCES, **OURS})]}


async def _ask(outside: World, who: Principal, key: Key, command: CalibrationCommand) -> None:
    (answer,) = await outside.ask(who, [(key.id(who, command.TOPIC, command.detector, command.run), command)])
    if answer.refusal:
        raise answer.refusal
