"""A pilot: asked for, admitted, working, gone. Its secret belongs to its stamp; a new process fences the old one."""

from datetime import datetime, timedelta
from enum import StrEnum
from hmac import compare_digest
from typing import Any, Self
from uuid import UUID

from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.values import pilot_stream

MOST_PROCESSES = 1000  # of one stamp: whoever loads a pilot reads all of them
SECRET_GOOD_FOR = timedelta(days=7)  # after it was given out: to start with it. Batch systems keep nothing longer
RENEWED_FOR = timedelta(days=30)  # the process that began in time may renew its token so long


class Status(StrEnum):
    """The states of a pilot (DIRAC 9.1 PilotStatus, those that Spinor needs)."""

    NEW = ""
    SUBMITTED = "Submitted"
    RUNNING = "Running"
    DONE = "Done"
    ABORTED = "Aborted"


class PilotCommand(Command, frozen=True):
    """A command to one pilot of one VO, by its stamp."""

    vo: str
    stamp: str

    @property
    def stream(self) -> UUID:
        return pilot_stream(self.vo, self.stamp)


class RequestPilot(PilotCommand, frozen=True):
    """Expect a pilot. `secret` is the sha256 of what it will prove itself with."""

    TOPIC = "pilot.request"
    secret: str
    site: str = ""
    ce: str = ""
    queue: str = ""


class AdmitPilot(PilotCommand, frozen=True):
    """A pilot shows its secret. `incarnation` is its own random id: the same one again is the same pilot process."""

    TOPIC = "pilot.admit"
    KEYED = False
    secret: str
    incarnation: str


class StartPilot(PilotCommand, frozen=True):
    """A pilot says what the machine it runs on offers."""

    TOPIC = "pilot.start"
    KEYED = False
    incarnation: int
    site: str = ""
    ce: str = ""
    queue: str = ""
    version: str = ""
    node: dict[str, Any] = {}


class RetirePilot(PilotCommand, frozen=True):
    """A pilot says goodbye."""

    TOPIC = "pilot.retire"
    KEYED = False
    incarnation: int
    reason: str = ""
    jobs_run: int = 0


class LosePilot(PilotCommand, frozen=True):
    """Nothing was heard of a pilot for too long."""

    TOPIC = "pilot.lose"
    incarnation: int = 0


class RevokePilot(PilotCommand, frozen=True):
    """Nobody may prove themselves as this pilot any more, and what it holds is taken from it."""

    TOPIC = "pilot.revoke"
    reason: str = ""


