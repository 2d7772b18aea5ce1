"""Operations: how a VO works: limits, scheduling, times, policies. `Defaults` below, the VO's own section above."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from domain.section import (
    LARGEST,
    Count,
    Free,
    Line,
    Mail,
    Name,
    Names,
    Positive,
    Seconds,
    Section,
    Share,
    SiteName,
)

Limit = Annotated[int, Field(ge=0, le=LARGEST)]
Segments = (360, 1800, 3600, 21600, 43200, 86400, 172800, 259200, 345600, 518400, 691200, 864000, 1080000)
Attribute = Literal["job_type", "owner", "owner_group", "ce", "platform", "tag"]


class JobDescription(Section):
    """What a job may ask for."""

    default_cpu_time: Positive = Field(default=86400, description="normalised seconds, where a job says nothing")
    min_cpu_time: Count = Field(default=100, description="normalised seconds")
    max_cpu_time: Positive = Field(default=500_000, description="normalised seconds")
    default_priority: int = Field(default=1, ge=-LARGEST, le=LARGEST, description="where a job says nothing")
    min_priority: int = Field(default=0, ge=-LARGEST, le=LARGEST, description="lowest priority")
    max_priority: int = Field(default=10, ge=-LARGEST, le=LARGEST, description="highest priority")
    max_input_data: Count = Field(default=500, description="files of one job")
    max_processors: Positive = Field(default=1024, description="processors of one job")
    max_bytes: Positive = Field(default=1 << 20, description="bytes of one description")
    max_jobs: Positive = Field(default=10_000, le=100_000, description="jobs of one submission")
    job_types: Names = Field(default=("Hospital", "Test", "User"), description="types that jobs may have")

    @model_validator(mode="after")
    def _ranges(self) -> "JobDescription":
        for what in ("cpu_time", "priority"):
            low, usual, high = (getattr(self, f"{bound}_{what}") for bound in ("min", "default", "max"))
            if not low <= usual <= high:
                raise ValueError(f"default_{what} {usual} must lie between min_{what} {low} and max_{what} {high}")
        return self


class SiteLimits(Section):
    """Limits of one site, by attribute of the job and its value."""

    running: dict[Attribute, dict[Line, Limit]] = Field(default={}, description="jobs at once: job_type → User → 100")
    delay: dict[Attribute, dict[Line, Seconds]] = Field(default={}, description="seconds between two matches")


class JobScheduling(Section):
    """How waiting jobs come to pilots."""

    max_rescheduling: int = Field(default=3, ge=0, le=100, description="times that a job is tried again")
    enable_shares_correction: bool = Field(default=False, description="correct shares by what was used")
    check_job_limits: bool = Field(default=True, description="heed the limits of running jobs")
    check_matching_delay: bool = Field(default=True, description="heed the delays between matches")
    sites: dict[SiteName, SiteLimits] = Field(default={}, description="limits by site")
    cpu_time_segments: tuple[Positive, ...] = Field(
        default=Segments,
        min_length=1,
        max_length=100,
        description="normalised seconds to which CPU times are rounded up",
    )
    jobs_per_task_queue: Positive = Field(default=5000, description="jobs")
    default_job_share: Share = Field(default=1000, description="weight of a group that names none")
    hold_after_reschedule: tuple[Seconds, ...] = Field(
        default=(60, 180, 300, 600), description="seconds, by times tried before"
    )

    @model_validator(mode="after")
    def _grow(self) -> "JobScheduling":
        if list(self.cpu_time_segments) != sorted(set(self.cpu_time_segments)):
            raise ValueError("cpu_time_segments must grow")
        return self


class Times(Section):
    """How long a job or pilot may be in a state before something happens."""

    scheduled_within: Seconds = Field(default=300, description="seconds from submission to the queue")
    matched_within: Seconds = Field(default=30 * 86400, description="seconds a job waits before it is given up")
    confirmed_within: Seconds = Field(default=60, description="seconds for a pilot to confirm a match")
    silent_for: Seconds = Field(default=4500, description="seconds without a sign of life until a job is Stalled")
    given_up_after: Seconds = Field(default=7200, description="further seconds until a Stalled job is given up")
    pilot_expected_within: Seconds = Field(default=3 * 86400, description="seconds from submission to a pilot's hello")
    pilot_silent_for: Seconds = Field(default=300, description="seconds without a sign of life until a pilot is lost")
    tolerant_sites: tuple[SiteName, ...] = Field(default=(), description="sites where a job may be silent for longer")
    tolerance: Seconds = Field(default=0, description="further seconds at those sites")
    reschedule_stalled_at: tuple[SiteName, ...] = Field(
        default=(), description="sites whose stalled jobs are tried again"
    )


class InputDataPolicy(Section):
    """How jobs read their input data: download them, or read over the network."""

    default: Literal["download", "protocol"] = Field(default="download", description="where nothing else is said")
    sites: dict[SiteName, Literal["download", "protocol"]] = Field(default={}, description="by site")
    all_replicas: bool = Field(default=True, description="tell jobs of all replicas, not only those nearby")
    protocols_remote: Names = Field(default=("https", "root"), description="protocols over the network, best first")
    protocols_local: Names = Field(default=("file", "https", "root"), description="protocols at the site, best first")


class Pilots(Section):
    """The pilots of the VO."""

    group: Name | None = Field(default=None, description="group on whose behalf pilots are submitted")
    max_waiting: Count = Field(default=50, description="pilots that wait at one queue, where the queue says nothing")
    max_total: Count = Field(default=1000, description="pilots at one queue, where the queue says nothing")
    idle_exit: Seconds = Field(default=600, description="seconds without a job until a pilot ends")
    version: Line = Field(default="", description="release that pilots run; empty: that of this installation")
    environment: dict[Line, Line] = Field(default={}, description="variables for every payload; no secrets")


class DataManagement(Section):
    """How files are kept and moved."""

    access_protocols: tuple[Name, ...] = Field(
        default=("https", "root"), description="protocols for reading, best first"
    )
    write_protocols: tuple[Name, ...] = Field(
        default=("https", "root"), description="protocols for writing, best first"
    )
    third_party_protocols: tuple[Name, ...] = Field(default=("https", "root"), description="protocols between storages")
    failover: Names = Field(default=(), description="storage elements for outputs whose own storage is away")
    tape: Names = Field(default=(), description="storage elements on tape, beyond those that say so themselves")
    sandbox_bytes: Positive = Field(default=100 << 20, description="bytes of one sandbox; never more than 100 MiB")


class Shifter(Section):
    """Who does a service's work on behalf of the VO."""

    user: Name = Field(description="preferred user name")
    group: Name = Field(description="group")


