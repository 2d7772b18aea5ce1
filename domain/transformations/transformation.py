"""A transformation: what it does, and whether it takes inputs and makes tasks at the moment."""

from enum import StrEnum
from typing import ClassVar, Self
from uuid import UUID

from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.transformations.definition import MOST_TASKS, Definition, check
from domain.transformations.names import transformation_stream

MANAGERS = frozenset({"ProductionManagement", "JobAdministrator", "Operator", "ServiceAdministrator"})


class Status(StrEnum):
    """The states of a transformation."""

    ABSENT = ""
    NEW = "New"
    ACTIVE = "Active"
    PAUSED = "Paused"  # inputs are attached, no tasks are made
    DRAINING = "Draining"  # no further inputs; what is there becomes tasks, whatever the group size
    COMPLETED = "Completed"  # no further tasks; those that run are counted to their end
    CLEANING = "Cleaning"  # what runs is killed
    CLEANED = "Cleaned"


S = Status
# The table of states. What is not in it is refused, whoever asks (tested pair by pair).
TRANSITIONS: dict[Status, frozenset[Status]] = {
    S.ABSENT: frozenset({S.NEW}),
    S.NEW: frozenset({S.ACTIVE, S.CLEANING}),
    S.ACTIVE: frozenset({S.PAUSED, S.DRAINING, S.COMPLETED}),
    S.PAUSED: frozenset({S.ACTIVE, S.DRAINING, S.COMPLETED, S.CLEANING}),
    S.DRAINING: frozenset({S.ACTIVE, S.PAUSED, S.COMPLETED}),
    S.COMPLETED: frozenset({S.ACTIVE, S.CLEANING}),
    S.CLEANING: frozenset({S.CLEANED}),
    S.CLEANED: frozenset(),
}
ATTACHING = frozenset({S.NEW, S.ACTIVE, S.PAUSED})  # files that are named are taken
FED = frozenset({S.ACTIVE, S.PAUSED})  # files that fit the query are taken as they come
PACKING = frozenset({S.ACTIVE, S.DRAINING})


class TransformationCommand(Command, frozen=True):
    """A command to one transformation of a VO."""

    vo: str
    name: str

    @property
    def stream(self) -> UUID:
        return transformation_stream(self.vo, self.name)


class CreateTransformation(TransformationCommand, frozen=True):
    """Make one; nothing runs yet."""

    TOPIC = "transformation.create"
    owner: str
    owner_name: str
    group: str
    definition: Definition
    reads_all: bool = False


class StartTransformation(TransformationCommand, frozen=True):
    """Take inputs, make tasks."""

    TOPIC = "transformation.start"


class PauseTransformation(TransformationCommand, frozen=True):
    """Make no more tasks for now."""

    TOPIC = "transformation.pause"


class DrainTransformation(TransformationCommand, frozen=True):
    """Take no more inputs, make tasks of what is left, and complete when all have ended."""

    TOPIC = "transformation.drain"


class ExtendTransformation(TransformationCommand, frozen=True):
    """Allow more tasks (0: as many as the inputs make), and look for inputs again."""

    TOPIC = "transformation.extend"
    max_tasks: int = 0


class CompleteTransformation(TransformationCommand, frozen=True):
    """Make no more tasks at all. `drained`: because all of it has ended."""

    TOPIC = "transformation.complete"
    drained: bool = False


class CleanTransformation(TransformationCommand, frozen=True):
    """Kill what runs, and be done with it. `finished`: nothing runs any more."""

    TOPIC = "transformation.clean"
    finished: bool = False


