"""A job, from submission to its final state: its commands, its events, its rules, and what the events mean."""

import re
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Self
from uuid import UUID

from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.inputs import LACKING, Found, narrowed
from domain.job_commands import (
    AttemptCommand,
    CheckJob,
    CleanJob,
    CompletePayload,
    DeleteJob,
    DescribeJob,
    ExpireJob,
    FailJob,
    FinishJob,
    FreeJob,
    HoldJob,
    JobCommand,
    KillJob,
    LocateJob,
    LoseJob,
    NoteJob,
    PendJob,
    PrioritiseJob,
    ProgressJob,
    QueueJob,
    RejectJob,
    ReleaseMatch,
    Report,
    RescheduleJob,
    ResetJob,
    ResumeJob,
    SettleJob,
    StallJob,
    StartJob,
    SubmitJob,
    VacateJob,
)
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.requirements import Requirements

__all__ = [
    "BY_OWNER",
    "FINAL",
    "HELD_BY_PILOT",
    "HOLDABLE",
    "MAX_RESCHEDULES",
    "MOST_NOTES",
    "STARTABLE",
    "STARTED",
    "TRANSITIONS",
    "AttemptCommand",
    "CheckJob",
    "CleanJob",
    "CompletePayload",
    "DeleteJob",
    "DescribeJob",
    "ExpireJob",
    "FailJob",
    "FinishJob",
    "FreeJob",
    "HoldJob",
    "Job",
    "JobCommand",
    "KillJob",
    "LocateJob",
    "LoseJob",
    "NoteJob",
    "PendJob",
    "PrioritiseJob",
    "ProgressJob",
    "QueueJob",
    "RejectJob",
    "ReleaseMatch",
    "Report",
    "RescheduleJob",
    "ResetJob",
    "ResumeJob",
    "SettleJob",
    "StallJob",
    "StartJob",
    "Status",
    "SubmitJob",
    "VacateJob",
]

MAX_RESCHEDULES = 3  # DIRAC 9.1: Operations option MaxRescheduling
MOST_NOTES = 1000  # reports of one attempt that only tell: whoever loads a job reads all of it
MOST_HOLDS = 16  # codes that hold one job at once
HOLD_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")
ADMINISTRATOR = "JobAdministrator"
SHARING = "JobSharing"  # of a group whose members act on each other's jobs (DIRAC 9.1 JobPolicy)
PRIORITIES = range(11)  # DIRAC 9.1 JobDescription MinPriority, MaxPriority
CLEANED_TYPES = frozenset({"User", "Test", "Hospital"})  # others are cleaned with their production
BY_OWNER = "user"  # the only code that an owner may give and take away


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
# The table of states. What is not in it is refused, whoever asks; no decision leaves it (tested state by state).
FINAL = frozenset({S.DONE, S.FAILED, S.KILLED, S.DELETED})
HELD_BY_PILOT = frozenset({S.MATCHED, S.RUNNING, S.STALLED, S.COMPLETING})
HOLDABLE = frozenset({S.SUBMITTING, S.RECEIVED, S.CHECKING, S.STAGING, S.WAITING})
ENDED = frozenset({S.DONE, S.FAILED, S.KILLED})
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
    S.COMPLETED: frozenset({S.DONE, S.FAILED, S.KILLED}),
    S.DONE: frozenset({S.DELETED}),
    S.FAILED: frozenset({S.RECEIVED, S.DELETED}),
    S.KILLED: frozenset({S.RECEIVED, S.DELETED}),
    S.DELETED: frozenset(),
}


Upcast = Callable[[dict[str, Any]], dict[str, Any]]
WIDER: dict[int, Upcast] = {1: dict}  # from version 1 to 2: a field more, which has a default
WIDEST: dict[int, Upcast] = {1: dict, 2: dict}


