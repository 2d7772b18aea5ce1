"""Numbers and descriptions of submissions, in PostgreSQL."""

from collections.abc import Mapping
from uuid import UUID

from domain.errors import Code, Refused
from gateway.ports import Reservation
from infra.store import Store

RESERVE = """with numbers as (update job_numbers set last = last + $4 returning last - $4 + 1 as first)
    insert into submissions (id, vo, digest, first_job, jobs) select $1, $2, $3, first, $4 from numbers
    on conflict (id) do nothing returning first_job"""


async def reserve(store: Store, submission: UUID, vo: str, digest: str, count: int) -> Reservation:
    """See `gateway.ports.World.reserve`."""
    row = await store.pool.fetchrow(
        "update submissions set received = received + 1 where id = $1 returning *", submission
    )
    if row is None:
        async with store.transaction() as connection:
            first = await connection.fetchval(RESERVE, submission, vo, digest, count)
        if first is not None:
            await store.make_room(first + count)
            return Reservation(first, count, False)
        return await reserve(store, submission, vo, digest, count)  # the same request came twice at once
    if row["digest"] != digest or row["vo"] != vo:
        raise Refused(Code.KEY_REUSED, key=str(submission))
    return Reservation(row["first_job"], row["jobs"], True)


async def keep_bodies(store: Store, bodies: Mapping[str, bytes]) -> None:
    """See `gateway.ports.World.keep_bodies`."""
    await store.keep_bodies({digest: body.decode() for digest, body in bodies.items()})
