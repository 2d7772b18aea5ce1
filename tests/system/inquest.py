"""After the storm: what must hold in the log and in everything made of it."""

from collections.abc import Iterable
from typing import Any

import asyncpg

from domain.job import FINAL
from domain.messages import Event, Recorded
from infra.app import CORE
from infra.consumers import opened
from infra.decider import Decider
from infra.store import SELECT, Store, table
from infra.views import apply, create_statements
from projections.projection import Projection

Rows = list[dict[str, Any]]
ENDS = ("job.done", "job.failed", "job.killed")
CHUNK = 5000


async def rows(pool: asyncpg.Pool, query: str, *arguments: Any) -> Rows:
    return [dict(row) for row in await pool.fetch(query, *arguments)]


async def holes(pool: asyncpg.Pool) -> Rows:
    """Streams whose versions are not 1, 2, 3 …"""
    found = []
    for log in CORE.logs:
        found += await rows(
            pool,
            f"select stream_id, min(version), max(version), count(*) from {table(log)} group by 1 "
            "having min(version) <> 1 or max(version) <> count(*)",
        )
    return found


async def ended_wrongly(pool: asyncpg.Pool) -> Rows:
    """Attempts with another number of terminal events than one."""
    return await rows(
        pool,
        """with ends as (select stream_id, (data::json->>'attempt')::int as attempt, count(*) as ends
                from log_jobs where topic = any($1) group by 1, 2),
            attempts as (select job, n as attempt, status, lpad(to_hex(job), 12, '0') as hex, attempt as last
                from jobs, generate_series(1, attempt) n)
        select a.job, a.attempt, a.status, coalesce(e.ends, 0) as ends from attempts a
            left join ends e on left(replace(e.stream_id::text, '-', ''), 12) = a.hex and e.attempt = a.attempt
        where coalesce(e.ends, 0) <> case when a.attempt < a.last or a.status = any($2) then 1 else 0 end""",
        list(ENDS),
        [status.value for status in FINAL],
    )


async def timers_wrong(pool: asyncpg.Pool) -> Rows:
    """Jobs and pilots that live without a timer, and timers of what has ended; how long that is kept has its own."""
    final = [status.value for status in FINAL]
    jobs = await rows(
        pool,
        """select j.job, j.status, t.topic from jobs j
            full join (select * from timers where topic like 'job.%' and name = 'state') t
                on left(replace(t.stream_id::text, '-', ''), 12) = lpad(to_hex(j.job), 12, '0')
        where (t.stream_id is null) <> (j.status = any($1)) or j.job is null""",
        final,
    )
    counts = await pool.fetchrow(
        "select (select count(*) from timers where topic like 'pilot.%') as timers, "
        "(select count(*) from pilots where status in ('Submitted', 'Running')) as pilots"
    )
    assert counts
    return jobs if counts["timers"] == counts["pilots"] else [*jobs, dict(counts)]


async def behind(pool: asyncpg.Pool) -> Rows:
    """Consumers that have not handled an event of theirs, or that claim to be past the end of the log."""
    found = []
    parts = [*CORE.policies, *(view for view in CORE.projections if not view.inline)]
    for part in parts:
        found += await rows(
            pool,
            f"""select $1 as consumer, p.partition, p.position, max(l.position) as event from positions p
                join {table(part.log)} l on l.topic = any($2)
                    and get_byte(uuid_send(l.stream_id), 5) % (select partitions from installation) = p.partition
                where p.consumer = $1 and p.log = $3 group by 1, 2, 3 having max(l.position) > p.position""",
            part.name, sorted(part.topics), part.log,
        )  # fmt: skip
    return found + await rows(
        pool,
        "select p.* from positions p join log_heads h on h.log = 'log_' || p.log where p.position > h.position",
    )


async def unlike_the_log(pool: asyncpg.Pool) -> dict[str, Rows]:
    """Rows in which a view differs from one made anew from the log."""
    store = Store(pool, CORE.codec())
    decider = Decider(CORE, store)
    events = {log: [event async for event in _all(store, decider, log)] for log in CORE.logs}
    found = {}
    for view in CORE.projections:
        if differing := await _differing(pool, view, events[view.log]):
            found[view.name] = differing
    return found


async def _all(store: Store, decider: Decider, log: str) -> Any:
    known = await store.pool.fetch(f"{SELECT.format(log=table(log))} order by position")
    events = [store.recorded(row) for row in known]
    async with store.pool.acquire() as connection:
        await store.prepare(connection, [event.event for event in events])
    for event in opened(decider, events):
        yield event


async def _differing(pool: asyncpg.Pool, view: Projection, events: list[Recorded[Event]]) -> Rows:
    twin = f"{view.name}_twin"
    async with pool.acquire() as connection:
        await connection.execute(f"drop table if exists {twin}")
        for statement in create_statements(view.table, twin):
            await connection.execute(statement)
        for part in _chunks([event for event in events if view.wants(event.event)]):
            await apply(connection, view, part, twin)
        differing = await connection.fetch(
            f"(select 'view', t.* from {view.name} t except select 'view', t.* from {twin} t) union all "
            f"(select 'log', t.* from {twin} t except select 'log', t.* from {view.name} t)"
        )
        await connection.execute(f"drop table {twin}")
    return [dict(row) for row in differing[:5]]


def _chunks(events: list[Recorded[Event]]) -> Iterable[list[Recorded[Event]]]:
    for start in range(0, len(events), CHUNK):
        yield events[start : start + CHUNK]


async def everything_is_right(pool: asyncpg.Pool, letters: int = 0) -> None:
    """All of the above, said in one breath when it is not so; `letters` of the dead are expected."""
    faults = {
        "holes": await holes(pool),
        "ends": await ended_wrongly(pool),
        "timers": await timers_wrong(pool),
        "behind": await behind(pool),
        "views": await unlike_the_log(pool),
        "dead letters": await rows(pool, "select source, topic, reason, detail from dead_letters"),
        "parked": await rows(pool, "select * from parked"),
    }
    if len(faults["dead letters"]) == letters:
        del faults["dead letters"]
    wrong = {name: found if isinstance(found, dict) else found[:5] for name, found in faults.items() if found}
    assert not wrong, wrong
