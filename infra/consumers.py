"""A policy or a view as a consumer of its log."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from domain.messages import Event, Later, Origin, Recorded
from handlers.policy import BatchPolicy, Policy, Rows
from infra.bus.messages import now
from infra.decider import Ask, Decider
from infra.follower import Follower
from infra.store import Connection
from infra.timers import set_timers
from infra.views import DIALECT, apply
from infra.wake import Wakes
from projections.projection import Projection

if TYPE_CHECKING:
    from infra.runtime import Runtime


def follow_policy(policy: Policy, decider: Decider, wakes: Wakes, partitions: int) -> Follower:
    """The consumer of a policy: its commands are decided and its timers set in the transaction of its position."""
    due: set[str] = set()
    fresh = True  # whether this batch is tried for the first time; after a conflict only the log is believed

    async def handle(connection: Connection, events: Sequence[Recorded[Event]]) -> None:
        asks: list[Ask] = []
        laters: list[tuple[Recorded[Event], Later]] = []
        for event in events:
            for answer in policy.react(event, await _found(decider, connection, policy, event)):
                if isinstance(answer, Later):
                    laters.append((event, answer))
                else:
                    asks.append(Ask(answer, origin_of(policy.name, event)))
        nonlocal fresh
        known, fresh = whole(events) if fresh else {}, False
        await decider.decide(connection, asks, known)
        fresh = True
        await set_timers(connection, laters, decider.store)
        due.update(decider.system.commands[type(ask.command)].LOG for ask in asks)
        if laters:
            due.add("timers")

    def after() -> None:
        for name in due:
            wakes.wake(name)
        due.clear()

    return Follower(policy.name, policy.log, policy.topics, handle, decider.store, partitions, after)


class Batches(Protocol):
    """What a batch policy does: in the transaction of its position; it may be told the same batch again."""

    async def __call__(self, connection: Connection, events: Sequence[Recorded[Event]]) -> Iterable[str]:
        """Handle a batch; the logs (or "timers") that somebody should look at once this is committed."""


def policy_of(runtime: "Runtime", policy: Policy) -> Follower:
    """The consumer of a policy, whatever its kind."""
    if not isinstance(policy, BatchPolicy):
        return follow_policy(policy, runtime.decider, runtime.wakes, runtime.partitions)
    work = runtime.system.batches[policy.name](runtime)
    due: set[str] = set()

    async def handle(connection: Connection, events: Sequence[Recorded[Event]]) -> None:
        due.update(await work(connection, events))

    def after() -> None:
        for name in due:
            runtime.wakes.wake(name)
        due.clear()

    return Follower(policy.name, policy.log, policy.topics, handle, runtime.store, runtime.partitions, after)


def follow_view(view: Projection, decider: Decider, partitions: int) -> Follower:
    """The consumer of a view that is not written with the append."""

    async def handle(connection: Connection, events: Sequence[Recorded[Event]]) -> None:
        await decider.store.prepare(connection, [event.event for event in events])
        await apply(connection, view, opened(decider, events))

    return Follower(view.name, view.log, view.topics, handle, decider.store, partitions)


def whole(events: Sequence[Recorded[Event]]) -> dict[UUID, list[Recorded[Event]]]:
    """The streams whose history these events are from the very beginning: they need not be loaded again."""
    streams: dict[UUID, list[Recorded[Event]]] = defaultdict(list)
    for event in events:
        streams[event.stream].append(event)
    return {
        stream: history
        for stream, history in streams.items()
        if [event.version for event in history] == list(range(1, len(history) + 1))
    }


def opened(decider: Decider, events: Sequence[Recorded[Event]]) -> list[Recorded[Event]]:
    """The events with their sealed fields in clear, as views show them."""
    codec = decider.store.codec
    return [
        event if not hasattr(event.event, "SEALED") else _with(event, codec.unseal(event.event)) for event in events
    ]


def _with(event: Recorded[Event], body: Event) -> Recorded[Event]:
    return Recorded(
        event.position, event.stream, event.version, body, event.id, event.cause, event.correlation,
        event.actor, event.vo, event.at,
    )  # fmt: skip


async def _found(
    decider: Decider, connection: Connection, policy: Policy, event: Recorded[Event]
) -> Mapping[str, Rows]:
    found = {}
    for name in policy.lookups(event):
        query = decider.system.lookups[name](event).compile(dialect=DIALECT, compile_kwargs={"literal_binds": True})
        found[name] = await connection.fetch(str(query))
    return found


def origin_of(name: str, event: Recorded[Event]) -> Origin:
    return Origin(f"policy:{name}", event.vo, now(), event.id, event.correlation or event.id)
