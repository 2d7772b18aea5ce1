"""An attempt to get in that was refused: what was tried, why not, from which network; never what was shown."""

from typing import Self
from uuid import UUID

from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded


class RecordAttempt(Command, frozen=True):
    """Keep that something was refused. `what`: login, refresh, device-code, client-secret, pilot-secret, …

    `source` is the network it came from, not the address: that of a person is nobody's business for ever.
    """

    TOPIC = "attempt.record"
    KEYED = False
    id: UUID
    what: str
    code: str
    source: str = ""
    subject: str = ""
    detail: str = ""

    @property
    def stream(self) -> UUID:
        return self.id


class Attempt(Aggregate, frozen=True):
    """One attempt. A stream each, for they have nothing to do with each other and nobody decides anything on them."""

    TOPIC = "attempt"
    LOG = "identity"

    known: bool = False

    class Refused(Event, frozen=True):
        """Somebody was not let in. When guesses become too many, the last one recorded says so by its code."""

        TOPIC = "attempt.refused"
        what: str
        code: str
        source: str = ""
        subject: str = ""
        detail: str = ""

    def record(self, command: RecordAttempt, origin: Origin) -> Decision:
        """Once."""
        if not self.known:
            yield Attempt.Refused(command.what, command.code, command.source, command.subject, command.detail)

    def evolve(self, event: Recorded[Event]) -> Self:
        """It is over as soon as it is known."""
        return type(self)(known=True)
