"""How the system is: what runs, what lags, what waits for somebody to act."""

from typing import Any

from domain.errors import Refused
from infra.runtime import Runtime
from infra.settings import reason

LAG = """select p.consumer, p.log, min(p.position) as position, max(p.updated_at) as at, sum(p.duplicates)::bigint
    as duplicates, sum(p.gaps)::bigint as gaps from positions p group by 1, 2 order by 1, 2"""
COUNTS = """select
    (select count(*) from (select from timers limit 100001) t) as timers,
    (select count(*) from timers where due < now() - interval '10 seconds') as timers_overdue,
    (select count(*) from dead_letters where sent_again_at is null) as dead_letters,
    (select count(*) from parked) as parked,
    (select count(*) from lost) as lost,
    (select epoch from installation) as epoch,
    current_setting('server_version') as postgresql"""


async def collect(runtime: Runtime) -> dict[str, Any]:
    """Everything `spinor status` shows, as fields."""
    health = await runtime.bus.health()
    pool = runtime.pool
    heads = {row["log"].removeprefix("log_"): dict(row) for row in await pool.fetch("select * from log_heads")}
    consumers = []
    for row in await pool.fetch(LAG):
        consumers.append(dict(row) | {"waiting": await _lag(runtime, row["consumer"], row["log"])})
    return {
        **dict(await pool.fetchrow(COUNTS)),
        "bus": {"kind": health.kind, "up": health.up, "detail": reason(health.detail), "waiting": health.waiting},
        "configuration": _configuration(runtime),
        "logs": {log: {"position": row["position"], "at": row["updated_at"]} for log, row in heads.items()},
        "consumers": consumers,
    }


def _configuration(runtime: Runtime) -> dict[str, Any]:
    """Which revision is in force here, and how many VOs work; which do not is for their people to see."""
    found = runtime.configuration.current
    told = {"revision": found.revision, "vos": len(found.vos), "broken": len(found.broken)}
    return told | ({"fault": runtime.configuration.fault} if runtime.configuration.fault else {})


async def _lag(runtime: Runtime, consumer: str, log: str) -> int | None:
    try:
        return await runtime.bus.lag(consumer, log, runtime.partitions)
    except Refused:
        return None
