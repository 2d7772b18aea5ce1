"""When the gateway could be reached: silence counts only then, so that its outage stalls nobody."""

import asyncio

import asyncpg
import structlog

from infra.store import TROUBLE, Connection

BEAT = 5.0  # seconds
BEATS = "interval '20 seconds'"  # one without a beat for longer was away
KEPT = "interval '40 days'"
HERE = f"""with grown as (update reachability set until = now() where until > now() - {BEATS} returning since),
    gone as (delete from reachability where until < now() - {KEPT})
    insert into reachability select now(), now() where not exists (select from grown) on conflict do nothing"""
# A timer of silence that is due although part of that time nobody could have been heard waits for the missing part.
PUT_OFF = f"""update timers t set due = now() + (t.silence - counted.up) from (
        select t.stream_id, t.name, coalesce(sum(
            case when r.until > now() - {BEATS} then now() else r.until end - greatest(r.since, t.due - t.silence)
        ), interval '0') as up
        from timers t left join reachability r on r.until > t.due - t.silence
        where t.due <= now() and t.silence is not null group by t.stream_id, t.name) counted
    where t.stream_id = counted.stream_id and t.name = counted.name and t.due <= now()
        and counted.up < t.silence - {BEATS} and exists (select from reachability)"""
log_ = structlog.get_logger("spinor.reachability")


async def beat(pool: asyncpg.Pool) -> None:
    """Note that signs of life can be taken now."""
    await pool.execute(HERE)


async def put_off(connection: Connection) -> bool:
    """Let timers of silence that are due wait for what was missed; whether there were any."""
    done: str = await connection.execute(PUT_OFF)
    return done != "UPDATE 0"


async def run(pool: asyncpg.Pool) -> None:
    """Note it again and again, in every gateway; survives a database that is away, which is an outage, too."""
    while True:
        try:
            await beat(pool)
        except TROUBLE as fault:
            log_.warning("nobody can be heard", reason=repr(fault))
        await asyncio.sleep(BEAT)
