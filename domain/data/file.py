"""A file: what it is and where it lies. Storage is believed once it has answered: intent, receipt, registration."""

from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.data import metadata
from domain.data.names import check_file, file_stream
from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded

MOST_REPLICAS = 100
Value = str | int | float


class Status(StrEnum):
    """The states of a file."""

    NEW = ""
    ANNOUNCED = "Announced"  # somebody is going to write it; no storage has confirmed it yet
    ACTIVE = "Active"
    REMOVED = "Removed"


class Held(StrEnum):
    """The states of a replica."""

    INTENDED = "Intended"  # its bytes are on their way
    ACTIVE = "Active"
    SUSPECT = "Suspect"
    LOST = "Lost"  # storage does not have it
    REMOVING = "Removing"  # its bytes are on their way out
    REMOVED = "Removed"


USABLE = frozenset({Held.ACTIVE, Held.SUSPECT})


class Content(Struct, frozen=True, omit_defaults=True, gc=False):
    """What tells whether two files are the same one."""

    size: int
    adler32: str = ""
    md5: str = ""
    sha256: str = ""
    guid: str = ""

    def agrees(self, other: "Content") -> bool:
        """Whether nothing that both sides know differs."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("adler32", "md5", "sha256", "guid"))
        return self.size == other.size and all(not a or not b or a == b for a, b in pairs)


class FileCommand(Command, frozen=True):
    """A command to one file. The names of a second arrival are those of the first: no id is remembered."""

    KEYED = False
    vo: str
    lfn: str

    @property
    def stream(self) -> UUID:
        return file_stream(self.lfn)


class RegisterFile(FileCommand, frozen=True):
    """A file lies on these storage elements already; whoever says so answers for it."""

    TOPIC = "file.register"
    content: Content
    owner: str
    group: str
    ses: tuple[str, ...] = ()
    ancestors: tuple[str, ...] = ()


class AnnounceFile(FileCommand, frozen=True):
    """Somebody is going to write this file, or a further replica of it, to a storage element."""

    TOPIC = "file.announce"
    content: Content
    owner: str
    group: str
    se: str
    ancestors: tuple[str, ...] = ()


class ConfirmReplica(FileCommand, frozen=True):
    """What the storage element said when it was asked: the receipt."""

    TOPIC = "file.confirm"
    se: str
    found: Content | None = None  # None: it has no such file


class AddReplica(FileCommand, frozen=True):
    """A known file lies on a further storage element already."""

    TOPIC = "file.add-replica"
    se: str


class DoubtReplica(FileCommand, frozen=True):
    """Something is wrong with a replica: `lost` when storage says that it does not have it."""

    TOPIC = "file.doubt"
    se: str
    reason: str
    lost: bool = False


class TrustReplica(FileCommand, frozen=True):
    """A replica that was doubted or lost is there, and right."""

    TOPIC = "file.trust"
    se: str


class DropReplica(FileCommand, frozen=True):
    """Take a replica away; the bytes follow."""

    TOPIC = "file.drop-replica"
    se: str


class PurgeReplica(FileCommand, frozen=True):
    """The removal of the file is final: the bytes of a replica follow."""

    TOPIC = "file.purge-replica"
    se: str
    removal: UUID


class FailToClear(FileCommand, frozen=True):
    """The storage element did not remove the bytes."""

    TOPIC = "file.fail-to-clear"
    se: str
    reason: str


class ClearReplica(FileCommand, frozen=True):
    """The storage element has removed the bytes: the receipt."""

    TOPIC = "file.clear-replica"
    se: str


class RemoveFile(FileCommand, frozen=True):
    """Take the file out of the catalogue; its bytes stay until the removal is final."""

    TOPIC = "file.remove"
    removal: UUID | None = None


class RestoreFile(FileCommand, frozen=True):
    """Put a removed file back, with the replicas that still exist."""

    TOPIC = "file.restore"
    removal: UUID | None = None


class DescribeFile(FileCommand, frozen=True):
    """Set user metadata; None takes a value away."""

    TOPIC = "file.describe"
    values: dict[str, Any]


class OverdueReplica(FileCommand, frozen=True):
    """An announced replica was not confirmed in time."""

    TOPIC = "file.overdue"
    se: str


class File(Aggregate, frozen=True):
    """What a file is at the moment."""

    TOPIC = "file"
    LOG = "files"

    lfn: str = ""
    status: Status = Status.NEW
    content: Content = Content(0)
    owner: str = ""
    group: str = ""
    replicas: dict[str, Held] = {}
    removal: UUID | None = None
    overdue: frozenset[str] = frozenset()
    failures: dict[str, int] = {}  # times that a storage element did not remove what it should
    problems: dict[str, str] = {}  # what storage elements had otherwise, when they were asked last
    metadata: dict[str, Value] = {}

    class Registered(Event, frozen=True):
        """The file is in the catalogue, with these replicas."""

        TOPIC = "file.registered"
        lfn: str
        size: int
        owner: str
        group: str
        ses: tuple[str, ...] = ()
        adler32: str = ""
        md5: str = ""
        sha256: str = ""
        guid: str = ""
        ancestors: tuple[str, ...] = ()

    class Announced(Event, frozen=True):
        """The file is going to be written: the intent."""

        TOPIC = "file.announced"
        lfn: str
        size: int
        owner: str
        group: str
        se: str
        adler32: str = ""
        md5: str = ""
        sha256: str = ""
        guid: str = ""
        ancestors: tuple[str, ...] = ()

    class ReplicaIntended(Event, frozen=True):
        """A further replica is going to be written: the intent."""

        TOPIC = "file.replica-intended"
        lfn: str
        se: str

    class Stored(Event, frozen=True):
        """Storage has confirmed the bytes; the replica is registered. `first`: the file is from now on."""

        TOPIC = "file.stored"
        lfn: str
        se: str
        size: int
        owner: str
        group: str
        adler32: str = ""
        sha256: str = ""
        first: bool = False

    class NotStored(Event, frozen=True):
        """Storage was asked and has other bytes, or none."""

        TOPIC = "file.not-stored"
        lfn: str
        se: str
        problem: str

    class Overdue(Event, frozen=True):
        """Nobody confirmed an announced replica in time; storage may have it, or a part of it."""

        TOPIC = "file.became-overdue"
        lfn: str
        se: str

    class ReplicaAdded(Event, frozen=True):
        """A replica that lay there already is registered."""

        TOPIC = "file.replica-added"
        lfn: str
        se: str
        size: int
        owner: str
        group: str

    class ReplicaDoubted(Event, frozen=True):
        """A replica is not to be relied on."""

        TOPIC = "file.replica-doubted"
        lfn: str
        se: str
        reason: str
        lost: bool = False

    class ReplicaTrusted(Event, frozen=True):
        """A replica is to be relied on again."""

        TOPIC = "file.replica-trusted"
        lfn: str
        se: str

    class ReplicaDropped(Event, frozen=True):
        """The replica is not used any more, and its bytes are going to be removed: the intent."""

        TOPIC = "file.replica-dropped"
        lfn: str
        se: str
        size: int
        owner: str
        group: str
        uncounted: bool = False

    class NotCleared(Event, frozen=True):
        """Storage has not removed the bytes: they are tried again."""

        TOPIC = "file.not-cleared"
        lfn: str
        se: str
        reason: str
        failures: int

    class ReplicaCleared(Event, frozen=True):
        """Storage has removed the bytes: the receipt."""

        TOPIC = "file.replica-cleared"
        lfn: str
        se: str
        last: bool = False  # of a removed file: nothing is left that could be restored

    class Removed(Event, frozen=True):
        """The file is out of the catalogue; its bytes are still there. `uncounted`: it was only announced."""

        TOPIC = "file.removed"
        lfn: str
        size: int
        owner: str
        group: str
        ses: tuple[str, ...] = ()
        removal: UUID | None = None
        uncounted: bool = False

    class Restored(Event, frozen=True):
        """The file is back, with the replicas that still exist."""

        TOPIC = "file.restored"
        lfn: str
        size: int
        owner: str
        group: str
        ses: tuple[str, ...] = ()
        lost: tuple[str, ...] = ()

    class Described(Event, frozen=True):
        """User metadata were set; None took a value away."""

        TOPIC = "file.described"
        lfn: str
        values: dict[str, Any] = {}

    def register(self, command: RegisterFile, origin: Origin) -> Decision:
        """A free name is taken; the same file again is no news but for its further replicas."""
        check_file(command.vo, command.lfn)
        if self.status in (Status.NEW, Status.REMOVED):
            self._not_removing(command.lfn)
            c = command.content
            yield File.Registered(command.lfn, c.size, command.owner, command.group, command.ses, c.adler32, c.md5,
                                  c.sha256, c.guid, command.ancestors)  # fmt: skip
            return
        self._same(command.lfn, command.content)
        if self.status is Status.ANNOUNCED:
            raise Refused(Code.FILE_STATE, lfn=command.lfn, status=self.status.value, verb="register")
        for se in command.ses:
            yield from self._added(se)

    def announce(self, command: AnnounceFile, origin: Origin) -> Decision:
        """The intent to write. Announcing the same again is how an interrupted upload goes on."""
        check_file(command.vo, command.lfn)
        c = command.content
        free = self.status in (Status.NEW, Status.REMOVED)
        given_up = self.status is Status.ANNOUNCED and not self.content.agrees(c) and command.owner == self.owner
        if free or given_up:
            self._not_removing(command.lfn)
            yield File.Announced(command.lfn, c.size, command.owner, command.group, command.se, c.adler32, c.md5,
                                 c.sha256, c.guid, command.ancestors)  # fmt: skip
            return
        self._same(command.lfn, c)
        held = self.replicas.get(command.se)
        if held is Held.REMOVING:
            raise Refused(Code.REPLICA_STATE, lfn=command.lfn, se=command.se, status=held.value, verb="write")
        if held in (None, Held.REMOVED):
            self._room(command.lfn)
            yield File.ReplicaIntended(command.lfn, command.se)

    def confirm(self, command: ConfirmReplica, origin: Origin) -> Decision:
        """The receipt is held to what was announced. What storage has otherwise is recorded, never registered."""
        held = self._replica(command.lfn, command.se)
        if held not in (Held.INTENDED, Held.SUSPECT, Held.LOST):
            return
        if problem := self._differs(command.found):
            if held is Held.INTENDED and self.problems.get(command.se) != problem:
                yield File.NotStored(command.lfn, command.se, problem)
                return
            raise Refused(Code.NOT_STORED, lfn=command.lfn, se=command.se, problem=problem)
        if held is not Held.INTENDED:
            yield File.ReplicaTrusted(command.lfn, command.se)
            return
        c, first = command.found or self.content, self.status is Status.ANNOUNCED
        yield File.Stored(command.lfn, command.se, c.size, self.owner, self.group, c.adler32, c.sha256, first)

    def add_replica(self, command: AddReplica, origin: Origin) -> Decision:
        """A further replica of a file that is there."""
        self._active(command.lfn, "add a replica of")
        yield from self._added(command.se)

    def doubt(self, command: DoubtReplica, origin: Origin) -> Decision:
        """Doubt a replica, or learn that it is lost."""
        held = self._replica(command.lfn, command.se)
        if held is Held.ACTIVE or (held is Held.SUSPECT and command.lost):
            yield File.ReplicaDoubted(command.lfn, command.se, command.reason, command.lost)

    def trust(self, command: TrustReplica, origin: Origin) -> Decision:
        """Rely on a replica again."""
        if self._replica(command.lfn, command.se) in (Held.SUSPECT, Held.LOST):
            yield File.ReplicaTrusted(command.lfn, command.se)

    def drop_replica(self, command: DropReplica, origin: Origin) -> Decision:
        """The last good replica of a file is only removed with the file."""
        held = self._replica(command.lfn, command.se)
        if held in (Held.REMOVING, Held.REMOVED):
            return
        others = [se for se, state in self.replicas.items() if state is Held.ACTIVE and se != command.se]
        if self.status is Status.ACTIVE and held in USABLE and not others:
            raise Refused(Code.REPLICA_LAST, lfn=command.lfn, se=command.se)
        uncounted = not self._is_counted(command.se)
        yield File.ReplicaDropped(command.lfn, command.se, self.content.size, self.owner, self.group, uncounted)

    def purge_replica(self, command: PurgeReplica, origin: Origin) -> Decision:
        """Only as long as the removal was not undone; from here on this replica cannot come back."""
        held = self.replicas.get(command.se)
        if self.status is not Status.REMOVED or self.removal != command.removal:
            raise Refused(Code.FILE_STATE, lfn=command.lfn, status=self.status.value, verb="purge")
        if held not in (None, Held.REMOVING, Held.REMOVED):
            yield File.ReplicaDropped(command.lfn, command.se, self.content.size, self.owner, self.group, True)

    def fail_to_clear(self, command: FailToClear, origin: Origin) -> Decision:
        """Bytes that are still there are tried again, ever more rarely."""
        if self.replicas.get(command.se) is Held.REMOVING:
            yield File.NotCleared(command.lfn, command.se, command.reason, self.failures.get(command.se, 0) + 1)

    def clear_replica(self, command: ClearReplica, origin: Origin) -> Decision:
        """The receipt for bytes that were to go."""
        held = self.replicas.get(command.se)
        gone = self.status is Status.REMOVED and held is not None
        if held is not Held.REMOVED and (gone or held is Held.REMOVING):
            left = [se for se, state in self.replicas.items() if state is not Held.REMOVED and se != command.se]
            yield File.ReplicaCleared(command.lfn, command.se, gone and not left)

    def remove(self, command: RemoveFile, origin: Origin) -> Decision:
        """Out of the catalogue, at once and so that it can be undone."""
        if self.status is Status.REMOVED:
            return
        self._known(command.lfn)
        ses = tuple(se for se in self.replicas if self._is_counted(se))
        uncounted = self.status is not Status.ACTIVE
        yield File.Removed(command.lfn, self.content.size, self.owner, self.group, ses, command.removal, uncounted)

    def restore(self, command: RestoreFile, origin: Origin) -> Decision:
        """Back, as long as any replica still exists; `lost` are those that storage does not have any more."""
        if self.status is Status.ACTIVE:
            return
        self._known(command.lfn)
        if self.status is not Status.REMOVED or command.removal != self.removal:
            raise Refused(Code.FILE_STATE, lfn=command.lfn, status=self.status.value, verb="restore")
        ses = tuple(se for se, held in self.replicas.items() if held in USABLE)
        if not ses and self.replicas:  # a file that never had any is as good as it was
            raise Refused(Code.FILE_LOST, lfn=command.lfn)
        lost = tuple(se for se, held in self.replicas.items() if held in (Held.REMOVED, Held.LOST))
        yield File.Restored(command.lfn, self.content.size, self.owner, self.group, ses, lost)

    def describe(self, command: DescribeFile, origin: Origin) -> Decision:
        """User metadata, as far as they change anything."""
        self._active(command.lfn, "describe")
        if news := metadata.news(self.metadata, command.values):
            yield File.Described(command.lfn, news)

    def fall_due(self, command: OverdueReplica, origin: Origin) -> Decision:
        """The intent has waited too long: from now on it is a finding."""
        if self.replicas.get(command.se) is Held.INTENDED and command.se not in self.overdue:
            yield File.Overdue(command.lfn, command.se)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The file after the event."""
        match event.event:
            case File.Registered() as facts:
                return self._begun(facts, Status.ACTIVE, dict.fromkeys(facts.ses, Held.ACTIVE))
            case File.Announced() as facts:
                return self._begun(facts, Status.ANNOUNCED, {facts.se: Held.INTENDED})
            case File.Stored() as facts:
                return self._stored(facts)
        changed = self._changed(event.event)
        return self._moved(event.event) if changed is self else changed

    def _changed(self, event: Event) -> Self:
        """The file after an event that does not move a replica."""
        match event:
            case File.Removed() as facts:
                return replace(self, status=Status.REMOVED, removal=facts.removal)
            case File.Restored() as facts:
                gone = dict.fromkeys(facts.lost, Held.REMOVED)
                return replace(self, status=Status.ACTIVE, removal=None, replicas={**self.replicas, **gone})
            case File.Described() as facts:
                return replace(self, metadata=metadata.described(self.metadata, facts.values))
        return self._noted(event)

    def _noted(self, event: Event) -> Self:
        """The file after something went otherwise than intended."""
        match event:
            case File.Overdue() as facts:
                return replace(self, overdue=self.overdue | {facts.se})
            case File.NotCleared() as facts:
                return replace(self, failures={**self.failures, facts.se: facts.failures})
            case File.NotStored() as facts:
                return replace(self, problems={**self.problems, facts.se: facts.problem})
        return self

    def _moved(self, event: Event) -> Self:
        """The state of one replica after an event that is about nothing else."""
        match event:
            case File.ReplicaIntended(se=se):
                return self._held(se, Held.INTENDED)
            case File.ReplicaAdded(se=se) | File.ReplicaTrusted(se=se):
                return self._held(se, Held.ACTIVE)
            case File.ReplicaDoubted(se=se, lost=lost):
                return self._held(se, Held.LOST if lost else Held.SUSPECT)
            case File.ReplicaDropped(se=se):
                return self._held(se, Held.REMOVING)
            case File.ReplicaCleared(se=se):
                return self._held(se, Held.REMOVED)
        return self

    def _stored(self, facts: Stored) -> Self:
        known = replace(self.content, adler32=self.content.adler32 or facts.adler32,
                        sha256=self.content.sha256 or facts.sha256)  # fmt: skip
        return replace(self._held(facts.se, Held.ACTIVE), status=Status.ACTIVE, content=known)

    def _begun(self, facts: Any, status: Status, replicas: dict[str, Held]) -> Self:
        content = Content(facts.size, facts.adler32, facts.md5, facts.sha256, facts.guid)
        return type(self)(facts.lfn, status, content, facts.owner, facts.group, replicas)

    def _held(self, se: str, held: Held) -> Self:
        return replace(self, replicas={**self.replicas, se: held}, overdue=self.overdue - {se})

    def _added(self, se: str) -> Decision:
        held = self.replicas.get(se)
        if held is Held.REMOVING:
            raise Refused(Code.REPLICA_STATE, lfn=self.lfn, se=se, status=held.value, verb="add")
        if held is Held.LOST:
            yield File.ReplicaTrusted(self.lfn, se)
        elif held in (None, Held.REMOVED):
            self._room(self.lfn)
            yield File.ReplicaAdded(self.lfn, se, self.content.size, self.owner, self.group)

    def _is_counted(self, se: str) -> bool:
        """Whether usage counts this replica: one that was once confirmed, until somebody lets go of it."""
        return self.replicas.get(se) in (Held.ACTIVE, Held.SUSPECT, Held.LOST)

    def _differs(self, found: Content | None) -> str:
        """What storage has otherwise; empty when it has what was announced."""
        if found is None:
            return "there is no such file"
        if found.size != self.content.size:
            return f"it has {found.size} bytes instead of {self.content.size}"
        return "" if self.content.agrees(found) else "its checksum is another one"

    def _same(self, lfn: str, content: Content) -> None:
        if lfn != self.lfn or not self.content.agrees(content):
            raise Refused(Code.FILE_EXISTS, lfn=lfn)

    def _room(self, lfn: str) -> None:
        if len(self.replicas) >= MOST_REPLICAS:
            raise Refused(Code.TOO_MANY, count=len(self.replicas) + 1, things="replicas", limit=MOST_REPLICAS)

    def _known(self, lfn: str) -> None:
        if self.status is Status.NEW or lfn != self.lfn:
            raise Refused(Code.FILE_UNKNOWN, lfn=lfn)

    def _active(self, lfn: str, verb: str) -> None:
        self._known(lfn)
        if self.status is not Status.ACTIVE:
            raise Refused(Code.FILE_STATE, lfn=lfn, status=self.status.value, verb=verb)

    def _replica(self, lfn: str, se: str) -> Held:
        self._known(lfn)
        if se not in self.replicas:
            raise Refused(Code.REPLICA_UNKNOWN, lfn=lfn, se=se)
        return self.replicas[se]

    def _not_removing(self, lfn: str) -> None:
        """A name is free again once storage has let go of the bytes it stood for."""
        if self.status is Status.REMOVED and any(held is not Held.REMOVED for held in self.replicas.values()):
            raise Refused(Code.FILE_STATE, lfn=lfn, status="being removed", verb="write")
