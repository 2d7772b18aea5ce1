"""System: what one installation is made of, as tuples of values that are joined with `|`."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import APIRouter

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Event
from gateway.rights import Walked, walk
from handlers.checks import Check
from handlers.policy import BatchPolicy, Policy
from infra.codec import Codec
from projections.projection import Projection

if TYPE_CHECKING:
    from infra.consumers import Batches
    from infra.front import Service
    from infra.runtime import Runtime

Lookup = Callable[[Any], Any]  # an event, or the events of a batch -> a query
Opening = Callable[["Runtime"], "Service"]
OpeningBatches = Callable[["Runtime"], "Batches"]


@dataclass(frozen=True)
class System:
    """Aggregates, policies, projections, routers, look-ups and services. A community adds its own: `CORE | System(…)`.

    `services` are for commands that no single aggregate decides, such as a submission of many jobs.
    """

    aggregates: tuple[type[Aggregate], ...] = ()
    policies: tuple[Policy, ...] = ()
    checks: tuple[Check, ...] = ()
    projections: tuple[Projection, ...] = ()
    routers: tuple[APIRouter, ...] = ()
    lookups: Mapping[str, Lookup] = field(default_factory=dict)
    services: Mapping[type[Command], Opening] = field(default_factory=dict)
    batches: Mapping[str, "OpeningBatches"] = field(default_factory=dict)  # of batch policies, by name
    at_hand: frozenset[str] = frozenset()  # look-ups of what each process knows by itself (`infra.near`)

    def __or__(self, other: "System") -> "System":
        return System(
            self.aggregates + other.aggregates,
            self.policies + other.policies,
            self.checks + other.checks,
            self.projections + other.projections,
            self.routers + other.routers,
            _joined("look-up", self.lookups, other.lookups),
            _joined("topic", self.services, other.services),
            _joined("consumer", self.batches, other.batches),
            self.at_hand | other.at_hand,
        )

    @cached_property
    def reacting(self) -> tuple[Policy, ...]:
        """The policies as they run: those that have jobs checked know every check."""
        return tuple(policy.bound(self.checks) for policy in self.policies)

    @cached_property
    def events(self) -> dict[str, type[Event]]:
        """Every event by topic."""
        return {topic: event for a in self.aggregates for topic, event in a.events().items()}

    @cached_property
    def commands(self) -> dict[type[Command], type[Aggregate]]:
        """Which aggregate decides which command."""
        return {command: a for a in self.aggregates for command in a.decisions()}

    @property
    def outside(self) -> list[type[Command]]:
        """The commands that other programs may publish on the bus."""
        return [command for command in (*self.commands, *self.services) if command.OUTSIDE]

    @cached_property
    def logs(self) -> dict[str, frozenset[str]]:
        """The logs, with the topics each holds."""
        names = sorted({a.LOG for a in self.aggregates})
        return {log: frozenset(t for a in self.aggregates if a.LOG == log for t in a.events()) for log in names}

    def codec(self) -> Codec:
        """A codec that knows this system's messages."""
        return Codec(self.events.values(), (*self.commands, *self.services))

    def check(self) -> None:
        """Refuse a system whose parts contradict each other.

        Raises:
            Refused: CLAIMED_TWICE, for a topic, a command, a consumer, a table or a route; SYSTEM, for what is missing.
        """
        found: dict[tuple[str, str], str] = {}
        for kind, name, by in self._claims():
            if (first := found.setdefault((kind, name), by)) is not by:
                raise Refused(Code.CLAIMED_TWICE, kind=kind, name=name, first=first, second=by)
        for problem in self._gaps():
            raise Refused(Code.SYSTEM, problem=problem)

    def _claims(self) -> Iterator["Claim"]:
        """Every name that only one part may have."""
        for aggregate in self.aggregates:
            yield Claim("aggregate", aggregate.TOPIC, _name(aggregate))
            for topic, event in aggregate.events().items():
                yield Claim("topic", topic, _name(event))
            for command in aggregate.decisions():
                yield Claim("topic", command.TOPIC, _name(aggregate))
        for command in self.services:
            yield Claim("topic", command.TOPIC, _name(command))
        for check in self.checks:
            yield Claim("check", check.name, f"{check.look.__module__}.{check.name}")
        yield from self._names_of_consumers()
        for name in _core_tables() | {f"log_{log}" for log in self.logs}:
            yield Claim("table", name, "the log")
        for view in self.projections:
            yield Claim("table", view.name, _home(view))
        for route, by in self._routes():
            for method in route.methods.split(","):
                yield Claim("route", f"{method} {re.sub('{[^}]*}', '{}', route.path)}", by)

    def _names_of_consumers(self) -> Iterator["Claim"]:
        for part in self._consumers():
            yield Claim("consumer", part.name, _home(part))

    def _gaps(self) -> Iterator[str]:
        """What is missing, as sentences."""
        wanted = {name for policy in self.reacting for name in policy.wanted}
        for name in sorted(wanted - self.lookups.keys() - self.at_hand):
            yield f"no look-up is named {name}"
        for policy in self.reacting:
            if isinstance(policy, BatchPolicy) and policy.name not in self.batches:
                yield f"nothing says what the policy {policy.name} does with a batch"
        for part in self._consumers():
            if part.log not in self.logs:
                yield f"{_home(part)} follows the log {part.log}, which no aggregate writes"
            elif unheard := part.topics - self.logs[part.log]:
                yield f"{_home(part)} waits for {sorted(unheard)[0]}, which is not in the log {part.log}"
        for route, by in self._routes():
            if len(route.rules) != 1:
                yield f"the route {route.methods} {route.path} of {by} names {len(route.rules)} access rules, not one"

    def _consumers(self) -> tuple[Policy | Projection, ...]:
        return (*self.reacting, *self.projections)

    def _routes(self) -> Iterator[tuple[Walked, str]]:
        for number, router in enumerate(self.routers, 1):
            for route in walk(router):
                yield route, f"router {number} ({router.prefix or ', '.join(map(str, router.tags)) or 'no prefix'})"


class Claim(NamedTuple):
    """A name, and the part that wants it for itself."""

    kind: str
    name: str
    by: str


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _home(part: Policy | Projection) -> str:
    kind = "the policy" if isinstance(part, Policy) else "the view"
    return f"{kind} {part.name} of {part.home}"


def _core_tables() -> set[str]:
    """The tables that the numbered SQL makes."""
    texts = (entry.read_text() for entry in files("infra.schema").iterdir() if entry.name.endswith(".sql"))
    return {"migrations", *(name for text in texts for name in re.findall(r"^create table (\w+)", text, re.M))}


def _joined(kind: str, ours: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> dict[Any, Any]:
    for name in ours.keys() & theirs.keys():
        first, second = (f"{value.__module__}.{value.__qualname__}" for value in (ours[name], theirs[name]))
        raise Refused(Code.CLAIMED_TWICE, kind=kind, name=getattr(name, "TOPIC", name), first=first, second=second)
    return {**ours, **theirs}
