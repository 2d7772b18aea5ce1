"""A quota: how many files and bytes a VO, a group or an owner may have; held to when files are registered."""

from collections.abc import Iterable
from typing import NamedTuple, Self
from uuid import UUID, uuid5

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.values import NAMES

SCOPES = ("vo", "group", "owner")


class SetQuota(Command, frozen=True):
    """Limit what a scope may have; None lifts the limit."""

    TOPIC = "quota.set"
    vo: str
    scope: str
    name: str
    most_bytes: int | None = None
    most_files: int | None = None

    @property
    def stream(self) -> UUID:
        return uuid5(NAMES, f"quota/{self.vo}/{self.scope}/{self.name}")


class Quota(Aggregate, frozen=True):
    """The limits in force."""

    TOPIC = "quota"
    LOG = "files"

    most_bytes: int | None = None
    most_files: int | None = None

    class Set(Event, frozen=True):
        """The limits are these from now on."""

        TOPIC = "quota.was-set"
        scope: str
        name: str
        most_bytes: int | None = None
        most_files: int | None = None

    def limit(self, command: SetQuota, origin: Origin) -> Decision:
        """Any change."""
        if command.scope not in SCOPES:
            raise Refused(Code.MALFORMED, problem=f"scope: expected one of {', '.join(SCOPES)}")
        if (command.most_bytes, command.most_files) != (self.most_bytes, self.most_files):
            yield Quota.Set(command.scope, command.name, command.most_bytes, command.most_files)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The limits after the event."""
        facts = event.event
        return type(self)(facts.most_bytes, facts.most_files) if isinstance(facts, Quota.Set) else self


class Allowance(NamedTuple):
    """A quota and what is used of it."""

    scope: str
    name: str
    most_bytes: int | None
    most_files: int | None
    used_bytes: int = 0
    used_files: int = 0


class Ledger:
    """What is left of some quotas while a bulk is registered, file by file."""

    def __init__(self, allowances: Iterable[Allowance]) -> None:
        self._allowances = list(allowances)
        self._bytes = self._files = 0

    def take(self, size: int) -> None:
        """Take the room of one file.

        Raises:
            Refused: QUOTA, and nothing is taken.
        """
        for each in self._allowances:
            self._check(each, each.most_files, each.used_files + self._files, 1, "files")
            self._check(each, each.most_bytes, each.used_bytes + self._bytes, size, "bytes")
        self._bytes += size
        self._files += 1

    def _check(self, of: Allowance, limit: int | None, used: int, more: int, unit: str) -> None:
        if limit is not None and used + more > limit:
            raise Refused(Code.QUOTA, scope=of.scope, name=of.name, used=used, limit=limit, unit=unit)
