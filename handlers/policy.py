"""Policy: what must happen next, as a collection of reactions; its name is its queue."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple, Self, get_args

from domain.errors import Code, Refused
from domain.messages import Command, Event, Later, Recorded

Answer = Command | Later
Reaction = Callable[..., Iterator[Answer]]
Rows = Sequence[Mapping[str, Any]]


class Wanted(NamedTuple):
    """A reaction and the look-ups whose rows it wants besides the event."""

    reaction: Callable[..., Iterator[Any]]
    lookups: tuple[str, ...]


class Policy:
    """Turns events into commands and timers.

    A reaction is a generator function whose parameter `event` is annotated `Recorded[Some.Event]` (or a union of
    events). It is pure: it never awaits, logs or reads. Further parameters name look-ups of the system; their rows
    are fetched in the batch's own transaction and handed in.
    """

    def __init__(self, name: str, log: str) -> None:
        self.name = name
        self.log = log
        self._reactions: dict[type[Event], list[Wanted]] = defaultdict(list)
        self._together: list[tuple[tuple[type[Event], ...], Wanted]] = []

    def __call__(self, reaction: Reaction) -> Reaction:
        """Register a reaction; used as a decorator."""
        parameters = dict(inspect.signature(reaction).parameters)
        (of,) = get_args(parameters.pop("event").annotation)
        for event in get_args(of) or (of,):
            self._reactions[event].append(Wanted(reaction, tuple(parameters)))
        return reaction

    def together(self, reaction: Callable[..., Iterator[tuple[Recorded[Any], Command]]]) -> Callable[..., Any]:
        """Register a reaction to all events of a batch at once; used as a decorator.

        Its parameter `events` is annotated `Sequence[Recorded[Some.Event]]`; its look-ups are asked once, with all of
        the events. It says of each command because of which event it is given.
        """
        parameters = dict(inspect.signature(reaction).parameters)
        (of,) = get_args(get_args(parameters.pop("events").annotation)[0])
        self._together.append((get_args(of) or (of,), Wanted(reaction, tuple(parameters))))
        return reaction

    def __or__(self, other: "Policy") -> Self:
        """One consumer with the reactions of both: a second one would read the whole log once more.

        Raises:
            Refused: SYSTEM, for parts of different consumers.
        """
        if (self.name, self.log) != (other.name, other.log):
            raise Refused(Code.SYSTEM, problem=f"{self.name} and {other.name} are no parts of one policy")
        both = copy(self)
        both._reactions = defaultdict(list, {event: list(every) for event, every in self._reactions.items()})
        for event, every in other._reactions.items():
            both._reactions[event] += every
        both._together = [*self._together, *other._together]
        return both

    def bound(self, checks: Sequence[Any]) -> "Policy":
        """The same policy with the checks of the whole system, for those that have jobs checked."""
        return self

    @property
    def home(self) -> str:
        """The module of its reactions."""
        return next((wanted.reaction.__module__ for wanted in self._all()), "nowhere")

    @property
    def wanted(self) -> frozenset[str]:
        """The names of all look-ups its reactions want."""
        return frozenset(name for wanted in self._all() for name in wanted.lookups)

    @property
    def topics(self) -> frozenset[str]:
        """The topics it listens to."""
        joint = (event for events, _ in self._together for event in events)
        return frozenset(event.TOPIC for event in (*self._reactions, *joint))

    def _all(self) -> Iterator[Wanted]:
        for every in self._reactions.values():
            yield from every
        for _, wanted in self._together:
            yield wanted

    def joint(self, events: Sequence[Recorded[Event]]) -> Iterator[tuple[Wanted, list[Recorded[Event]]]]:
        """The reactions to a batch, each with the events of the batch that it is for."""
        for kinds, wanted in self._together:
            if concerned := [event for event in events if isinstance(event.event, kinds)]:
                yield wanted, concerned

    def lookups(self, event: Recorded[Event]) -> set[str]:
        """The names of the look-ups this event's reactions want."""
        return {name for wanted in self._reactions.get(type(event.event), ()) for name in wanted.lookups}

    def react(self, event: Recorded[Event], found: Mapping[str, Rows] | None = None) -> Iterable[Answer]:
        """Everything that must happen next because of this event."""
        for wanted in self._reactions.get(type(event.event), ()):
            yield from wanted.reaction(event, **{name: (found or {})[name] for name in wanted.lookups})


class BatchPolicy(Policy):
    """A policy that needs more than rows: it reads and decides by turns, about a whole batch at once.

    What it does is given to the system under its name (`System.batches`), and happens in the transaction of its
    position as with every policy.
    """

    def __init__(self, name: str, log: str, events: Iterable[type[Event]], home: str) -> None:
        super().__init__(name, log)
        self._events = frozenset(events)
        self._home = home

    @property
    def home(self) -> str:
        return self._home

    @property
    def topics(self) -> frozenset[str]:
        return frozenset(event.TOPIC for event in self._events)