class Job(Aggregate, frozen=True, gc=False):
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
    notes: int = 0  # what the attempt said of itself, beside its pilot's reports
    holds: tuple[str, ...] = ()
    leaving: bool = False  # killed, and its pilot has not said yet that it is gone
    gaps: frozenset[int] = frozenset()  # numbers of reports that were passed over
    near: tuple[str, ...] | None = None  # the sites near its inputs, once they were looked for
    lacking: str = ""  # what was said of inputs that it cannot have

    class Submitted(Event, frozen=True):
        """A job was accepted. `owner` is a pseudonym; `owner_name` is sealed with that person's key."""

        TOPIC = "job.submitted"
        SCHEMA = 3
        UPCASTS: ClassVar[dict[int, Upcast]] = WIDEST
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
        inputs: tuple[str, ...] = ()

    class Located(Event, frozen=True):
        """The sites near all inputs of the job, of those it asks for; none: everywhere."""

        TOPIC = "job.located"
        sites: tuple[str, ...] = ()

    class Checked(Event, frozen=True):
        """Every check passed."""

        TOPIC = "job.checked"

    class Queued(Event, frozen=True):
        """The job waits in the task queue of its owner, group and requirements."""

        TOPIC = "job.queued"
        SCHEMA = 2
        UPCASTS: ClassVar[dict[int, Upcast]] = WIDER
        queue: str
        owner: str
        group: str
        attempt: int
        priority: int = 1
        requirements: Requirements = Requirements()

    class Held(Event, frozen=True):
        """The job is kept from pilots, whatever its state, until every code of `codes` is taken away."""

        TOPIC = "job.held"
        attempt: int
        code: str
        codes: tuple[str, ...]
        detail: str = ""

    class Freed(Event, frozen=True):
        """The reason `code` is gone; `left` are those that still hold the job. `status` is where it stands."""

        TOPIC = "job.freed"
        attempt: int
        code: str
        status: str
        left: tuple[str, ...] = ()

    class Prioritised(Event, frozen=True):
        """The job has another place among those of its queue."""

        TOPIC = "job.prioritised"
        priority: int
        former: int

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
        """Somebody ended the job. `pilot` has it still, and learns it with the next heartbeat."""

        TOPIC = "job.killed"
        SCHEMA = 2
        UPCASTS: ClassVar[dict[int, Upcast]] = WIDER
        attempt: int
        reason: str = ""
        pilot: str = ""

    class Vacated(Event, frozen=True):
        """A killed attempt holds its slot no more: `how` says how that is known; what it used counts."""

        TOPIC = "job.vacated"
        attempt: int
        how: str
        seq: int = 0
        exit_code: int = 0
        cpu_seconds: float = 0.0
        wall_seconds: float = 0.0
        max_rss_mb: float = 0.0
        said_at: datetime | None = None

    class Late(Event, frozen=True):
        """A report that came after its time: kept, and it changes nothing."""

        TOPIC = "job.late"
        attempt: int
        seq: int
        kind: str
        minor: str = ""
        application: str = ""
        values: dict[str, Any] = {}
        said_at: datetime | None = None

    class Completed(Event, frozen=True):
        """The program ended well; requests (where its outputs go, for instance) are still under way."""

        TOPIC = "job.completed"
        seq: int
        attempt: int
        pending: tuple[str, ...]
        exit_code: int = 0
        output: str = ""
        missing: tuple[str, ...] = ()
        cpu_seconds: float = 0.0
        wall_seconds: float = 0.0
        max_rss_mb: float = 0.0
        said_at: datetime | None = None

    class Settled(Event, frozen=True):
        """The requests are over; with a `code` they failed, and the job with them."""

        TOPIC = "job.settled"
        attempt: int
        code: str = ""
        detail: str = ""

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

    def reject(self, command: RejectJob, origin: Origin) -> Decision:
        """Only a job that does not wait yet."""
        if self.status not in (S.RECEIVED, S.CHECKING):
            raise self._impossible(command)
        yield Job.Failed(self.attempt, command.code[:64], command.detail[:255])

    def queue(self, command: QueueJob, origin: Origin) -> Decision:
        """A checked job waits for a pilot; one that was forgotten before its checks is checked now.

        A held one stays where it is: who frees it has it queued.
        """
        if self.holds and self.status in HOLDABLE:
            return
        if self.status is S.RECEIVED:
            yield Job.Checked()
        else:
            self._may(S.WAITING, command)
        yield self._queued()

    def hold(self, command: HoldJob, origin: Origin) -> Decision:
        """A job that no pilot has yet is kept back; the same code twice is one reason."""
        self._owned(origin)
        self._reason_of(command.code, origin)
        if self.status not in HOLDABLE:
            raise self._impossible(command)
        if command.code in self.holds:
            return
        if len(self.holds) >= MOST_HOLDS:
            raise Refused(Code.TOO_MANY, count=MOST_HOLDS + 1, things="reasons to hold a job", limit=MOST_HOLDS)
        yield Job.Held(self.attempt, command.code, (*self.holds, command.code), command.detail[:255])

    def free(self, command: FreeJob, origin: Origin) -> Decision:
        """One reason less; a waiting job is queued again when it was the last one."""
        self._owned(origin)
        self._reason_of(command.code, origin)
        if command.code not in self.holds:
            return
        left = tuple(code for code in self.holds if code != command.code)
        yield Job.Freed(self.attempt, command.code, self.status.value, left)
        if not left and self.status is S.WAITING:
            yield self._queued()

    def locate(self, command: LocateJob, origin: Origin) -> Decision:
        """Where the inputs are says where the job may run; without them it is held. It matters until a pilot has it."""
        if self.status is S.NEW:
            raise self._impossible(command)
        if self.status not in HOLDABLE:
            return
        found = narrowed(self.requirements, Found(command.near, command.code, command.detail))
        left = tuple(code for code in self.holds if code not in LACKING)
        before = [code for code in self.holds if code in LACKING]
        if found.code:
            if before != [found.code] or found.detail[:255] != self.lacking:
                yield Job.Held(self.attempt, found.code, (*left, found.code), found.detail[:255])
            return
        moved = found.sites != self.near
        if moved:
            yield Job.Located(found.sites)
        if before:
            yield Job.Freed(self.attempt, before[0], self.status.value, left)
        if self.status is S.WAITING and not left and (moved or before):
            yield replace(self, near=found.sites)._queued()

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
        if self._late(command):
            yield Job.Late(
                self.attempt, command.seq, "progress", command.minor[:255], command.application[:255],
                said_at=command.said_at,
            )  # fmt: skip
        elif self._noted(command):
            yield from self._resumed()
            yield Job.Progressed(command.seq, command.minor[:255], command.application[:255], command.said_at)

    def describe(self, command: DescribeJob, origin: Origin) -> Decision:
        """Values are kept as they come; a stalled job is alive again."""
        if self._late(command):
            yield Job.Late(self.attempt, command.seq, "values", values=command.values, said_at=command.said_at)
        elif self._noted(command):
            yield from self._resumed()
            yield Job.Described(command.seq, command.values, command.said_at)

    def note(self, command: NoteJob, origin: Origin) -> Decision:
        """A running job speaks for itself. Its pilot's numbering goes on as if nothing had been said."""
        self._current(command)
        if self.status not in STARTED:
            raise self._impossible(command)
        if self.notes >= MOST_NOTES:
            raise Refused(Code.TOO_MANY, count=self.notes + 1, things="notes of one attempt", limit=MOST_NOTES)
        if command.application:
            yield Job.Progressed(self.seq, application=command.application[:255], said_at=origin.at)
        if command.values:
            yield Job.Described(self.seq, command.values, origin.at)

    def complete(self, command: CompletePayload, origin: Origin) -> Decision:
        """The payload ended, the outputs are on their way."""
        if self._heard(command, STARTED):
            yield from self._resumed()
            yield _copy(command, Job.PayloadEnded)

    def finish(self, command: FinishJob, origin: Origin) -> Decision:
        """The good end of the attempt; of a killed one it only says that it is gone."""
        if self._leaves(command):
            yield self._vacated(command)
        elif self._heard(command, STARTED):
            yield _copy(command, Job.Done)

    def fail(self, command: FailJob, origin: Origin) -> Decision:
        """The bad end of the attempt, said by the pilot; of a killed one it only says that it is gone."""
        if self._leaves(command):
            yield self._vacated(command)
        elif self._heard(command, HELD_BY_PILOT):
            yield _copy(command, Job.Failed)

    def pend(self, command: PendJob, origin: Origin) -> Decision:
        """The good end but for some requests; who carries them out settles it."""
        if self._leaves(command):
            yield self._vacated(command)
        elif self._heard(command, STARTED):
            yield from self._resumed()
            if self.status is not S.COMPLETING:
                yield Job.PayloadEnded(command.seq, self.attempt, command.exit_code, command.said_at)
            yield _copy(command, Job.Completed)

    def settle(self, command: SettleJob, origin: Origin) -> Decision:
        """Once, and only what waits for it."""
        self._current(command)
        if self.status is S.COMPLETED:
            yield Job.Settled(self.attempt, command.code, command.detail[:255])

    def vacate(self, command: VacateJob, origin: Origin) -> Decision:
        """The pilot of a killed attempt never said that it is gone."""
        self._current(command)
        if self.leaving:
            yield Job.Vacated(self.attempt, "silence")

    def clean(self, command: CleanJob, origin: Origin) -> Decision:
        """What ended long ago goes, unless it ran again since or belongs to a production."""
        self._current(command)
        if self.status in ENDED and not self.leaving and self.requirements.job_type in CLEANED_TYPES:
            yield Job.Deleted()

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
        if self.leaving:
            yield Job.Vacated(self.attempt, command.code)
        elif self.status in HELD_BY_PILOT:
            yield Job.Failed(self.attempt, command.code, command.detail)

    def expire(self, command: ExpireJob, origin: Origin) -> Decision:
        """Nobody took the job in time, or nobody freed it."""
        self._current(command)
        if self.holds and self.status in HOLDABLE:
            yield Job.Failed(self.attempt, "held-too-long", ", ".join(self.holds))
        elif self.status is S.WAITING:
            yield Job.Failed(self.attempt, "waited-too-long")

    def kill(self, command: KillJob, origin: Origin) -> Decision:
        """The owner, or an administrator of the VO, ends the job. A job that is killed already stays so."""
        self._owned(origin)
        self._meant(command)
        if self.status is S.KILLED:
            return
        self._may(S.KILLED, command)
        yield self._killed(command.reason[:255])

    def reschedule(self, command: RescheduleJob, origin: Origin) -> Decision:
        """A job that ended badly gets another attempt, a limited number of times (DIRAC 9.1 MaxRescheduling)."""
        self._owned(origin)
        self._meant(command)
        self._may(S.RECEIVED, command)
        if self.reschedules >= MAX_RESCHEDULES:
            raise Refused(Code.RESCHEDULED_TOO_OFTEN, job=self.number, count=self.reschedules)
        yield from self._again(self.reschedules + 1, command.reason)

    def reset(self, command: ResetJob, origin: Origin) -> Decision:
        """An administrator gives a job all its attempts back, and another one."""
        self._owned(origin)
        self._administrator(origin)
        self._may(S.RECEIVED, command)
        yield from self._again(0, command.reason or "reset")

    def prioritise(self, command: PrioritiseJob, origin: Origin) -> Decision:
        """One that waits takes its new place in its queue at once."""
        self._owned(origin)
        if command.priority not in PRIORITIES:
            raise Refused(Code.DESCRIPTION, field="priority", problem="expected a whole number from 0 to 10")
        if self.status not in HOLDABLE:
            raise self._impossible(command)
        if command.priority == self.priority:
            return
        yield Job.Prioritised(command.priority, self.priority)
        if self.status is S.WAITING and not self.holds:
            yield self._queued(command.priority)

    def delete(self, command: DeleteJob, origin: Origin) -> Decision:
        """A living job is killed, then deleted."""
        self._owned(origin)
        if self.status is S.DELETED:
            return
        if S.DELETED not in TRANSITIONS[self.status]:
            yield self._killed("deleted")
        yield Job.Deleted()

    # Facts: what an event means. No rules here, history is replayed through these.

    def evolve(self, event: Recorded[Event]) -> Self:
        """The job after the event."""
        after: Self = _FACTS.get(type(event.event), _unchanged)(self, event)
        return after

    # Rules that several decisions share.

    def _may(self, target: Status, command: JobCommand) -> None:
        if target not in TRANSITIONS[self.status]:
            raise self._impossible(command)

    def _impossible(self, command: JobCommand) -> Refused:
        if self.status is S.NEW:
            return Refused(Code.JOB_UNKNOWN, job=command.job)
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

    def _late(self, command: Report) -> bool:
        """Whether a note of this attempt came after a later one, or after the attempt's end."""
        mine = command.attempt == self.attempt and bool(self.pilot) and command.pilot == self.pilot
        if not mine or command.seq > MOST_NOTES:
            return False
        return command.seq in self.gaps or (self.status in ENDED and command.seq > self.seq)

    def _leaves(self, command: Report) -> bool:
        """Whether this is the last word on a killed attempt."""
        if not self.leaving:
            return False
        self._current(command)
        return command.pilot == self.pilot

    def _vacated(self, command: Any) -> Event:
        used = {name: getattr(command, name) for name in ("exit_code", "cpu_seconds", "wall_seconds", "max_rss_mb")}
        return Job.Vacated(self.attempt, "confirmed", command.seq, said_at=command.said_at, **used)

    def _killed(self, reason: str) -> Event:
        return Job.Killed(self.attempt, reason, self.pilot if self.status in HELD_BY_PILOT else "")

    def _noted(self, command: Report) -> bool:
        """As `_heard`, of what could come without end; ends of attempts are always taken."""
        if command.seq > MOST_NOTES:
            raise Refused(Code.TOO_MANY, count=command.seq, things="reports of one attempt", limit=MOST_NOTES)
        return self._heard(command, STARTED)

    def _owned(self, origin: Origin) -> None:
        if self.status is S.NEW or (origin.vo and origin.vo != self.vo):
            raise Refused(Code.JOB_UNKNOWN, job=self.number or "?")
        kind, _, who = origin.actor.partition(":")
        shared = SHARING in origin.rights and origin.group == self.group
        if kind == "user" and who != self.owner and ADMINISTRATOR not in origin.rights and not shared:
            raise Refused(Code.JOB_NOT_YOURS, job=self.number)

    def _administrator(self, origin: Origin) -> None:
        if ADMINISTRATOR not in origin.rights:
            raise Refused(Code.FORBIDDEN, right=ADMINISTRATOR)

    def _reason_of(self, code: str, origin: Origin) -> None:
        """A code is a word; people who are no administrators have one of their own."""
        if not HOLD_CODE.fullmatch(code):
            raise Refused(Code.MALFORMED, problem="code: expected lower-case letters, digits and hyphens, at most 64")
        by_user = origin.actor.startswith("user:")
        if by_user and code != BY_OWNER:
            self._administrator(origin)

    def _queued(self, priority: int | None = None) -> Event:
        wanted = replace(self.requirements, sites=self.near) if self.near else self.requirements
        queue = wanted.queue(self.vo, self.group, self.owner)
        priority = self.priority if priority is None else priority
        return Job.Queued(queue, self.owner, self.group, self.attempt, priority, wanted)

    def _again(self, reschedules: int, reason: str) -> Decision:
        if self.leaving:  # its pilot is told to stop it; what it says from now on concerns a former attempt
            yield Job.Vacated(self.attempt, "superseded")
        yield Job.Rescheduled(self.attempt + 1, reschedules, reason[:255])
        if self.holds:  # what held the old attempt holds the new one
            yield Job.Held(self.attempt + 1, self.holds[-1], self.holds)

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


