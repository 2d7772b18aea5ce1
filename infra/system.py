"""System: what one installation is made of, as tuples of values that are joined with `|`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Select

from domain.messages import Aggregate, Command, Event, Recorded
from handlers.policy import Policy
from infra.codec import Codec
from projections.projection import Projection

Lookup = Callable[[Recorded[Any]], Select[Any]]


@dataclass(frozen=True)
class System:
    """Aggregates, policies, projections, routers and look-ups. A community adds its own: `CORE | System(…)`."""

    aggregates: tuple[type[Aggregate], ...] = ()
    policies: tuple[Policy, ...] = ()
    projections: tuple[Projection, ...] = ()
    routers: tuple[APIRouter, ...] = ()
    lookups: Mapping[str, Lookup] = field(default_factory=dict)

    def __or__(self, other: "System") -> "System":
        return System(
            self.aggregates + other.aggregates,
            self.policies + other.policies,
            self.projections + other.projections,
            self.routers + other.routers,
            {**self.lookups, **other.lookups},
        )

    @cached_property
    def events(self) -> dict[str, type[Event]]:
        """Every event by topic."""
        return _unique((event.TOPIC, event) for a in self.aggregates for event in a.events().values())

    @cached_property
    def commands(self) -> dict[type[Command], type[Aggregate]]:
        """Which aggregate decides which command."""
        return _unique((command, a) for a in self.aggregates for command in a.decisions())

    @cached_property
    def logs(self) -> dict[str, frozenset[str]]:
        """The logs, with the topics each holds."""
        names = sorted({a.LOG for a in self.aggregates})
        return {log: frozenset(t for a in self.aggregates if a.LOG == log for t in a.events()) for log in names}

    def codec(self) -> Codec:
        """A codec that knows this system's messages."""
        return Codec(self.events.values(), self.commands)

    def check(self) -> None:
        """Refuse a system whose parts contradict each other.

        Raises:
            ValueError: a topic, a command, a view or a consumer's name is claimed twice, or a look-up is missing.
        """
        topics = [*self.events, *(c.TOPIC for c in self.commands)]
        _unique((topic, topic) for topic in topics)
        wanted = {name for p in self.policies for ws in p._reactions.values() for w in ws for name in w.lookups}
        if missing := wanted - self.lookups.keys():
            raise ValueError(f"no look-up named {', '.join(sorted(missing))}")
        parts: tuple[Policy | Projection, ...] = (*self.policies, *self.projections)
        _unique((part.name, part) for part in parts)
        for part in parts:
            if part.log not in self.logs:
                raise ValueError(f"{part.name} follows the log {part.log}, which no aggregate writes")


def _unique(pairs: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{getattr(key, 'TOPIC', key)} is claimed twice")
        found[key] = value
    return found
