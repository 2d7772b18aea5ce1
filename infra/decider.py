"""Load, decide, append: what happens to a batch of commands inside one transaction."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from domain.errors import Refused
from domain.messages import Aggregate, Command, Event, Origin, Recorded
from infra.store import Connection, Store, record
from infra.system import System
from infra.views import apply

Histories = Mapping[UUID, Sequence[Recorded[Event]]]


class Ask(NamedTuple):
    """A command and who asks."""

    command: Command
    origin: Origin


class Verdict(NamedTuple):
    """What became of a command: the events, or the refusal."""

    stream: UUID
    version: int
    events: tuple[Recorded[Event], ...] = ()
    refusal: Refused | None = None


class Decider:
    """Decides commands of all aggregates of a system.

    Later commands of a batch see what earlier ones decided. Inline views are written before the events, in a fixed
    order, so that two writers of one job meet at its row and never deadlock at the log.
    """

    def __init__(self, system: System, store: Store) -> None:
        self.system = system
        self.store = store
        self.inline = {
            log: [view for view in system.projections if view.inline and view.log == log] for log in system.logs
        }

    async def decide(
        self, connection: Connection, asks: Sequence[Ask], known: Histories | None = None
    ) -> list[Verdict]:
        """The verdicts, in order; everything that was decided is appended.

        `known` are whole histories that the caller holds already, perhaps not up to date: what is decided from one is
        held to the log by its version, and where nothing is decided from it, the log is asked.

        Raises:
            Conflict: another writer was faster; the transaction is void, try again with a new one and nothing known.
        """
        states = await self._load(connection, asks, known or {})
        trusted = {stream: states[stream] for stream in known or {} if stream in states}
        appended: dict[str, list[Recorded[Event]]] = defaultdict(list)
        tokens: dict[str, list[str | None]] = defaultdict(list)
        verdicts = []
        for ask in asks:
            verdict = self._decide(ask, states)
            if not verdict.events and states[verdict.stream] is trusted.get(verdict.stream):
                states |= await self._load(connection, [ask], {})
                verdict = self._decide(ask, states)
            verdicts.append(verdict)
            log = self.system.commands[type(ask.command)].LOG
            appended[log] += verdict.events
            tokens[log] += [ask.origin.token or None] * len(verdict.events)
        for log, events in appended.items():
            await self.write(connection, log, events, tokens[log])
        return verdicts

    async def write(
        self, connection: Connection, log: str, events: Sequence[Recorded[Event]], tokens: Sequence[str | None] = ()
    ) -> None:
        """Append decided events, and what they mean for the inline views."""
        for view in self.inline[log]:
            await apply(connection, view, events)
        await self.store.append(connection, log, events, tokens)

    async def _load(
        self, connection: Connection, asks: Sequence[Ask], known: Histories
    ) -> dict[UUID, tuple[Aggregate, int]]:
        wanted: dict[type[Aggregate], set[UUID]] = defaultdict(set)
        for ask in asks:
            wanted[self.system.commands[type(ask.command)]].add(ask.command.stream)
        states: dict[UUID, tuple[Aggregate, int]] = {}
        for aggregate, streams in wanted.items():
            unknown = [stream for stream in streams if stream not in known]
            histories = {**known, **(await self.store.load(connection, aggregate.LOG, unknown) if unknown else {})}
            for stream in streams:
                states[stream] = _replay(aggregate, histories.get(stream, ()))
        return states

    def _decide(self, ask: Ask, states: dict[UUID, tuple[Aggregate, int]]) -> Verdict:
        stream = ask.command.stream
        state, version = states[stream]
        try:
            decided = list(state.decide(ask.command, ask.origin))
        except Refused as refusal:
            return Verdict(stream, version, refusal=refusal)
        events = []
        for event in decided:
            version += 1
            recorded = record(event, stream, version, ask.origin)
            state = state.evolve(recorded)
            events.append(recorded)
        states[stream] = (state, version)
        return Verdict(stream, version, tuple(events))


def _replay(aggregate: type[Aggregate], history: Sequence[Recorded[Event]]) -> tuple[Aggregate, int]:
    return aggregate.told(history), history[-1].version if history else 0
