"""A job, from submission to its final state: its commands, its events, its rules, and what the events mean."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Self
from uuid import UUID

from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.requirements import Requirements
from domain.values import job_stream

MAX_RESCHEDULES = 3  # DIRAC 9.1: Operations option MaxRescheduling
MOST_NOTES = 1000  # reports of one attempt that only tell: whoever loads a job reads all of it


class Status(StrEnum):
    """The states of a job (DIRAC 9.1 JobStatus)."""

    NEW = ""
    SUBMITTING = "Submitting"
    RECEIVED = "Received"
    CHECKING = "Checking"
    STAGING = "Staging"
    WAITING = "Waiting"
    MATCHED = "Matched"
    RUNNING = "Running"
    STALLED = "Stalled"
    COMPLETING = "Completing"
    COMPLETED = "Completed"
    DONE = "Done"
    FAILED = "Failed"
    KILLED = "Killed"
    DELETED = "Deleted"


S = Status
FINAL = frozenset({S.DONE, S.FAILED, S.KILLED, S.DELETED})
HELD_BY_PILOT = frozenset({S.MATCHED, S.RUNNING, S.STALLED, S.COMPLETING})
STARTABLE = frozenset({S.MATCHED, S.RUNNING, S.STALLED})
STARTED = frozenset({S.RUNNING, S.STALLED, S.COMPLETING})
TRANSITIONS: dict[Status, frozenset[Status]] = {
    S.NEW: frozenset({S.SUBMITTING, S.RECEIVED}),
    S.SUBMITTING: frozenset({S.RECEIVED, S.KILLED, S.FAILED, S.DELETED}),
    S.RECEIVED: frozenset({S.CHECKING, S.FAILED, S.KILLED, S.DELETED}),
    S.CHECKING: frozenset({S.STAGING, S.WAITING, S.FAILED, S.KILLED, S.DELETED}),
    S.STAGING: frozenset({S.CHECKING, S.WAITING, S.FAILED, S.KILLED}),
    S.WAITING: frozenset({S.MATCHED, S.RECEIVED, S.FAILED, S.KILLED, S.DELETED}),
    S.MATCHED: frozenset({S.RUNNING, S.FAILED, S.KILLED}),  # and back to Waiting when the match is released
    S.RUNNING: frozenset({S.STALLED, S.COMPLETING, S.DONE, S.FAILED, S.KILLED}),
    S.STALLED: frozenset({S.RUNNING, S.COMPLETING, S.DONE, S.FAILED, S.KILLED}),
    S.COMPLETING: frozenset({S.STALLED, S.COMPLETED, S.DONE, S.FAILED, S.KILLED}),
    S.COMPLETED: frozenset({S.DONE, S.FAILED}),
    S.DONE: frozenset({S.DELETED}),
    S.FAILED: frozenset({S.RECEIVED, S.DELETED}),
    S.KILLED: frozenset({S.RECEIVED, S.DELETED}),
    S.DELETED: frozenset(),
}


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


class CheckJob(JobCommand, frozen=True):
    """Record that nothing speaks against running the job."""

    TOPIC = "job.check"


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


class AttemptCommand(JobCommand, frozen=True):
    """A command that concerns one attempt; it is refused when that attempt is over."""

    attempt: int


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


class Job(Aggregate, frozen=True):
    """What a job is at the moment; a blank one has not been submitted."""

    TOPIC = "job"
    LOG = "jobs"

    number: int = 0
    vo: str = ""
    owner: str = ""
    group: str = ""
    requirements: Requirements = Requirements()
    priority: int = 1
    status: Status = Status.NEW
    attempt: int = 0
    reschedules: int = 0
    pilot: str = ""
    seq: int = 0

    class Submitted(Event, frozen=True):
        """A job was accepted. `owner` is a pseudonym; `owner_name` is sealed with that person's key."""

        TOPIC = "job.submitted"
        SEALED: ClassVar[dict[str, str]] = {"owner_name": "owner"}
        job: int
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

    class Checked(Event, frozen=True):
        """Every check passed."""

        TOPIC = "job.checked"

    class Queued(Event, frozen=True):
        """The job waits in the task queue of its owner, group and requirements."""

        TOPIC = "job.queued"
        queue: str
        owner: str
        group: str
        attempt: int
        priority: int = 1
        requirements: Requirements = Requirements()

    class Matched(Event, frozen=True):
        """A pilot got the job. `decision` says why this queue, as fields."""

        TOPIC = "job.matched"
        pilot: str
        offer: UUID
        attempt: int
        site: str = ""
        ce: str = ""
        decision: dict[str, Any] = {}

    class Released(Event, frozen=True):
        """The match was not confirmed in time; the job waits again, the attempt does not count."""

        TOPIC = "job.released"
        pilot: str

    class Started(Event, frozen=True):
        """The payload runs."""

        TOPIC = "job.started"
        seq: int
        attempt: int
        host: str = ""
        pid: int = 0
        said_at: datetime | None = None

    class Progressed(Event, frozen=True):
        """The job said how far it is."""

        TOPIC = "job.progressed"
        seq: int
        minor: str = ""
        application: str = ""
        said_at: datetime | None = None

    class Described(Event, frozen=True):
        """Values were reported."""

        TOPIC = "job.described"
        seq: int
        values: dict[str, Any] = {}
        said_at: datetime | None = None

    class PayloadEnded(Event, frozen=True):
        """The payload ended; outputs are being stored."""

        TOPIC = "job.payload-ended"
        seq: int
        attempt: int
        exit_code: int = 0
        said_at: datetime | None = None

    class Done(Event, frozen=True):
        """The job ended well."""

        TOPIC = "job.done"
        seq: int
        attempt: int
        exit_code: int = 0
        output: str = ""
        missing: tuple[str, ...] = ()
        cpu_seconds: float = 0.0
        wall_seconds: float = 0.0
        max_rss_mb: float = 0.0
        said_at: datetime | None = None

    class Failed(Event, frozen=True):
        """The attempt failed. `code` is from the closed list of failure codes."""

        TOPIC = "job.failed"
        attempt: int
        code: str
        detail: str = ""
        seq: int = 0
        exit_code: int = 0
        output: str = ""
        cpu_seconds: float = 0.0
        wall_seconds: float = 0.0
        max_rss_mb: float = 0.0
        said_at: datetime | None = None

    class Stalled(Event, frozen=True):
        """Nothing was heard of the running job for too long."""

        TOPIC = "job.stalled"
        attempt: int

    class Resumed(Event, frozen=True):
        """A stalled job was heard of again."""

        TOPIC = "job.resumed"
        attempt: int

    class Killed(Event, frozen=True):
        """Somebody ended the job. Its pilot learns it with the next heartbeat."""

        TOPIC = "job.killed"
        attempt: int
        reason: str = ""

    class Rescheduled(Event, frozen=True):
        """The job starts again from the beginning, as attempt `attempt`."""

        TOPIC = "job.rescheduled"
        attempt: int
        reschedules: int
        reason: str = ""

    class Deleted(Event, frozen=True):
        """The job is out of the lists."""

        TOPIC = "job.deleted"

    # Decisions: check the rules, say what happens.

    def decide(self, command: Command, origin: Origin) -> Decision:
        """As every aggregate; and a job is known in its own VO only, whoever asks."""
        if self.vo and origin.vo != self.vo:
            raise Refused(Code.JOB_UNKNOWN, job=self.number)
        return super().decide(command, origin)

    def submit(self, command: SubmitJob, origin: Origin) -> Decision:
        """A number is given once. The same submission again changes nothing."""
        if self.status is not S.NEW:
            raise Refused(Code.JOB_EXISTS, job=command.job)
        fields = {name: getattr(command, name) for name in Job.Submitted.__struct_fields__}
        yield Job.Submitted(**fields)

    def check(self, command: CheckJob, origin: Origin) -> Decision:
        """Once; a job that is checked already stays as it is."""
        if self.status is S.RECEIVED:
            yield Job.Checked()
        else:
            self._may(S.CHECKING, command)

    def queue(self, command: QueueJob, origin: Origin) -> Decision:
        """A checked job waits for a pilot; one that was forgotten before its checks is checked now."""
        if self.status is S.RECEIVED:
            yield Job.Checked()
        else:
            self._may(S.WAITING, command)
        yield self._queued()

    def release(self, command: ReleaseMatch, origin: Origin) -> Decision:
        """Only a match that was never confirmed goes back."""
        self._current(command)
        if self.status is S.MATCHED:
            yield Job.Released(self.pilot)
            yield self._queued()

    def start(self, command: StartJob, origin: Origin) -> Decision:
        """The pilot that was given the job says that it runs."""
        if self._heard(command, STARTABLE):
            yield _copy(command, Job.Started)

    def progress(self, command: ProgressJob, origin: Origin) -> Decision:
        """Progress of a running job; a stalled one is alive again."""
        if self._noted(command):
            yield from self._resumed()
            yield Job.Progressed(command.seq, command.minor[:255], command.application[:255], command.said_at)

    def describe(self, command: DescribeJob, origin: Origin) -> Decision:
        """Values are kept as they come; a stalled job is alive again."""
        if self._noted(command):
            yield from self._resumed()
            yield Job.Described(command.seq, command.values, command.said_at)

    def complete(self, command: CompletePayload, origin: Origin) -> Decision:
        """The payload ended, the outputs are on their way."""
        if self._heard(command, STARTED):
            yield from self._resumed()
            yield _copy(command, Job.PayloadEnded)

    def finish(self, command: FinishJob, origin: Origin) -> Decision:
        """The good end of the attempt."""
        if self._heard(command, STARTED):
            yield _copy(command, Job.Done)

    def fail(self, command: FailJob, origin: Origin) -> Decision:
        """The bad end of the attempt, said by the pilot."""
        if self._heard(command, HELD_BY_PILOT):
            yield _copy(command, Job.Failed)

    def stall(self, command: StallJob, origin: Origin) -> Decision:
        """Silence makes a running job Stalled, nothing else."""
        self._current(command)
        if self.status in (S.RUNNING, S.COMPLETING):
            yield Job.Stalled(self.attempt)

    def resume(self, command: ResumeJob, origin: Origin) -> Decision:
        """A sign of life makes a stalled job Running again, and never wakes one that has ended."""
        self._current(command)
        if command.pilot == self.pilot:
            yield from self._resumed()

    def lose(self, command: LoseJob, origin: Origin) -> Decision:
        """An attempt in a pilot's hands that nobody will ever finish has failed."""
        self._current(command)
        if self.status in HELD_BY_PILOT:
            yield Job.Failed(self.attempt, command.code, command.detail)

    def expire(self, command: ExpireJob, origin: Origin) -> Decision:
        """Nobody took the job in time."""
        self._current(command)
        if self.status is S.WAITING:
            yield Job.Failed(self.attempt, "waited-too-long")

    def kill(self, command: KillJob, origin: Origin) -> Decision:
        """The owner, or an administrator of the VO, ends the job. A job that is killed already stays so."""
        self._owned(origin)
        self._meant(command)
        if self.status is S.KILLED:
            return
        self._may(S.KILLED, command)
        yield Job.Killed(self.attempt, command.reason[:255])

    def reschedule(self, command: RescheduleJob, origin: Origin) -> Decision:
        """A job that ended badly gets another attempt, a limited number of times (DIRAC 9.1 MaxRescheduling)."""
        self._owned(origin)
        self._meant(command)
        self._may(S.RECEIVED, command)
        if self.reschedules >= MAX_RESCHEDULES:
            raise Refused(Code.RESCHEDULED_TOO_OFTEN, job=self.number, count=self.reschedules)
        yield Job.Rescheduled(self.attempt + 1, self.reschedules + 1, command.reason[:255])

    def delete(self, command: DeleteJob, origin: Origin) -> Decision:
        """A living job is killed, then deleted."""
        self._owned(origin)
        if self.status is S.DELETED:
            return
        if S.DELETED not in TRANSITIONS[self.status]:
            yield Job.Killed(self.attempt, "deleted")
        yield Job.Deleted()

    # Facts: what an event means. No rules here, history is replayed through these.

    def evolve(self, event: Recorded[Event]) -> Self:
        """The job after the event."""
        after: Self = _FACTS.get(type(event.event), _unchanged)(self, event)
        return after

    # Rules that several decisions share.

    def _may(self, target: Status, command: JobCommand) -> None:
        if self.status is S.NEW:
            raise Refused(Code.JOB_UNKNOWN, job=command.job)
        if target not in TRANSITIONS[self.status]:
            raise self._impossible(command)

    def _impossible(self, command: JobCommand) -> Refused:
        verb = type(command).TOPIC.partition(".")[2]
        return Refused(Code.JOB_STATE, job=self.number, status=self.status.value, verb=verb)

    def _current(self, command: AttemptCommand) -> None:
        if self.status is S.NEW:
            raise Refused(Code.JOB_UNKNOWN, job=command.job)
        if command.attempt != self.attempt:
            raise Refused(Code.JOB_ATTEMPT, job=self.number, attempt=command.attempt, current=self.attempt)

    def _meant(self, command: KillJob | RescheduleJob) -> None:
        if command.attempt and command.attempt != self.attempt:
            raise Refused(Code.JOB_ATTEMPT, job=self.number, attempt=command.attempt, current=self.attempt)

    def _heard(self, command: Report, states: frozenset[Status]) -> bool:
        """Whether a report says something new. Raises when it is not this pilot's, not this attempt's or too late."""
        self._current(command)
        if not self.pilot or command.pilot != self.pilot:
            raise Refused(Code.PILOT_JOB, job=self.number, pilot=command.pilot)
        if command.seq <= self.seq:
            return False
        if self.status not in states:
            raise self._impossible(command)
        return True

    def _noted(self, command: Report) -> bool:
        """As `_heard`, of what could come without end; ends of attempts are always taken."""
        if command.seq > MOST_NOTES:
            raise Refused(Code.TOO_MANY, count=command.seq, things="reports of one attempt", limit=MOST_NOTES)
        return self._heard(command, STARTED)

    def _owned(self, origin: Origin) -> None:
        if self.status is S.NEW or (origin.vo and origin.vo != self.vo):
            raise Refused(Code.JOB_UNKNOWN, job=self.number or "?")
        kind, _, who = origin.actor.partition(":")
        if kind == "user" and who != self.owner and "JobAdministrator" not in origin.rights:
            raise Refused(Code.JOB_NOT_YOURS, job=self.number)

    def _queued(self) -> Event:
        queue = self.requirements.queue(self.vo, self.group, self.owner)
        return Job.Queued(queue, self.owner, self.group, self.attempt, self.priority, self.requirements)

    def _resumed(self) -> Decision:
        if self.status is S.STALLED:
            yield Job.Resumed(self.attempt)


