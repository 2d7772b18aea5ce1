"""A policy or a view as a consumer of its log."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast
from uuid import UUID

from domain.messages import Command, Event, Later, Origin, Recorded
from handlers.policy import BatchPolicy, Policy, Rows
from infra.bus.messages import now
from infra.decider import Ask, Decider
from infra.follower import Follower
from infra.near import AtHand, at_hand
from infra.store import Connection, Store
from infra.timers import set_timers
from infra.views import DIALECT, apply
from infra.wake import Wakes
from projections.projection import Projection

if TYPE_CHECKING:
    from infra.runtime import Runtime


class Batches(Protocol):
    """What a policy does with a batch: in the transaction of its position; it may be told the same batch again."""

    async def __call__(self, connection: Connection, events: Sequence[Recorded[Event]]) -> Iterable[str]:
        """Handle a batch; the logs (or "timers") that somebody should look at once this is committed."""


def policy_of(runtime: "Runtime", policy: Policy) -> Follower:
    """The consumer of a policy, whatever its kind."""
    if isinstance(policy, BatchPolicy):
        work = runtime.system.batches[policy.name](runtime)
        return _following(policy, work, runtime.store, runtime.wakes, runtime.partitions)
    return follow_policy(policy, runtime.decider, runtime.wakes, runtime.partitions, at_hand(runtime))


def follow_policy(
    policy: Policy, decider: Decider, wakes: Wakes, partitions: int, known: AtHand | None = None
) -> Follower:
    """The consumer of a policy of reactions."""
    return _following(policy, _reacting(policy, decider, known or {}), decider.store, wakes, partitions)


def _following(policy: Policy, work: Batches, store: Store, wakes: Wakes, partitions: int) -> Follower:
    due: set[str] = set()

    async def handle(connection: Connection, events: Sequence[Recorded[Event]]) -> None:
        due.update(await work(connection, events))

    def after() -> None:
        for name in due:
            wakes.wake(name)
        due.clear()

    return Follower(policy.name, policy.log, policy.topics, handle, store, partitions, after)


def _reacting(policy: Policy, decider: Decider, known: AtHand) -> Batches:
    """Its commands are decided and its timers set in the transaction of its position."""
    fresh = True  # whether this batch is tried for the first time; after a conflict only the log is believed

    async def work(connection: Connection, events: Sequence[Recorded[Event]]) -> Iterable[str]:
        asks: list[Ask] = []
        laters: list[tuple[Recorded[Event], Later]] = []
        asking = Lookups(decider, connection, known)
        for event in events:
            wanted = policy.lookups(event)
            found = {name: await asking.rows(name, event) for name in wanted} if wanted else None
            for answer in policy.react(event, found):
                if type(answer) is Later:  # isinstance of a command costs ten times as much
                    laters.append((event, answer))
                else:
                    command = cast(Command, answer)
                    asks.append(Ask(command, origin_of(policy.name, event, command)))
        for joint, concerned in policy.joint(events):
            rows = {name: await asking.rows(name, concerned) for name in joint.lookups}
            for event, command in joint.reaction(concerned, **rows):
                asks.append(Ask(command, origin_of(policy.name, event, command)))
        nonlocal fresh
        histories, fresh = whole(events) if fresh else {}, False
        await decider.decide(connection, asks, histories)
        fresh = True
        await set_timers(connection, laters, decider.store)
        return {decider.system.commands[type(ask.command)].LOG for ask in asks} | ({"timers"} if laters else set())

    return work


def follow_view(view: Projection, decider: Decider, partitions: int) -> Follower:
    """The consumer of a view that is not written with the append."""

    async def handle(connection: Connection, events: Sequence[Recorded[Event]]) -> None:
        await decider.store.prepare(connection, [event.event for event in events])
        await apply(connection, view, opened(decider, events))

    return Follower(view.name, view.log, view.topics, handle, decider.store, partitions)


def whole(events: Sequence[Recorded[Event]]) -> dict[UUID, list[Recorded[Event]]]:
    """The streams whose history these events are from the very beginning: they need not be loaded again."""
    streams: dict[UUID, list[Recorded[Event]]] = {}
    for event in events:
        if event.version == 1:
            streams[event.stream] = [event]
        elif history := streams.get(event.stream):
            history.append(event)
    return {
        stream: history
        for stream, history in streams.items()
        if len(history) == 1 or [event.version for event in history] == list(range(1, len(history) + 1))
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


class Lookups:
    """The look-ups of one batch: of views in its transaction, of what the process itself knows once for each VO."""

    def __init__(self, decider: Decider, connection: Connection, at_hand: AtHand) -> None:
        self._decider = decider
        self._connection = connection
        self._at_hand = at_hand
        self._known: dict[tuple[str, str], Rows] = {}
        self._found: dict[str, Rows] = {}

    async def rows(self, name: str, about: Any) -> Rows:
        """What a look-up finds about an event, or about several."""
        if name not in self._at_hand:
            query = self._decider.system.lookups[name](about)
            if not isinstance(query, str):  # some are asked so often that they are written out
                query = str(query.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
            if query not in self._found:  # jobs of one submission ask for the same
                self._found[query] = await self._connection.fetch(query)
            return self._found[query]
        if (name, about.vo) not in self._known:
            self._known[name, about.vo] = await self._at_hand[name](self._connection, about.vo)
        return self._known[name, about.vo]


def origin_of(name: str, event: Recorded[Event], command: Command | None = None) -> Origin:
    """A command that names a VO is given in that one: what concerns the installation concerns several."""
    vo = getattr(command, "vo", "") or event.vo
    return Origin(f"policy:{name}", vo, now(), event.id, event.correlation or event.id)
