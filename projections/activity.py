"""What goes on: how many events of each topic each VO had, by the minute."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Select, Table, Text, select

from domain.job import Job
from domain.messages import Recorded
from projections.jobs import metadata
from projections.projection import Add, Projection, Put

activity = Table(
    "activity",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("minute", DateTime(timezone=True), primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
)


def of_minute(event: Recorded[Any]) -> tuple[str, datetime, str]:
    """The row of the event's VO, minute and topic."""
    return (event.vo, event.at.replace(second=0, microsecond=0), event.event.TOPIC)


projection = Projection(activity, log="jobs", key=of_minute)


@projection.creates
def counted(
    event: Recorded[
        Job.Submitted | Job.Queued | Job.Matched | Job.Started | Job.Done | Job.Failed | Job.Killed | Job.Rescheduled
    ],
) -> list[Put]:
    return [Put(of_minute(event), {"events": Add(1)}, create=True)]


def since(vo: str, moment: datetime) -> Select[Any]:
    """The counts of a VO since a moment, in order of time."""
    return select(activity).where(activity.c.vo == vo, activity.c.minute >= moment).order_by(activity.c.minute)
