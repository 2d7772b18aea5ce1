"""One act on many jobs: planned and counted, confirmed, carried out a part at a time, undone where there is a way."""

from enum import StrEnum
from typing import Self
from uuid import UUID

from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded

PART = 500  # jobs of one transaction
MOST = 10_000  # jobs of one action
ADMINISTRATOR = "JobAdministrator"


class Verb(StrEnum):
    """What is done to each job."""

    KILL = "kill"
    RESCHEDULE = "reschedule"
    DELETE = "delete"
    HOLD = "hold"
    RELEASE = "release"
    PRIORITY = "priority"


UNDONE = frozenset({Verb.KILL, Verb.HOLD, Verb.RELEASE, Verb.PRIORITY})


class Status(StrEnum):
    """How far an action is."""

    NEW = ""
    PLANNED = "Planned"
    RUNNING = "Running"
    DONE = "Done"
    UNDOING = "Undoing"
    UNDONE = "Undone"
    DROPPED = "Dropped"


class BulkCommand(Command, frozen=True):
    """A command to one action."""

    action: UUID

    @property
    def stream(self) -> UUID:
        return self.action


class PlanBulk(BulkCommand, frozen=True):
    """Keep what is meant: these jobs, found by `query`. `formers` are their priorities, for a way back."""

    TOPIC = "bulk.plan"
    verb: Verb
    jobs: tuple[int, ...]
    query: str = ""
    reason: str = ""
    code: str = "user"
    priority: int = 1
    formers: tuple[int, ...] = ()


class ConfirmBulk(BulkCommand, frozen=True):
    """Do it."""

    TOPIC = "bulk.confirm"


class UndoBulk(BulkCommand, frozen=True):
    """Take it back."""

    TOPIC = "bulk.undo"


class GoOnWithBulk(BulkCommand, frozen=True):
    """The part before `begin` is done."""

    TOPIC = "bulk.go-on"
    KEYED = False
    begin: int
    undoing: bool = False


class DropBulk(BulkCommand, frozen=True):
    """Forget a plan that nobody confirmed."""

    TOPIC = "bulk.drop"


