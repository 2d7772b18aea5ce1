"""The log's append beside the bare statement: the same rows, the same table, the same indexes, in turns."""

import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from statistics import median
from typing import Any

import asyncpg
from history import lives
from report import Row
from stage import Stage, bench

from domain.messages import Command, Event, Recorded
from infra.app import CORE
from infra.codec import Codec
from infra.store import COLUMNS, Store, table

# The peer: a bare statement with an array for every column.
APPEND = f"""insert into {{log}} ({COLUMNS})
    select * from unnest($1::uuid[], $2::int[], $3::text[], $4::smallint[], $5::text[], $6::uuid[], $7::uuid[],
                         $8::uuid[], $9::text[], $10::text[], $11::text[], $12::timestamptz[])"""

JOBS = 125  # of one append: 1 000 events
TURNS = 24  # appends of each kind in one repetition


class Prepared(Codec):
    """A codec that has the texts already: what is left of an append is its rows."""

    texts: dict[int, str]

    def encode(self, message: Event | Command) -> str:
        return self.texts[id(message)]


@bench("append")
async def append(stage: Stage) -> list[Row]:
    """Events/s of Store.append, 1 000 at once, beside a bare INSERT … SELECT unnest of rows encoded before."""
    ours: list[float] = []
    bare: list[float] = []
    rows: list[float] = []
    encoding: list[float] = []
    async with asyncpg.create_pool(await stage.database(), min_size=1, max_size=2) as pool:
        codec, prepared = CORE.codec(), Prepared(CORE.events.values(), CORE.commands)
        store, second = Store(pool, codec), Store(pool, prepared)
        first = count(1, JOBS)
        await _append(store, lives(next(first), JOBS))
        prepared.keys.update(await _keys(pool))
        for _ in range(stage.repetitions):
            spent: dict[str, list[float]] = {name: [] for name in ("ours", "bare", "rows", "encoding")}
            for _ in range(stage.size(TURNS)):
                events = [lives(next(first), JOBS) for _ in range(3)]
                spent["ours"].append(await _timed(_append, store, events[0]))
                start = time.perf_counter()
                texts = [[codec.encode(event.event) for event in some] for some in events[1:]]
                spent["encoding"].append((time.perf_counter() - start) / 2)
                prepared.texts = {id(e.event): text for e, text in zip(events[1], texts[0], strict=True)}
                spent["rows"].append(await _timed(_append, second, events[1]))
                spent["bare"].append(await _timed(_bare, pool, _columns(events[2], texts[1])))
            for name, rates in (("ours", ours), ("bare", bare), ("rows", rows), ("encoding", encoding)):
                rates.append(8 * JOBS / median(spent[name]))
    return [
        Row("append", ours, "events/s", bare, 0.80, of_ratio=True),
        Row("append rows only", rows, "events/s", bare),
        Row("append encoding only", encoding, "events/s"),
    ]


async def _append(store: Store, events: Sequence[Recorded[Event]]) -> None:
    async with store.transaction() as connection:
        await store.append(connection, "jobs", events)


async def _bare(pool: asyncpg.Pool, columns: list[list[Any]]) -> None:
    async with pool.acquire() as connection:
        await connection.execute(APPEND.format(log=table("jobs")), *columns)


async def _timed(work: Callable[..., Awaitable[None]], *arguments: Any) -> float:
    start = time.perf_counter()
    await work(*arguments)
    return time.perf_counter() - start


async def _keys(pool: asyncpg.Pool) -> dict[str, bytes]:
    return {row["subject"]: row["key"] for row in await pool.fetch("select subject, key from subject_keys")}


def _columns(events: Sequence[Recorded[Event]], texts: Sequence[str]) -> list[list[Any]]:
    rows = [
        (
            e.stream,
            e.version,
            e.event.TOPIC,
            e.event.SCHEMA,
            text,
            e.id,
            e.cause,
            e.correlation,
            e.actor,
            e.vo,
            None,
            e.at,
        )
        for e, text in zip(events, texts, strict=True)
    ]
    return [list(column) for column in zip(*rows, strict=True)]
