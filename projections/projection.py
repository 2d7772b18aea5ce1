"""Projection: what can be asked, as one table and the steps that events make in it."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, get_args

from sqlalchemy import Table

from domain.messages import Event, Recorded

Key = tuple[Any, ...]
Values = dict[str, Any]


class Add(NamedTuple):
    """A number to add to a column, instead of a value to set."""

    n: float


class Put(NamedTuple):
    """What a step does to one row: set or add values; `values` None removes the row."""

    key: Key
    values: Values | None
    create: bool = False


class Changes(NamedTuple):
    """What a batch of events does to the table, folded to one change a row."""

    created: dict[Key, Values]
    updated: dict[Key, Values]
    dropped: set[Key]


Step = Callable[[Recorded[Any]], Values | list[Put] | None]


class Projection:
    """One view: a table, the steps, and where it is kept.

    `inline` views are written in the transaction of the append, so a caller's next read sees them; the others follow
    on their own consumer. A step returns the columns an event changes in the row `key(event)`, None to drop that row,
    or a list of `Put` for other rows. Rows with a column `version` are guarded by it: an older event never wins.
    """

    def __init__(self, table: Table, log: str, key: Callable[[Recorded[Any]], Key], *, inline: bool = False) -> None:
        self.table = table
        self.log = log
        self.key = key
        self.inline = inline
        self.every: type[Event] | None = None
        self._steps: dict[type[Event], tuple[Step, bool]] = {}
        self._touch: frozenset[type[Event]] = frozenset()
        self._wanted: frozenset[type[Event]] = frozenset()
        self.guarded = "version" in table.c

    @property
    def name(self) -> str:
        """The table's name is the view's name."""
        return self.table.name

    @property
    def home(self) -> str:
        """The module of its steps."""
        return self.key.__module__

    @property
    def topics(self) -> frozenset[str]:
        """The topics it listens to."""
        return frozenset(event.TOPIC for event in self._steps) | {event.TOPIC for event in self._touch}

    def creates(self, step: Step) -> Step:
        """Register the step of an event that makes a row."""
        return self._register(step, create=True)

    def __call__(self, step: Step) -> Step:
        """Register the step of an event that changes a row."""
        return self._register(step, create=False)

    def touched_by(self, events: Iterable[type[Event]]) -> None:
        """Events without a step of their own still move the row's version."""
        self._touch = frozenset(events)
        self._wanted |= self._touch

    def wants(self, event: Event) -> bool:
        """Whether this event changes the view."""
        return type(event) in self._wanted

    def fold(self, events: Iterable[Recorded[Event]]) -> Changes:
        """The changes of a batch, in order, at most one a row and kind."""
        created: dict[Key, Values] = {}
        updated: dict[Key, Values] = {}
        dropped: set[Key] = set()
        wanted = self._wanted
        for event in events:
            if type(event.event) not in wanted:  # asked here: of most views it is true of most events
                continue
            for key, values, create in self._puts(event):
                if values is None:
                    created.pop(key, None)
                    updated.pop(key, None)
                    dropped.add(key)
                elif key in created:
                    _merge(created[key], values)
                elif create:
                    created[key] = dict(values)
                else:
                    _merge(updated.setdefault(key, {}), values)
        return Changes(created, updated, dropped)

    def _puts(self, event: Recorded[Event]) -> list[Put]:
        kind = type(event.event)
        if kind not in self._steps:
            return [Put(self.key(event), self._stamped(event, {}))]
        step, create = self._steps[kind]
        result = step(event)
        if isinstance(result, list):
            return result
        return [Put(self.key(event), None if result is None else self._stamped(event, result), create)]

    def _stamped(self, event: Recorded[Event], values: Values) -> Values:
        return {**values, "version": event.version} if self.guarded else values

    def _register(self, step: Step, *, create: bool) -> Step:
        (of,) = get_args(next(iter(inspect.signature(step).parameters.values())).annotation)
        for event in get_args(of) or (of,):
            self._steps[event] = (step, create)
            self._wanted |= {event}
        return step


def _merge(row: Values, values: Values) -> None:
    if Add not in map(type, values.values()):
        row.update(values)
        return
    for name, value in values.items():
        row[name] = _added(row[name], value) if isinstance(value, Add) and name in row else value


def _added(old: Any, more: Add) -> Any:
    """As the database does it: a number to add may itself be added to, and nothing plus a number is nothing."""
    if isinstance(old, Add):
        return Add(old.n + more.n)
    return None if old is None else old + more.n
