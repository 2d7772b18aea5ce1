"""A calibration is measured once its job is done, whichever of the two was known first; and none waits for ever."""

from collections.abc import Iterator

from community.calibration import APPROVED_WITHIN, Calibration, MeasureCalibration, WithdrawCalibration

from domain.job import Job, Status
from domain.messages import Command, Later, Recorded
from domain.values import job_number
from handlers.policy import Policy, Rows

jobs = Policy("calibration-jobs", log="jobs")
calibrations = Policy("calibration-deadlines", log="calibrations")


@jobs
def measured_when_its_job_is_done(event: Recorded[Job.Done], calibrations_of_job: Rows) -> Iterator[Command]:
    for row in calibrations_of_job:
        yield MeasureCalibration(event.vo, row["detector"], row["run"], job_number(event.stream), event.event.output)


@calibrations
def measured_when_its_job_was_done_before(
    event: Recorded[Calibration.Requested], job_of_calibration: Rows
) -> Iterator[Command]:
    facts = event.event
    for row in job_of_calibration:
        if row["status"] == Status.DONE.value:
            yield MeasureCalibration(event.vo, facts.detector, facts.run, facts.job, row["output"] or "")


@calibrations
def looked_at_in_time(event: Recorded[Calibration.Requested | Calibration.Measured]) -> Iterator[Later]:
    facts = event.event
    late = WithdrawCalibration(event.vo, facts.detector, facts.run, "nobody looked at it in time")
    yield Later.after(event, APPROVED_WITHIN, "state", late)


@calibrations
def nothing_to_wait_for(event: Recorded[Calibration.Approved | Calibration.Withdrawn]) -> Iterator[Later]:
    yield Later(event.stream, "state")
