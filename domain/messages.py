"""The words everything else is written in: commands, events, aggregates and what surrounds them."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import Any, ClassVar, Generic, Self, TypeVar
from uuid import UUID, uuid5

from msgspec import Struct

REACTIONS = UUID("9b4f4e5c-6f0a-5d0e-8a55-5b1d0c0ffee0")  # namespace of the ids that policies give their commands


class Message(Struct, frozen=True, omit_defaults=True, gc=False):
    """A request or a fact, known everywhere (log, bus, documents) by its dotted topic, never by an import path."""

    TOPIC: ClassVar[str] = ""


class Command(Message, frozen=True):
    """Something somebody wants to happen to one aggregate.

    KEYED commands are remembered by their id, so that a second arrival gets the first one's outcome. Others carry
    what makes a second arrival harmless (a job's own number, a report's sequence number).
    """

    KEYED: ClassVar[bool] = True
    OUTSIDE: ClassVar[bool] = False  # whether other programs may publish it on the bus

    @property
    def stream(self) -> UUID:
        """The stream of the aggregate that decides this command."""
        raise NotImplementedError


class Event(Message, frozen=True):
    """Something that did happen. SCHEMA counts the versions of its body.

    UPCASTS[n] turns a stored body of version n into one of version n + 1; golden files in the tests keep every
    version ever written readable.
    """

    SCHEMA: ClassVar[int] = 1
    UPCASTS: ClassVar[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}


class Origin(Struct, frozen=True):
    """Who asks, for which VO, when, because of what.

    `actor` is `user:<subject>`, `pilot:<stamp>`, `policy:<name>`, `program:<bus user>` or `timer`. `rights` are the
    properties of the asker's group `group`; `token` is the id of the credential, never the credential.
    """

    actor: str
    vo: str
    at: datetime
    cause: UUID | None = None
    correlation: UUID | None = None
    rights: frozenset[str] = frozenset()
    token: str = ""
    group: str = ""


E_co = TypeVar("E_co", bound=Event, covariant=True)


class Recorded(Struct, Generic[E_co], frozen=True, gc=False):
    """An event as it stands in the log."""

    position: int
    stream: UUID
    version: int
    event: E_co
    id: UUID
    cause: UUID | None
    correlation: UUID | None
    actor: str
    vo: str
    at: datetime


class Later(Struct, frozen=True):
    """A command for later: a durable timer. A second one of the same stream and `name` replaces the first.

    `command` None takes the timer away. The aggregate decides, when the time has come, whether it still matters.
    """

    stream: UUID
    name: str
    command: Command | None = None
    at: datetime | None = None
    silence: timedelta | None = None  # when set: anything heard of the stream puts the timer off by this much

    @classmethod
    def after(cls, event: Recorded[Event], delay: timedelta, name: str, command: Command) -> Self:
        """The command, `delay` after the event was recorded."""
        return cls(event.stream, name, command, event.at + delay)

    @classmethod
    def unless_heard(cls, event: Recorded[Event], silence: timedelta, name: str, command: Command) -> Self:
        """The command, once nothing was heard of the stream for that long."""
        return cls(event.stream, name, command, event.at + silence, silence)


Decision = Iterator[Event]


class Aggregate(Struct, frozen=True):
    """A thing with a life of its own: its state, its rules, and what its events mean.

    A public method whose parameter `command` names a command type is the decision on that command: it checks the
    rules, refuses by raising `Refused`, or yields the events. `evolve` says what an event means for the state; it
    has no rules, history is replayed through it. A blank instance stands for "nothing happened yet".
    """

    TOPIC: ClassVar[str] = ""
    LOG: ClassVar[str] = ""

    def evolve(self, event: Recorded[Event]) -> Self:
        """The state after the event."""
        raise NotImplementedError

    @classmethod
    def told(cls, history: Iterable[Recorded[Event]]) -> Self:
        """The state after these events, from nothing on."""
        state = cls()
        for event in history:
            state = state.evolve(event)
        return state

    @classmethod
    @cache
    def decisions(cls) -> dict[type[Command], str]:
        """Which method decides which command."""
        found = {}
        for name, method in inspect.getmembers(cls, inspect.isfunction):
            wanted = inspect.get_annotations(method).get("command")
            if isinstance(wanted, type) and issubclass(wanted, Command) and wanted.TOPIC:
                found[wanted] = name
        return found

    @classmethod
    @cache
    def events(cls) -> dict[str, type[Event]]:
        """The aggregate's events by topic: the classes nested in it."""
        nested = (value for value in vars(cls).values() if isinstance(value, type) and issubclass(value, Event))
        return {event.TOPIC: event for event in nested}

    def decide(self, command: Command, origin: Origin) -> Decision:
        """The events that answer the command.

        Raises:
            Refused: a rule says no.
        """
        decision: Decision = getattr(self, self.decisions()[type(command)])(command, origin)
        return decision


def reaction_id(cause: UUID, policy: str, number: int) -> UUID:
    """The id of the `number`th command that `policy` gives because of the event `cause`: the same at every replay."""
    return uuid5(REACTIONS, f"{cause}/{policy}/{number}")
