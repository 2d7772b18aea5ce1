"""A session: from a login until it ends, with one refresh token at a time; each use makes the next one."""

from datetime import datetime, timedelta
from typing import ClassVar, Self
from uuid import UUID

from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded

GENERATIONS = 1 << 16  # refresh tokens of one session: the low bits of their ids count them
LOW = GENERATIONS - 1


def jti(session: UUID, generation: int) -> UUID:
    """The id of a refresh token: its session's, with its number in the low bits. So no table maps the two."""
    return UUID(int=(session.int & ~LOW) | generation)


def session_of(token: UUID) -> tuple[UUID, int]:
    """The session of a refresh token, and which one of its tokens it is."""
    return UUID(int=token.int & ~LOW), token.int & LOW


class SessionCommand(Command, frozen=True):
    """A command to one session."""

    KEYED = False
    session: UUID

    @property
    def stream(self) -> UUID:
        return self.session


class OpenSession(SessionCommand, frozen=True):
    """Somebody proved who they are. `how`: device, code, legacy or client.

    `groups` are those that the identity provider's claims gave; `asked` the properties beyond those of the group.
    """

    TOPIC = "session.open"
    how: str
    subject: str
    name: str
    sub: str
    group: str
    until: datetime
    groups: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    client: str = ""


class RefreshSession(SessionCommand, frozen=True):
    """A refresh token is used: the one of this generation.

    A second use gets the same successor again when it is the same `request`, or comes within `grace` seconds: then the
    first answer was lost. Any other second use means that two have the token.
    """

    TOPIC = "session.refresh"
    generation: int
    request: str = ""
    grace: int = 0


class EndSession(SessionCommand, frozen=True):
    """No refresh token of the session is good any more. `reason`: logout, revoked, reuse or suspended."""

    TOPIC = "session.end"
    reason: str
    generation: int = 0


class Session(Aggregate, frozen=True):
    """What a session is at the moment."""

    TOPIC = "session"
    LOG = "identity"

    subject: str = ""
    how: str = ""
    generation: int = 0
    request: str = ""
    refreshed: datetime | None = None
    until: datetime | None = None
    ended: str = ""

    class Opened(Event, frozen=True):
        """A login: tokens were given out."""

        TOPIC = "session.opened"
        SEALED: ClassVar[dict[str, str]] = {"name": "subject", "sub": "subject"}
        session: UUID
        how: str
        subject: str
        name: str
        sub: str
        group: str
        until: datetime
        groups: tuple[str, ...] = ()
        asked: tuple[str, ...] = ()
        client: str = ""

    class Refreshed(Event, frozen=True):
        """New tokens were given out for the refresh token before this generation."""

        TOPIC = "session.refreshed"
        session: UUID
        generation: int
        request: str = ""

    class Ended(Event, frozen=True):
        """The session is over. With reason `reuse`, `generation` is the token that came a second time."""

        TOPIC = "session.ended"
        session: UUID
        reason: str
        generation: int = 0

    def open(self, command: OpenSession, origin: Origin) -> Decision:
        """Once."""
        if not self.subject:
            yield Session.Opened(
                command.session, command.how, command.subject, command.name, command.sub, command.group,
                command.until, command.groups, command.asked, command.client,
            )  # fmt: skip

    def refresh(self, command: RefreshSession, origin: Origin) -> Decision:
        """The newest token is used up; the one before it gets the same answer again if that may have been lost."""
        if not self.subject:
            raise Refused(Code.SESSION_UNKNOWN, session=str(command.session))
        if self.ended or self.until is None or origin.at >= self.until:
            raise Refused(Code.TOKEN_REUSED)
        if self.how == "legacy":  # such tokens may be used again and again
            yield Session.Refreshed(command.session, self.generation, command.request)
        elif command.generation == self.generation < LOW:
            yield Session.Refreshed(command.session, self.generation + 1, command.request)
        elif not self._lost(command, origin.at):
            raise Refused(Code.TOKEN_REUSED)

    def end(self, command: EndSession, origin: Origin) -> Decision:
        """It ends once."""
        if self.subject and not self.ended:
            yield Session.Ended(command.session, command.reason, command.generation)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The session after the event."""
        match event.event:
            case Session.Opened() as facts:
                return replace(self, subject=facts.subject, how=facts.how, until=facts.until, generation=1)
            case Session.Refreshed() as facts:
                return replace(self, generation=facts.generation, request=facts.request, refreshed=event.at)
            case Session.Ended() as facts:
                return replace(self, ended=facts.reason)
        return self

    def _lost(self, command: RefreshSession, at: datetime) -> bool:
        """Whether the answer to the first use of this token may not have arrived."""
        if command.generation != self.generation - 1 or self.refreshed is None:
            return False
        same = bool(command.request) and command.request == self.request
        soon = command.grace > 0 and at - self.refreshed <= timedelta(seconds=command.grace)
        return same or soon
