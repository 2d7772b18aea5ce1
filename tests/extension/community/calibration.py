"""A calibration of a detector for one run: asked for, measured by a job, approved by somebody else than who asked."""

from datetime import timedelta
from enum import StrEnum
from typing import Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.values import NAMES

APPROVED_WITHIN = timedelta(days=14)


class Status(StrEnum):
    """The states of a calibration; the first two are not final, and a timer ends them."""

    NEW = ""
    REQUESTED = "Requested"
    MEASURED = "Measured"
    APPROVED = "Approved"
    WITHDRAWN = "Withdrawn"


S = Status


class CalibrationCommand(Command, frozen=True):
    """A command to the calibration of one detector for one run of one VO."""

    vo: str
    detector: str
    run: int

    @property
    def stream(self) -> UUID:
        return calibration_stream(self.vo, self.detector, self.run)


class RequestCalibration(CalibrationCommand, frozen=True):
    """Ask for a calibration, which the job measures."""

    TOPIC = "calibration.request"
    OUTSIDE = True
    job: int


class MeasureCalibration(CalibrationCommand, frozen=True):
    """The job is done: its output holds the constants."""

    TOPIC = "calibration.measure"
    job: int
    output: str = ""


class ApproveCalibration(CalibrationCommand, frozen=True):
    """Let the constants be used."""

    TOPIC = "calibration.approve"


class WithdrawCalibration(CalibrationCommand, frozen=True):
    """Nobody wants it any more, or nobody looked at it in time."""

    TOPIC = "calibration.withdraw"
    reason: str = ""


class Calibration(Aggregate, frozen=True):
    """What a calibration is at the moment."""

    TOPIC = "calibration"
    LOG = "calibrations"

    status: Status = S.NEW
    job: int = 0
    asked_by: str = ""

    class Requested(Event, frozen=True):
        """Somebody wants a calibration."""

        TOPIC = "calibration.requested"
        detector: str
        run: int
        job: int

    class Measured(Event, frozen=True):
        """The constants are there."""

        TOPIC = "calibration.measured"
        detector: str
        run: int
        job: int
        output: str = ""

    class Approved(Event, frozen=True):
        """The constants are in use."""

        TOPIC = "calibration.approved"
        detector: str
        run: int

    class Withdrawn(Event, frozen=True):
        """It will never be used."""

        TOPIC = "calibration.withdrawn"
        detector: str
        run: int
        reason: str = ""

    def request(self, command: RequestCalibration, origin: Origin) -> Decision:
        """Once; or again after it was withdrawn."""
        if self.status not in (S.NEW, S.WITHDRAWN):
            raise self._impossible(command)
        yield Calibration.Requested(command.detector, command.run, command.job)

    def measure(self, command: MeasureCalibration, origin: Origin) -> Decision:
        """Only the job that was asked to; told twice, it counts once."""
        if self.status is S.REQUESTED and command.job == self.job:
            yield Calibration.Measured(command.detector, command.run, command.job, command.output)

    def approve(self, command: ApproveCalibration, origin: Origin) -> Decision:
        """Four eyes: whoever asked for it does not approve it."""
        if self.status is not S.MEASURED:
            raise self._impossible(command)
        if origin.actor == self.asked_by:
            raise Refused(Code.EXTENSION, problem="you asked for this calibration yourself", next="ask a colleague")
        yield Calibration.Approved(command.detector, command.run)

    def withdraw(self, command: WithdrawCalibration, origin: Origin) -> Decision:
        """What is approved stays approved."""
        if self.status in (S.REQUESTED, S.MEASURED):
            yield Calibration.Withdrawn(command.detector, command.run, command.reason)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The calibration after the event."""
        match event.event:
            case Calibration.Requested() as facts:
                return replace(self, status=S.REQUESTED, job=facts.job, asked_by=event.actor)
            case Calibration.Measured():
                return replace(self, status=S.MEASURED)
            case Calibration.Approved():
                return replace(self, status=S.APPROVED)
            case Calibration.Withdrawn():
                return replace(self, status=S.WITHDRAWN)
        return self

    def _impossible(self, command: CalibrationCommand) -> Refused:
        found = self.status.value or "not known"
        problem = f"the calibration of {command.detector} for run {command.run} is {found}"
        return Refused(Code.EXTENSION, problem=problem, next="see the list of calibrations")


def calibration_stream(vo: str, detector: str, run: int) -> UUID:
    """The stream of a calibration."""
    return uuid5(NAMES, f"calibration/{vo}/{detector}/{run}")
