"""Streams that wait behind an event one consumer could not handle: handled again once the cause is mended."""

from typing import Any
from uuid import UUID

from domain.errors import Code, Refused
from domain.values import partition
from infra.consumers import follow_view, policy_of
from infra.follower import Follower
from infra.runtime import Runtime
from infra.store import SELECT, Connection, table


async def retry_parked(runtime: Runtime, consumer: str, stream: UUID) -> int:
    """Handle the events of a parked stream that waited, in one transaction, and let the stream go on; how many.

    The running consumer finds out with its next commit: it holds the position's row, as we do here.

    Raises:
        Refused: NOT_FOUND, there is no such consumer, or the stream does not wait there.
        Exception: what the consumer raises when the event still cannot be handled; the stream stays parked.
    """
    follower = _follower(runtime, consumer)
    async with runtime.store.transaction() as connection:
        rows = await _waiting(connection, follower, stream, runtime.partitions)
        events = [runtime.store.recorded(row) for row in rows]
        if events:
            await follower.handle(connection, events)
        await connection.execute(
            "delete from parked where consumer = $1 and log = $2 and stream_id = $3", consumer, follower.log, stream
        )
    follower.after()
    return len(events)


async def _waiting(connection: Connection, follower: Follower, stream: UUID, partitions: int) -> list[Any]:
    """The events between the one that could not be handled and the consumer's position."""
    place = (follower.name, follower.log)
    reached = await connection.fetchval(
        "select position from positions where consumer = $1 and log = $2 and partition = $3 for update",
        *place, partition(stream, partitions),
    )  # fmt: skip
    first = await connection.fetchval(
        "select position from parked where consumer = $1 and log = $2 and stream_id = $3 for update", *place, stream
    )
    if first is None:
        raise Refused(Code.NOT_FOUND, thing="parked stream", name=str(stream))
    rows: list[Any] = await connection.fetch(
        f"{SELECT.format(log=table(follower.log))} where stream_id = $1 and position between $2 and $3 "
        "and topic = any($4) order by version",
        stream, first, reached, list(follower.topics),
    )  # fmt: skip
    return rows


def _follower(runtime: Runtime, name: str) -> Follower:
    for policy in runtime.system.reacting:
        if policy.name == name:
            return policy_of(runtime, policy)
    for view in runtime.system.projections:
        if view.name == name and not view.inline:
            return follow_view(view, runtime.decider, runtime.partitions)
    raise Refused(Code.NOT_FOUND, thing="consumer", name=name)
