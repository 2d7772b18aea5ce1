"""Which position belongs to which moment: cuts through all logs, by the clock of the database.

Between two cuts, a second apart while something is written, an event's own time decides.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from domain.messages import Event, Recorded
from infra.store import Connection, table

WRITE = """with heads as (select jsonb_object_agg(log, position) as positions from log_heads)
    insert into cuts (at, positions, lasting)
    select now(), positions, not exists (select from cuts where lasting and at >= date_trunc('minute', now()))
    from heads where positions is distinct from $1::text::jsonb
    on conflict do nothing returning positions::text"""
SPAN = """select
    (select (positions->>$1)::bigint from cuts where at <= $2 order by at desc limit 1) as certain,
    (select (positions->>$1)::bigint from cuts where at > $2 order by at limit 1) as possible"""


class Span(NamedTuple):
    """What was known at a moment: everything up to `certain`, nothing after `possible`."""

    at: datetime
    certain: int
    possible: int | None

    def known(self, event: Recorded[Event]) -> bool:
        """Whether this event was in the log by then."""
        if event.position <= self.certain:
            return True
        return event.at <= self.at and (self.possible is None or event.position <= self.possible)


async def write(connection: Connection, last: str | None) -> str | None:
    """Write a cut if the logs are not where they were at the last one; where they are."""
    written: str | None = await connection.fetchval(WRITE, last)
    return written or last


async def newest(connection: Connection) -> str | None:
    """Where the logs were at the last cut."""
    found: str | None = await connection.fetchval("select positions::text from cuts order by at desc limit 1")
    return found


async def span(connection: Connection, log: str, at: datetime) -> Span:
    """What was known of a log at a moment."""
    row = await connection.fetchrow(SPAN, table(log), at)
    return Span(at, row["certain"] or 0, row["possible"])


async def known(
    connection: Connection, log: str, events: Sequence[Recorded[Event]], at: datetime
) -> list[Recorded[Event]]:
    """Those of the events of a log that were known at a moment, in their order."""
    by = await span(connection, log, at)
    return [event for event in events if by.known(event)]