def _held(job: Job, event: Recorded[Job.Held]) -> Job:
    lacking = event.event.detail if event.event.code in LACKING else job.lacking
    return replace(job, holds=event.event.codes, lacking=lacking)


def _located(job: Job, event: Recorded[Job.Located]) -> Job:
    return replace(job, near=event.event.sites)


def _freed(job: Job, event: Recorded[Job.Freed]) -> Job:
    return replace(job, holds=event.event.left)


def _prioritised(job: Job, event: Recorded[Job.Prioritised]) -> Job:
    return replace(job, priority=event.event.priority)


def _matched(job: Job, event: Recorded[Job.Matched]) -> Job:
    return replace(job, status=S.MATCHED, pilot=event.event.pilot, seq=0, gaps=frozenset(), notes=0)


def _released(job: Job, event: Recorded[Job.Released]) -> Job:
    return replace(job, status=S.WAITING, pilot="")  # its former pilot has no say any more


def _rescheduled(job: Job, event: Recorded[Job.Rescheduled]) -> Job:
    facts = event.event
    return replace(job, status=S.RECEIVED, attempt=facts.attempt, reschedules=facts.reschedules, pilot="", seq=0,
                   gaps=frozenset())  # fmt: skip


def _killed(job: Job, event: Recorded[Job.Killed]) -> Job:
    return replace(job, status=S.KILLED, leaving=bool(event.event.pilot))