class BulkAction(Aggregate, frozen=True):
    """What an action is at the moment."""

    TOPIC = "bulk"
    LOG = "bulk"

    vo: str = ""
    author: str = ""
    status: Status = Status.NEW
    verb: Verb = Verb.HOLD
    jobs: tuple[int, ...] = ()
    formers: tuple[int, ...] = ()
    code: str = ""
    reason: str = ""
    priority: int = 1
    begin: int = 0

    class Planned(Event, frozen=True):
        """Somebody means to do this to these jobs."""

        TOPIC = "bulk.planned"
        verb: Verb
        jobs: tuple[int, ...]
        query: str = ""
        reason: str = ""
        code: str = "user"
        priority: int = 1
        formers: tuple[int, ...] = ()

    class Confirmed(Event, frozen=True):
        """It is to be done."""

        TOPIC = "bulk.confirmed"

    class UndoAsked(Event, frozen=True):
        """It is to be taken back."""

        TOPIC = "bulk.undo-asked"

    class Part(Event, frozen=True):
        """The next jobs, those up to `end`, are acted upon; `values` are the priorities they get."""

        TOPIC = "bulk.part"
        action: UUID
        verb: Verb
        jobs: tuple[int, ...]
        end: int
        reason: str = ""
        code: str = "user"
        values: tuple[int, ...] = ()
        undoing: bool = False

    class Finished(Event, frozen=True):
        """All of them were acted upon."""

        TOPIC = "bulk.finished"
        undoing: bool = False

    class Dropped(Event, frozen=True):
        """Nobody confirmed it in time."""

        TOPIC = "bulk.dropped"

    def decide(self, command: Command, origin: Origin) -> Decision:
        """An action is known in its own VO, to who planned it and to administrators."""
        if self.status is not Status.NEW and origin.vo != self.vo:
            raise Refused(Code.NOT_FOUND, thing="bulk action", name=str(getattr(command, "action", "")))
        by_user = origin.actor.startswith("user:")
        if by_user and self.author and origin.actor != self.author and ADMINISTRATOR not in origin.rights:
            raise Refused(Code.FORBIDDEN, right=f"to be who planned it, or {ADMINISTRATOR}")
        return super().decide(command, origin)

    def plan(self, command: PlanBulk, origin: Origin) -> Decision:
        """Once; between one job and ten thousand."""
        if self.status is not Status.NEW:
            return
        if not command.jobs:
            raise Refused(Code.NOT_FOUND, thing="job that this can be done to", name=command.query)
        if len(command.jobs) > MOST:
            raise Refused(Code.TOO_MANY, count=len(command.jobs), things="jobs", limit=MOST)
        fields = {name: getattr(command, name) for name in BulkAction.Planned.__struct_fields__}
        yield BulkAction.Planned(**fields)

    def confirm(self, command: ConfirmBulk, origin: Origin) -> Decision:
        """A plan is carried out once, however often it is confirmed."""
        if self.status in (Status.NEW, Status.DROPPED):
            raise Refused(Code.BULK_GONE, action=str(command.action))
        if self.status is Status.PLANNED:
            yield BulkAction.Confirmed()
            yield self._part(command.action, 0, undoing=False)

    def undo(self, command: UndoBulk, origin: Origin) -> Decision:
        """What was done is taken back, where there is a way back."""
        if self.status in (Status.NEW, Status.DROPPED, Status.PLANNED):
            raise Refused(Code.BULK_GONE, action=str(command.action))
        if self.verb not in UNDONE:
            raise Refused(Code.NOT_UNDONE, verb=self.verb.value)
        if self.status is Status.RUNNING:
            raise Refused(Code.BUSY)
        if self.status is Status.DONE:
            yield BulkAction.UndoAsked()
            yield self._part(command.action, 0, undoing=True)

    def go_on(self, command: GoOnWithBulk, origin: Origin) -> Decision:
        """The next part, until there is none; a part that was said to be done before changes nothing."""
        wanted = Status.UNDOING if command.undoing else Status.RUNNING
        if self.status is not wanted or command.begin != self.begin:
            return
        if command.begin < len(self.jobs):
            yield self._part(command.action, command.begin, command.undoing)
        else:
            yield BulkAction.Finished(command.undoing)

    def drop(self, command: DropBulk, origin: Origin) -> Decision:
        """Only what nobody confirmed."""
        if self.status is Status.PLANNED:
            yield BulkAction.Dropped()

    def evolve(self, event: Recorded[Event]) -> Self:
        """The action after the event."""
        match event.event:
            case BulkAction.Planned() as facts:
                return replace(self, vo=event.vo, author=event.actor, status=Status.PLANNED, verb=facts.verb,
                               jobs=facts.jobs, formers=facts.formers, code=facts.code, reason=facts.reason,
                               priority=facts.priority)  # fmt: skip
            case BulkAction.UndoAsked():
                return replace(self, status=Status.UNDOING, begin=0)
            case BulkAction.Part() as facts:
                return replace(self, begin=facts.end)
            case BulkAction.Finished() as facts:
                return replace(self, status=Status.UNDONE if facts.undoing else Status.DONE)
        return replace(self, status=_PLAIN.get(type(event.event), self.status))

    def _part(self, action: UUID, begin: int, undoing: bool) -> Event:
        jobs = self.jobs[begin : begin + PART]
        end = begin + len(jobs)
        values: tuple[int, ...] = ()
        if self.verb is Verb.PRIORITY:
            values = self.formers[begin:end] if undoing else (self.priority,) * len(jobs)
        return BulkAction.Part(action, self.verb, jobs, end, self.reason, self.code, values, undoing)


_PLAIN: dict[type[Event], Status] = {BulkAction.Confirmed: Status.RUNNING, BulkAction.Dropped: Status.DROPPED}
