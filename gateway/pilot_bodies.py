"""What pilots say: the bodies of their calls, each field bounded."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from gateway.fields import Body, Count, JobNumber, Secret, Stamp, Tags, Text, Vo
from gateway.sandboxes import Announced

LONGEST_WAIT = 50  # seconds an offer is held
AT_ONCE = 2000  # reports, or signs of life, in one call


class Claim(Body):
    """Who a pilot says it is; `incarnation` is the random id of its process."""

    vo: Vo
    stamp: Stamp
    secret: Secret
    incarnation: UUID


class Node(Body):
    """The machine a pilot runs on."""

    hostname: Text = ""
    platform: Text = ""
    processors: Count = 1
    memory_mb: Count = 0
    disk_mb: Count = 0
    gpus: Count = 0
    cpu_power: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0
    tags: Tags = ()


class Hello(Body):
    """Where a pilot runs, and on what."""

    site: Text = ""
    ce: Text = ""
    queue: Text = ""
    version: Text = ""
    node: Node = Node()


class Offered(Body):
    """What a pilot has to give at the moment; `cpu_seconds` is the work left, `wait` the seconds it can be held."""

    offer: UUID
    processors: Count = 1
    memory_mb: Count = 0
    disk_mb: Count = 0
    cpu_seconds: Count = 0
    tags: Tags = ()
    required_tags: Tags = ()
    wait: Annotated[float, Field(ge=0, le=LONGEST_WAIT, allow_inf_nan=False)] = 0.0


class Reports(Body):
    """Reports, each read on its own, and signs of life of the jobs that run."""

    reports: Annotated[list[Any], Field(max_length=AT_ONCE)] = []
    alive: Annotated[list[Any], Field(max_length=AT_ONCE)] = []


class OneAttempt(Body):
    """An attempt that the pilot holds."""

    job: JobNumber
    attempt: Count


class Output(Announced):
    """An output sandbox of a job."""

    job: JobNumber
    attempt: Count


class Bye(Body):
    """Why a pilot ends."""

    reason: Text = ""
    jobs_run: Count = 0