def _vacated(job: Job, event: Recorded[Job.Vacated]) -> Job:
    return replace(job, leaving=False)


def _settled(job: Job, event: Recorded[Job.Settled]) -> Job:
    return replace(job, status=S.FAILED if event.event.code else S.DONE)


def _came_late(job: Job, event: Recorded[Job.Late]) -> Job:
    seq = event.event.seq
    return replace(_counted(job, seq), gaps=_counted(job, seq).gaps - {seq})


def _counted(job: Job, seq: int) -> Job:
    """The numbers between the last report and this one may still come."""
    if seq <= job.seq:
        return job
    return replace(job, seq=seq) if seq == job.seq + 1 else replace(job, seq=seq, gaps=_passed(job, seq))


def _passed(job: Job, seq: int) -> frozenset[int]:
    return job.gaps.union(range(job.seq + 1, min(seq, MOST_NOTES + 1)))


def _to(status: Status) -> Fact:
    """The fact that sets a status."""

    def fact(job: Job, event: Recorded[Any]) -> Job:
        return replace(job, status=status)

    return fact


def _reported(status: Status) -> Fact:
    """The fact that sets a status and counts the report: in one step, for every replay takes it."""

    def fact(job: Job, event: Recorded[Any]) -> Job:
        seq = event.event.seq
        if seq == job.seq + 1:
            return replace(job, status=status, seq=seq)
        return replace(_counted(job, seq), status=status)

    return fact


