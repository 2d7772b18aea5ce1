"""The keys that sign tokens, by number: which one signs, which one comes next, which ones are still believed."""

from datetime import datetime, timedelta
from typing import Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.values import NAMES

STREAM = uuid5(NAMES, "keyring")
BELIEVED = timedelta(days=31)  # after its end a key is believed for longer than any token lives that it signed


class RotateKeys(Command, frozen=True):
    """Sign with the next key. `current` is the one that signs now: whoever is late changes nothing.

    `at_once`: believe no earlier key any more, because one may be in wrong hands; everybody logs in again.
    """

    TOPIC = "keyring.rotate"
    current: int
    at_once: bool = False

    @property
    def stream(self) -> UUID:
        return STREAM


class Keyring(Aggregate, frozen=True):
    """The keys of an installation. Only numbers: a key itself is made from the installation's secret and its number."""

    TOPIC = "keyring"
    LOG = "identity"

    current: int = 1
    retired: dict[int, datetime] = {}  # number -> when it ended

    class Rotated(Event, frozen=True):
        """Another key signs. `forgotten`: all earlier ones are void."""

        TOPIC = "keyring.rotated"
        current: int
        retired: int
        forgotten: bool = False

    def rotate(self, command: RotateKeys, origin: Origin) -> Decision:
        """The next key follows the one that the asker knew as the current one."""
        if command.current == self.current:
            yield Keyring.Rotated(self.current + 1, self.current, command.at_once)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The keys after the event."""
        match event.event:
            case Keyring.Rotated() as facts:
                retired = {} if facts.forgotten else {**self.retired, facts.retired: event.at}
                return replace(self, current=facts.current, retired=retired)
        return self

    def believed(self, now: datetime) -> list[int]:
        """The keys that are published: the current one first, then the next, then those that ended lately."""
        late = [number for number, end in sorted(self.retired.items(), reverse=True) if now - end < BELIEVED]
        return [self.current, self.current + 1, *late]
