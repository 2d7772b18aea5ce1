"""What can be asked of a job: its commands. What they mean stands in `domain/job.py`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from domain.messages import Command
from domain.requirements import Requirements
from domain.values import job_stream


class JobCommand(Command, frozen=True):
    """A command to one job, by its public number."""

    job: int

    @property
    def stream(self) -> UUID:
        return job_stream(self.job)


class SubmitJob(JobCommand, frozen=True):
    """Accept a job. `description` is the digest of its interned body; `parameters` fill the body's placeholders."""

    TOPIC = "job.submit"
    KEYED = False
    owner: str
    owner_name: str
    group: str
    description: str
    requirements: Requirements
    name: str = "Unknown"
    job_type: str = "User"
    job_group: str = "00000000"
    priority: int = 1
    parameters: dict[str, Any] = {}
    number: str = ""
    sandboxes: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()  # logical file names that say where it may run


class LocateJob(JobCommand, frozen=True):
    """Near which sites the job's inputs are (none: everywhere), or, with a `code`, why it cannot have them now."""

    TOPIC = "job.locate"
    KEYED = False
    near: tuple[str, ...] = ()
    code: str = ""
    detail: str = ""


class CheckJob(JobCommand, frozen=True):
    """Record that nothing speaks against running the job."""

    TOPIC = "job.check"


class RejectJob(JobCommand, frozen=True):
    """A check says that the job must not run: it has failed before it could wait."""

    TOPIC = "job.reject"
    code: str
    detail: str = ""


class QueueJob(JobCommand, frozen=True):
    """Put a checked job where pilots find it."""

    TOPIC = "job.queue"


class KillJob(JobCommand, frozen=True):
    """End a job that has not ended. `attempt` 0 means whichever is current; a stale number never hits a later one."""

    TOPIC = "job.kill"
    OUTSIDE = True
    reason: str = ""
    attempt: int = 0


class RescheduleJob(JobCommand, frozen=True):
    """Run a failed or killed job again as a new attempt. `attempt` 0 means after whichever is current."""

    TOPIC = "job.reschedule"
    OUTSIDE = True
    reason: str = ""
    attempt: int = 0


class DeleteJob(JobCommand, frozen=True):
    """Remove a job from the lists; one that still lives is killed first."""

    TOPIC = "job.delete"
    OUTSIDE = True


class HoldJob(JobCommand, frozen=True):
    """Keep a job from pilots for the reason `code`; several reasons may hold it at once."""

    TOPIC = "job.hold"
    OUTSIDE = True
    code: str = "user"
    detail: str = ""


class FreeJob(JobCommand, frozen=True):
    """Take the reason `code` away; the job is queued when it was the last one."""

    TOPIC = "job.free"
    OUTSIDE = True
    code: str = "user"


class PrioritiseJob(JobCommand, frozen=True):
    """Give a job that no pilot has yet another priority."""

    TOPIC = "job.prioritise"
    OUTSIDE = True
    priority: int


class ResetJob(JobCommand, frozen=True):
    """Run a job again as if it had never been rescheduled; for administrators."""

    TOPIC = "job.reset"
    OUTSIDE = True
    reason: str = ""


class AttemptCommand(JobCommand, frozen=True):
    """A command that concerns one attempt; it is refused when that attempt is over."""

    attempt: int


class VacateJob(AttemptCommand, frozen=True):
    """Note that a killed attempt holds nothing any more: nobody said so in time."""

    TOPIC = "job.vacate"


class CleanJob(AttemptCommand, frozen=True):
    """Delete a job that ended long ago, unless something else keeps it."""

    TOPIC = "job.clean"


class SettleJob(AttemptCommand, frozen=True):
    """The requests that a completed job had waited for are over; with a `code` they failed."""

    TOPIC = "job.settle"
    code: str = ""
    detail: str = ""


class ReleaseMatch(AttemptCommand, frozen=True):
    """Give a matched job back: its pilot never confirmed that it has it."""

    TOPIC = "job.release"


class StallJob(AttemptCommand, frozen=True):
    """Note that nothing was heard of a running job for too long."""

    TOPIC = "job.stall"


class LoseJob(AttemptCommand, frozen=True):
    """Fail an attempt whose pilot or payload is gone for good."""

    TOPIC = "job.lose"
    code: str = "payload-lost"
    detail: str = ""


class ResumeJob(AttemptCommand, frozen=True):
    """Note that a stalled job was heard of again by its pilot."""

    TOPIC = "job.resume"
    KEYED = False
    pilot: str


class ExpireJob(AttemptCommand, frozen=True):
    """Fail a job that nobody took within the time it may wait."""

    TOPIC = "job.expire"


class NoteJob(AttemptCommand, frozen=True):
    """What the running job says of itself, without its pilot: how far it is, and values worth keeping."""

    TOPIC = "job.note"
    application: str = ""
    values: dict[str, Any] = {}


class Report(AttemptCommand, frozen=True):
    """What a pilot says of a job it runs: numbered per attempt, timed by the pilot's own clock."""

    KEYED = False
    seq: int
    pilot: str
    said_at: datetime | None = None


class StartJob(Report, frozen=True):
    """The payload runs."""

    TOPIC = "job.start"
    host: str = ""
    pid: int = 0


class ProgressJob(Report, frozen=True):
    """A new minor or application status."""

    TOPIC = "job.progress"
    minor: str = ""
    application: str = ""


class DescribeJob(Report, frozen=True):
    """Measured or discovered values worth keeping."""

    TOPIC = "job.describe"
    values: dict[str, Any] = {}


class CompletePayload(Report, frozen=True):
    """The payload has ended, its outputs are on their way."""

    TOPIC = "job.complete"
    exit_code: int = 0


class FinishJob(Report, frozen=True):
    """Everything went well."""

    TOPIC = "job.finish"
    exit_code: int = 0
    output: str = ""
    missing: tuple[str, ...] = ()
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    max_rss_mb: float = 0.0


class PendJob(Report, frozen=True):
    """Everything went well but for some requests that are still to be carried out."""

    TOPIC = "job.pend"
    pending: tuple[str, ...] = ()
    exit_code: int = 0
    output: str = ""
    missing: tuple[str, ...] = ()
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    max_rss_mb: float = 0.0


class FailJob(Report, frozen=True):
    """The attempt failed, with the reason as a code."""

    TOPIC = "job.fail"
    code: str = "unknown"
    detail: str = ""
    exit_code: int = 0
    output: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    max_rss_mb: float = 0.0
