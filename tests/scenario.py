"""Given some events, when a command comes, then these events or this refusal follow: the grammar of domain tests."""

from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Self, TypeVar
from uuid import UUID, uuid5

from domain.errors import Code, Refused
from domain.messages import Aggregate, Command, Event, Origin, Recorded

A = TypeVar("A", bound=Aggregate)
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = UUID("00000000-0000-5000-8000-000000000001")


def recorded(
    event: Event,
    stream: UUID = NAMES,
    version: int = 1,
    position: int = 0,
    at: datetime | None = None,
    vo: str = "lhcb",
) -> Recorded[Any]:
    """The event as if it stood in a log; its time is that many seconds after BEGIN as its version."""
    id_ = uuid5(NAMES, f"{stream}/{version}")
    moment = at or BEGIN + timedelta(seconds=version)
    return Recorded(position or version, stream, version, event, id_, None, None, "user:ann", vo, moment)


class Scenario(Generic[A]):
    """One aggregate's story. `given` and `when` can be told again after `then`: the events count as given."""

    def __init__(self, blank: A, stream: UUID, vo: str = "lhcb") -> None:
        self.state = blank
        self.stream = stream
        self.vo = vo
        self.version = 0
        self.events: list[Event] = []
        self.refusal: Refused | None = None

    def given(self, *events: Event) -> Self:
        """What happened before."""
        for event in events:
            self.version += 1
            self.state = self.state.evolve(recorded(event, self.stream, self.version, vo=self.vo))
        return self

    def when(self, command: Command, actor: str = "user:ann", vo: str = "lhcb", rights: tuple[str, ...] = ()) -> Self:
        """A command is decided."""
        origin = Origin(actor, vo, BEGIN, rights=frozenset(rights))
        self.events, self.refusal = [], None
        try:
            self.events = list(self.state.decide(command, origin))
        except Refused as refusal:
            self.refusal = refusal
        return self

    def then(self, *events: Event) -> Self:
        """Exactly these events follow."""
        assert self.refusal is None, repr(self.refusal)
        assert self.events == list(events), f"these follow: {self.events}"
        return self.given(*events)

    def then_nothing(self) -> Self:
        """It is accepted and changes nothing."""
        return self.then()

    def then_refused(self, code: Code, **parameters: Any) -> Self:
        """It is refused for this reason, and no event follows."""
        assert self.refusal is not None, f"accepted, with {self.events}"
        assert self.refusal.code is code, repr(self.refusal)
        said = {name: self.refusal.parameters.get(name) for name in parameters}
        assert said == parameters, repr(self.refusal)
        return self
