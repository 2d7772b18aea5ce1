"""Events of identities as they were recorded, found by VO, person and time; opened for reading by people."""

from datetime import UTC, datetime

from msgspec.structs import replace

from domain.messages import Event, Recorded
from infra.store import SELECT, Store, table
from projections.audit import Sought

LOG = table("identity")
PERSON = """coalesce(nullif(data::json->>'subject', ''), data::json->>'name', split_part(actor, ':', 2))"""  # indexed
FOUND = f"""{SELECT.format(log=LOG)} where vo = any($1) and topic = any($2) and recorded_at >= $3 and recorded_at < $4
    and position > $5 and position <= (select position from log_heads where log = '{LOG}')
    and {{person}} = $7 order by position {{order}} limit $6"""
BEGINNING, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


async def found(store: Store, sought: Sought) -> list[Recorded[Event]]:
    """They, in the order of the log: the newest ones, or those after a position."""
    query = FOUND.format(order="asc" if sought.after else "desc", person=PERSON if sought.subject else "$7::text")
    rows = await store.pool.fetch(
        query, sought.vos, sought.topics, sought.since or BEGINNING, sought.until or END, max(sought.after, 0),
        sought.limit, sought.subject,
    )  # fmt: skip
    events = [store.recorded(row) for row in rows]
    async with store.pool.acquire() as connection:
        await store.prepare(connection, [event.event for event in events])
    opened = [replace(event, event=store.codec.unseal(event.event)) for event in events]
    return opened if sought.after else opened[::-1]