class Pilot(Aggregate, frozen=True):
    """What a pilot is at the moment."""

    TOPIC = "pilot"
    LOG = "pilots"

    vo: str = ""
    stamp: str = ""
    status: Status = Status.NEW
    secret: str = ""
    process: str = ""  # the random id of the admitted process
    incarnation: int = 0
    started: int = 0  # the incarnation that said hello
    requested: datetime | None = None
    revoked: bool = False
    former: tuple[str, ...] = ()  # processes that were replaced: they never come back

    class Requested(Event, frozen=True):
        """A pilot is expected."""

        TOPIC = "pilot.requested"
        stamp: str
        secret: str
        site: str = ""
        ce: str = ""
        queue: str = ""

    class Admitted(Event, frozen=True):
        """A pilot process proved itself. Whatever an earlier incarnation held is lost."""

        TOPIC = "pilot.admitted"
        stamp: str
        process: str
        incarnation: int

    class Started(Event, frozen=True):
        """The pilot works: where, and with what."""

        TOPIC = "pilot.started"
        stamp: str
        incarnation: int
        site: str = ""
        ce: str = ""
        queue: str = ""
        version: str = ""
        node: dict[str, Any] = {}

    class Retired(Event, frozen=True):
        """The pilot ended by itself."""

        TOPIC = "pilot.retired"
        stamp: str
        reason: str = ""
        jobs_run: int = 0

    class Lost(Event, frozen=True):
        """The pilot went silent."""

        TOPIC = "pilot.lost"
        stamp: str
        incarnation: int = 0

    class Revoked(Event, frozen=True):
        """Its secret and its tokens are good for nothing any more."""

        TOPIC = "pilot.revoked"
        stamp: str
        reason: str = ""

    def request(self, command: RequestPilot, origin: Origin) -> Decision:
        """A stamp is used once."""
        if self.status is Status.NEW:
            yield Pilot.Requested(command.stamp, command.secret, command.site, command.ce, command.queue)
        elif not _same(self.secret, command.secret):
            raise Refused(Code.PILOT_GONE, pilot=command.stamp, status="known already, with another secret")

    def admit(self, command: AdmitPilot, origin: Origin) -> Decision:
        """The right secret lets a process in. A wrong one and an unknown stamp are told apart by nobody."""
        if self.status is Status.NEW or not _same(self.secret, command.secret):
            raise Refused(Code.PILOT_SECRET, pilot=command.stamp)
        if self.status is Status.DONE or self.revoked:
            raise Refused(Code.PILOT_GONE, pilot=command.stamp, status="revoked" if self.revoked else self.status.value)
        self._in_time(command, origin.at)
        if command.incarnation in self.former:
            raise Refused(Code.PILOT_GONE, pilot=command.stamp, status="running elsewhere")
        if command.incarnation != self.process or self.status is Status.ABORTED:
            if self.incarnation >= MOST_PROCESSES:
                raise Refused(Code.PILOT_GONE, pilot=command.stamp, status="started too often")
            yield Pilot.Admitted(command.stamp, command.incarnation, self.incarnation + 1)

    def _in_time(self, command: AdmitPilot, at: datetime) -> None:
        """A secret that lay around for too long starts nothing; whoever works already may finish."""
        longest = RENEWED_FOR if command.incarnation == self.process else SECRET_GOOD_FOR
        if self.requested and at > self.requested + longest:
            raise Refused(Code.PILOT_SECRET_OLD, pilot=command.stamp, days=longest.days)

    def start(self, command: StartPilot, origin: Origin) -> Decision:
        """Hello, once per incarnation."""
        self._current(command.stamp, command.incarnation)
        if self.started < command.incarnation:
            yield Pilot.Started(
                command.stamp, command.incarnation, command.site, command.ce, command.queue, command.version,
                command.node,
            )  # fmt: skip

    def retire(self, command: RetirePilot, origin: Origin) -> Decision:
        """Goodbye."""
        if self.status is Status.DONE and command.incarnation == self.incarnation:
            return
        self._current(command.stamp, command.incarnation)
        yield Pilot.Retired(command.stamp, command.reason[:64], command.jobs_run)

    def lose(self, command: LosePilot, origin: Origin) -> Decision:
        """Only the incarnation that went silent is lost."""
        alive = self.status in (Status.SUBMITTED, Status.RUNNING)
        if alive and command.incarnation == self.incarnation:
            yield Pilot.Lost(command.stamp, self.incarnation)

    def revoke(self, command: RevokePilot, origin: Origin) -> Decision:
        """Once, whatever it does at the moment; one that has ended by itself stays as it is."""
        if self.status is Status.NEW:
            raise Refused(Code.PILOT_UNKNOWN, pilot=command.stamp)
        if self.status is not Status.DONE and not self.revoked:
            yield Pilot.Revoked(command.stamp, command.reason[:255])

    def evolve(self, event: Recorded[Event]) -> Self:
        """The pilot after the event."""
        match event.event:
            case Pilot.Requested() as facts:
                known = replace(self, vo=event.vo, stamp=facts.stamp, secret=facts.secret, requested=event.at)
                return replace(known, status=Status.SUBMITTED)
            case Pilot.Admitted() as facts:
                former = self.former if self.process in ("", facts.process) else (*self.former, self.process)
                again = replace(self, status=Status.RUNNING, process=facts.process, former=former)
                return replace(again, incarnation=facts.incarnation)
            case Pilot.Started() as facts:
                return replace(self, started=facts.incarnation)
            case Pilot.Retired():
                return replace(self, status=Status.DONE)
            case Pilot.Lost() | Pilot.Revoked() as facts:
                revoked = self.revoked or isinstance(facts, Pilot.Revoked)
                return replace(self, status=Status.ABORTED, revoked=revoked)
        return self

    def _current(self, stamp: str, incarnation: int) -> None:
        if self.status is Status.NEW:
            raise Refused(Code.PILOT_UNKNOWN, pilot=stamp)
        if self.status is not Status.RUNNING or incarnation != self.incarnation:
            status = self.status.value if incarnation == self.incarnation else "running elsewhere"
            raise Refused(Code.PILOT_GONE, pilot=stamp, status=status)


def _same(secret: str, shown: str) -> bool:
    return compare_digest(secret.encode(), shown.encode())  # of texts it takes ASCII only