class Services(Section):
    """How services behave for the VO."""

    catalogs: Names = Field(default=(), description="file catalogs in use; empty: all that the VO may use")
    global_jobs_info: bool = Field(default=True, description="whether users see the jobs of others in their VO")


class Notification(Section):
    """Where messages to people go."""

    production: tuple[Mail, ...] = Field(default=(), description="mail addresses")
    alarms: tuple[Mail, ...] = Field(default=(), description="mail addresses")


class Operations(Section):
    """Everything about how one VO works."""

    job_description: JobDescription = Field(default=JobDescription(), description="what a job may ask for")
    job_scheduling: JobScheduling = Field(default=JobScheduling(), description="how waiting jobs come to pilots")
    times: Times = Field(default=Times(), description="how long things may take")
    input_data_policy: InputDataPolicy = Field(default=InputDataPolicy(), description="how jobs read their input data")
    pilots: Pilots = Field(default=Pilots(), description="the pilots of the VO")
    data_management: DataManagement = Field(default=DataManagement(), description="how files are kept and moved")
    services: Services = Field(default=Services(), description="how services behave for the VO")
    shifters: dict[Name, Shifter] = Field(default={}, description="who works on behalf of the VO, by role")
    notification: Notification = Field(default=Notification(), description="where messages go")
    transformations: Free = Field(default={}, description="parameters of transformations and their plug-ins")
    resource_status: Free = Field(default={}, description="policies for the status of resources")
    extra: Free = Field(default={}, description="options of extensions")
