"""The calibrations: which run and detector, how far, from which job."""

from typing import Any

from community.calibration import Calibration, Status
from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, Select, Table, Text, select

from domain.messages import Recorded
from domain.values import job_number
from projections.jobs import jobs
from projections.projection import Projection, Values

calibrations = Table(
    "calibrations",
    MetaData(),
    Column("vo", Text, primary_key=True),
    Column("detector", Text, primary_key=True),
    Column("run", BigInteger, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("job", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("output", Text),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("calibrations_by_job", "job"),
)


def of_event(event: Recorded[Any]) -> tuple[str, str, int]:
    """The row of the calibration whose event it is."""
    return (event.vo, event.event.detector, event.event.run)


projection = Projection(calibrations, log="calibrations", key=of_event, inline=True)


@projection.creates
def requested(event: Recorded[Calibration.Requested]) -> Values:
    return _now(event, Status.REQUESTED) | {"job": event.event.job, "output": None}


@projection
def measured(event: Recorded[Calibration.Measured]) -> Values:
    return _now(event, Status.MEASURED) | {"output": event.event.output}


@projection
def approved(event: Recorded[Calibration.Approved]) -> Values:
    return _now(event, Status.APPROVED)


@projection
def withdrawn(event: Recorded[Calibration.Withdrawn]) -> Values:
    return _now(event, Status.WITHDRAWN)


def _now(event: Recorded[Any], status: Status) -> Values:
    return {"status": status.value, "updated_at": event.at}


def of_vo(vo: str, detector: str = "") -> Select[Any]:
    """The calibrations of a VO, newest run first."""
    query = select(calibrations).where(calibrations.c.vo == vo).order_by(calibrations.c.run.desc())
    return query.where(calibrations.c.detector == detector) if detector else query


def of_job(event: Recorded[Any]) -> Select[Any]:
    """Those that the job whose event it is was asked to measure."""
    found = select(calibrations.c.detector, calibrations.c.run)
    return found.where(calibrations.c.vo == event.vo, calibrations.c.job == job_number(event.stream))


def its_job(event: Recorded[Any]) -> Select[Any]:
    """The job of a calibration."""
    return select(jobs.c.status, jobs.c.output).where(jobs.c.vo == event.vo, jobs.c.job == event.event.job)