class Transformation(Aggregate, frozen=True):
    """What a transformation is at the moment."""

    TOPIC = "transformation"
    LOG = "transformations"

    name: str = ""
    status: Status = Status.ABSENT
    owner: str = ""
    owner_name: str = ""
    group: str = ""
    reads_all: bool = False
    definition: Definition | None = None

    class Created(Event, frozen=True):
        """It is defined. `owner` is a pseudonym; `owner_name` is sealed with that person's key."""

        TOPIC = "transformation.created"
        SEALED: ClassVar[dict[str, str]] = {"owner_name": "owner"}
        name: str
        owner: str
        owner_name: str
        group: str
        definition: Definition
        reads_all: bool = False

    class Started(Event, frozen=True):
        """It takes inputs and makes tasks."""

        TOPIC = "transformation.started"
        name: str

    class Paused(Event, frozen=True):
        """It makes no tasks for now."""

        TOPIC = "transformation.paused"
        name: str

    class Draining(Event, frozen=True):
        """It takes no more inputs, and ends with those that it has."""

        TOPIC = "transformation.draining"
        name: str

    class Extended(Event, frozen=True):
        """More tasks are allowed, and inputs are looked for again."""

        TOPIC = "transformation.extended"
        name: str
        max_tasks: int

    class Completed(Event, frozen=True):
        """No further tasks."""

        TOPIC = "transformation.completed"
        name: str
        drained: bool = False

    class Cleaning(Event, frozen=True):
        """What runs is being killed."""

        TOPIC = "transformation.cleaning"
        name: str

    class Cleaned(Event, frozen=True):
        """Nothing of it runs any more, or ever will."""

        TOPIC = "transformation.cleaned"
        name: str

    def decide(self, command: Command, origin: Origin) -> Decision:
        """Known in its own VO; people act on their own, or manage all of the VO."""
        by_user = origin.actor.startswith("user:")
        if by_user and self.owner and origin.actor != f"user:{self.owner}" and not origin.rights & MANAGERS:
            raise Refused(Code.FORBIDDEN, right="to be its owner, or ProductionManagement")
        return super().decide(command, origin)

    def create(self, command: CreateTransformation, origin: Origin) -> Decision:
        """A name is given once; the very same again is no news."""
        check(command.name, command.definition)
        if self.status is S.ABSENT:
            yield Transformation.Created(command.name, command.owner, command.owner_name, command.group,
                                         command.definition, command.reads_all)  # fmt: skip
        elif (self.owner, self.definition) != (command.owner, command.definition):
            raise Refused(Code.TRANSFORMATION_EXISTS, transformation=command.name)

    def start(self, command: StartTransformation, origin: Origin) -> Decision:
        """From wherever it is not at its end."""
        if self._changes(command, S.ACTIVE):
            yield Transformation.Started(self.name)

    def pause(self, command: PauseTransformation, origin: Origin) -> Decision:
        """What runs goes on."""
        if self._changes(command, S.PAUSED):
            yield Transformation.Paused(self.name)

    def drain(self, command: DrainTransformation, origin: Origin) -> Decision:
        """It can be started again."""
        if self._changes(command, S.DRAINING):
            yield Transformation.Draining(self.name)

    def extend(self, command: ExtendTransformation, origin: Origin) -> Decision:
        """More tasks, never fewer than were allowed."""
        if self.definition is None or self.status not in ATTACHING:
            raise self._impossible(command)
        most, now = command.max_tasks, self.definition.max_tasks
        needs = not self.definition.source.value == "none" or most
        if not 0 <= most <= MOST_TASKS or (most and most < now) or not needs:
            problem = f"expected at least {now} and at most {MOST_TASKS}; 0 where inputs say how many"
            raise Refused(Code.TRANSFORMATION, field="max_tasks", problem=problem)
        yield Transformation.Extended(self.name, most)

    def complete(self, command: CompleteTransformation, origin: Origin) -> Decision:
        """By somebody, or because what was drained has ended."""
        if command.drained and self.status is not S.DRAINING:
            return
        if self._changes(command, S.COMPLETED):
            yield Transformation.Completed(self.name, command.drained)

    def clean(self, command: CleanTransformation, origin: Origin) -> Decision:
        """What ended cannot be begun again."""
        if command.finished:
            if self.status is S.CLEANING:
                yield Transformation.Cleaned(self.name)
        elif self.status is not S.CLEANED and self._changes(command, S.CLEANING):
            yield Transformation.Cleaning(self.name)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The transformation after the event."""
        match event.event:
            case Transformation.Created() as facts:
                return type(self)(facts.name, S.NEW, facts.owner, facts.owner_name, facts.group, facts.reads_all,
                                  facts.definition)  # fmt: skip
            case Transformation.Extended() as facts if self.definition:
                return replace(self, definition=replace(self.definition, max_tasks=facts.max_tasks))
        return replace(self, status=BECOMES.get(type(event.event), self.status))

    def _changes(self, command: TransformationCommand, target: Status) -> bool:
        """Whether it comes into another state; one that is there already stays there."""
        if self.status is target:
            return False
        if target not in TRANSITIONS[self.status]:
            raise self._impossible(command)
        return True

    def _impossible(self, command: TransformationCommand) -> Refused:
        if self.status is S.ABSENT:
            return Refused(Code.TRANSFORMATION_UNKNOWN, transformation=command.name)
        verb = type(command).TOPIC.partition(".")[2]
        possible = ", ".join(sorted(status.value for status in TRANSITIONS[self.status])) or "nothing"
        return Refused(Code.TRANSFORMATION_STATE, transformation=self.name, status=self.status.value, verb=verb,
                       possible=possible)  # fmt: skip


BECOMES: dict[type[Event], Status] = {
    Transformation.Started: S.ACTIVE,
    Transformation.Paused: S.PAUSED,
    Transformation.Draining: S.DRAINING,
    Transformation.Completed: S.COMPLETED,
    Transformation.Cleaning: S.CLEANING,
    Transformation.Cleaned: S.CLEANED,
}
