"""A task: a group of inputs that is claimed for good, and the one job that works on it.

The number of the job is part of the claim. Submitting it again, after a crash or a redelivery, meets the job that is
there; trying again is another attempt of that very job, which it only gets when the one before is over. So nothing
can run twice at a time, whoever resets what.
"""

from enum import StrEnum
from typing import Self
from uuid import UUID

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.transformations.definition import Then
from domain.transformations.names import task_stream, transformation_stream


class Status(StrEnum):
    """The states of a task."""

    ABSENT = ""
    OPEN = "Open"  # its job is submitted, or about to be
    DONE = "Done"
    QUARANTINED = "Quarantined"
    SPLIT = "Split"  # its inputs are claimed by other tasks
    CANCELLED = "Cancelled"


LIVE = frozenset({Status.OPEN, Status.QUARANTINED})


class TaskCommand(Command, frozen=True):
    """A command to one task of a transformation."""

    KEYED = False
    vo: str
    name: str
    task: int

    @property
    def stream(self) -> UUID:
        return task_stream(self.vo, self.name, self.task)


class CreateTask(TaskCommand, frozen=True):
    """Claim these inputs for a task, whose job has this number. `parent` is the task that was split for it."""

    TOPIC = "task.create"
    job: int
    lfns: tuple[str, ...] = ()
    target: str = ""
    parent: int = 0


class EndTask(TaskCommand, frozen=True):
    """The attempt of the task's job is over; with a `code` it failed."""

    TOPIC = "task.end"
    job: int
    retries: int
    then: Then = Then.QUARANTINE
    code: str = ""
    detail: str = ""
    final: bool = False  # the job cannot or must not be tried again


class CancelTask(TaskCommand, frozen=True):
    """Nobody wants it any more."""

    TOPIC = "task.cancel"


class ReplaceTask(TaskCommand, frozen=True):
    """Give the inputs of a quarantined task to a new one."""

    TOPIC = "task.replace"


class PackInputs(Command, frozen=True):
    """Make tasks of the inputs that nobody has claimed: a part, as much as one transaction should hold."""

    TOPIC = "transformation.pack"
    KEYED = False
    vo: str
    name: str

    @property
    def stream(self) -> UUID:
        return transformation_stream(self.vo, self.name)


class CancelTasks(PackInputs, frozen=True):
    """Cancel the tasks that are open, and kill their jobs: a part."""

    TOPIC = "transformation.cancel"


class RetryTasks(PackInputs, frozen=True):
    """New tasks for the inputs of quarantined ones: those named, else all, a part."""

    TOPIC = "transformation.retry"
    owner: str
    manages: bool
    tasks: tuple[int, ...] = ()


class AuditTransformation(PackInputs, frozen=True):
    """Prove from the log that every input is claimed once or not at all."""

    TOPIC = "transformation.audit"


class Task(Aggregate, frozen=True):
    """What a task is at the moment."""

    TOPIC = "task"
    LOG = "transformations"

    status: Status = Status.ABSENT
    job: int = 0
    inputs: int = 0
    failures: int = 0

    class Created(Event, frozen=True):
        """The inputs are claimed, and this job works on them."""

        TOPIC = "task.created"
        name: str
        task: int
        job: int
        lfns: tuple[str, ...] = ()
        target: str = ""
        parent: int = 0

    class Retried(Event, frozen=True):
        """An attempt failed; the job gets another one."""

        TOPIC = "task.retried"
        name: str
        task: int
        failures: int
        code: str
        detail: str = ""

    class Done(Event, frozen=True):
        """The inputs are processed."""

        TOPIC = "task.done"
        name: str
        task: int
        inputs: int
        former: str

    class Quarantined(Event, frozen=True):
        """The inputs are kept aside, for this reason."""

        TOPIC = "task.quarantined"
        name: str
        task: int
        inputs: int
        code: str
        detail: str = ""

    class Split(Event, frozen=True):
        """Other tasks claim the inputs."""

        TOPIC = "task.split"
        name: str
        task: int
        inputs: int
        former: str
        code: str = ""
        detail: str = ""

    class Cancelled(Event, frozen=True):
        """Nothing is done with the inputs."""

        TOPIC = "task.cancelled"
        name: str
        task: int
        inputs: int
        former: str

    def create(self, command: CreateTask, origin: Origin) -> Decision:
        """A number is given once."""
        if self.status is Status.ABSENT:
            yield Task.Created(command.name, command.task, command.job, command.lfns, command.target, command.parent)
        elif self.job != command.job:
            raise Refused(Code.TASK_STATE, task=command.task, status=self.status.value, verb="create")

    def end(self, command: EndTask, origin: Origin) -> Decision:
        """Of the task's own job; what came to its end stays there, but for a quarantined job that somebody mended."""
        if self.status not in LIVE or command.job != self.job:
            return
        if not command.code:
            yield Task.Done(command.name, command.task, self.inputs, self.status.value)
        elif self.status is Status.OPEN:
            yield self._failed(command)

    def _failed(self, command: EndTask) -> Event:
        name, task, code, detail = command.name, command.task, command.code[:64], command.detail[:255]
        if not command.final and self.failures < command.retries:
            return Task.Retried(name, task, self.failures + 1, code, detail)
        if not command.final and command.then is Then.SPLIT and self.inputs > 1:
            return Task.Split(name, task, self.inputs, self.status.value, code, detail)
        return Task.Quarantined(name, task, self.inputs, code, detail)

    def cancel(self, command: CancelTask, origin: Origin) -> Decision:
        """Whatever is not over."""
        if self.status in LIVE:
            yield Task.Cancelled(command.name, command.task, self.inputs, self.status.value)

    def replace(self, command: ReplaceTask, origin: Origin) -> Decision:
        """Only what is kept aside: an open task has a job that may still do it."""
        if self.status is not Status.QUARANTINED:
            raise Refused(Code.TASK_STATE, task=command.task, status=self.status.value or "not there", verb="retry")
        yield Task.Split(command.name, command.task, self.inputs, self.status.value, "retried")

    def evolve(self, event: Recorded[Event]) -> Self:
        """The task after the event."""
        match event.event:
            case Task.Created() as facts:
                return type(self)(Status.OPEN, facts.job, len(facts.lfns))
            case Task.Retried() as facts:
                return type(self)(self.status, self.job, self.inputs, facts.failures)
        return type(self)(ENDS[type(event.event)], self.job, self.inputs, self.failures)


ENDS: dict[type[Event], Status] = {
    Task.Done: Status.DONE,
    Task.Quarantined: Status.QUARANTINED,
    Task.Split: Status.SPLIT,
    Task.Cancelled: Status.CANCELLED,
}