def _copy(command: Report, event: type[Event]) -> Event:
    """An event with the fields that it shares with the command."""
    return event(**{name: getattr(command, name) for name in event.__struct_fields__})


Fact = Callable[[Any, Recorded[Any]], Any]


def _unchanged(job: Job, event: Recorded[Event]) -> Job:
    return job


def _submitted(job: Job, event: Recorded[Job.Submitted]) -> Job:
    facts = event.event
    return Job(
        number=facts.job,
        vo=event.vo,
        owner=facts.owner,
        group=facts.group,
        requirements=facts.requirements,
        priority=facts.priority,
        status=S.RECEIVED,
        attempt=1,
    )


def _matched(job: Job, event: Recorded[Job.Matched]) -> Job:
    return replace(job, status=S.MATCHED, pilot=event.event.pilot, seq=0)


def _released(job: Job, event: Recorded[Job.Released]) -> Job:
    return replace(job, status=S.WAITING, pilot="")  # its former pilot has no say any more


def _rescheduled(job: Job, event: Recorded[Job.Rescheduled]) -> Job:
    facts = event.event
    return replace(job, status=S.RECEIVED, attempt=facts.attempt, reschedules=facts.reschedules, pilot="", seq=0)


def _to(status: Status) -> Fact:
    """The fact that sets a status and, where the event is a numbered report, its number."""

    def fact(job: Job, event: Recorded[Any]) -> Job:
        return replace(job, status=status, seq=max(job.seq, getattr(event.event, "seq", 0)))

    return fact


def _noted(job: Job, event: Recorded[Any]) -> Job:
    return replace(job, seq=event.event.seq)


_FACTS: dict[type[Event], Fact] = {
    Job.Submitted: _submitted,
    Job.Checked: _to(S.CHECKING),
    Job.Queued: _to(S.WAITING),
    Job.Matched: _matched,
    Job.Released: _released,
    Job.Started: _to(S.RUNNING),
    Job.Progressed: _noted,
    Job.Described: _noted,
    Job.PayloadEnded: _to(S.COMPLETING),
    Job.Done: _to(S.DONE),
    Job.Failed: _to(S.FAILED),
    Job.Stalled: _to(S.STALLED),
    Job.Resumed: _to(S.RUNNING),
    Job.Killed: _to(S.KILLED),
    Job.Rescheduled: _rescheduled,
    Job.Deleted: _to(S.DELETED),
}