def _noted(job: Job, event: Recorded[Any]) -> Job:
    beside = event.event.seq == job.seq  # what the job said of itself: a report of its pilot has a number of its own
    return replace(job, notes=job.notes + 1) if beside else _counted(job, event.event.seq)


_FACTS: dict[type[Event], Fact] = {
    Job.Submitted: _submitted,
    Job.Checked: _to(S.CHECKING),
    Job.Queued: _to(S.WAITING),
    Job.Held: _held,
    Job.Located: _located,
    Job.Freed: _freed,
    Job.Prioritised: _prioritised,
    Job.Matched: _matched,
    Job.Released: _released,
    Job.Started: _reported(S.RUNNING),
    Job.Progressed: _noted,
    Job.Described: _noted,
    Job.PayloadEnded: _reported(S.COMPLETING),
    Job.Done: _reported(S.DONE),
    Job.Failed: _reported(S.FAILED),
    Job.Stalled: _to(S.STALLED),
    Job.Resumed: _to(S.RUNNING),
    Job.Killed: _killed,
    Job.Vacated: _vacated,
    Job.Late: _came_late,
    Job.Completed: _reported(S.COMPLETED),
    Job.Settled: _settled,
    Job.Rescheduled: _rescheduled,
    Job.Deleted: _to(S.DELETED),
}
