"""Our log behind the recorder interface of the `eventsourcing` library, for aggregates that are written with it."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from threading import Thread
from time import sleep
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    Notification,
    OperationalError,
    StoredEvent,
    Subscription,
)

from infra.codec import Codec
from infra.reader import Reader
from infra.store import AWAY, Store, table

LOOK = 0.05  # seconds between looks of a subscription that has caught up
CHUNK = 2000
COLUMNS = "stream_id, version, topic, data"
INSERT = """insert into {log} (stream_id, version, topic, schema_version, data, event_id, actor, vo, recorded_at)
    select s, v, t, 1, d, e, $6, $7, $8 from unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::uuid[])
        u (s, v, t, d, e) returning position"""
T = TypeVar("T")


class LogRecorder(ApplicationRecorder):
    """One log as the library sees it; its calls block, so they run on an event loop in a thread of its own.

    All of the library's tests of an ApplicationRecorder hold. That of an AggregateRecorder holds but for one line: it
    wants no ids from `insert_events`. NonInterleavingNotificationIDsBaseCase does not apply: it wants the ids of one
    append without others between, which takes a lock that makes appends 7 to 15 times slower; our readers are correct
    without. Ids rise, are final once they can be selected, and may leave gaps. The state of an event must be UTF-8 text
    (JSON), as everything in our logs, and the log one that takes any stream id, so not that of jobs.
    """

    def __init__(self, url: str, log: str, actor: str = "library", vo: str = "system") -> None:
        self._table, self._who = table(log), (actor, vo)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name=f"recorder.{log}", daemon=True)
        self._thread.start()
        self._pool = self._wait(_pool(url))
        head = self._wait(self._pool.fetchval("select position from log_heads where log = $1", self._table))
        self._reader = Reader(Store(self._pool, Codec((), ())), log, head)
        self._turn = asyncio.Lock()

    def close(self) -> None:
        """Close the connections and end the thread."""
        self._wait(self._pool.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append; the positions. Raises IntegrityError when a version exists already."""
        columns: list[Sequence[Any]] = [
            [event.originator_id for event in stored_events],
            [event.originator_version for event in stored_events],
            [event.topic for event in stored_events],
            [event.state.decode() for event in stored_events],
            [uuid4() for _ in stored_events],
        ]
        rows = self._fetch(INSERT.format(log=self._table), *columns, *self._who, datetime.now(UTC))
        return [row["position"] for row in rows]

    def select_events(
        self, originator_id: UUID | str, *, gt: int | None = None, lte: int | None = None, desc: bool = False,
        limit: int | None = None
    ) -> Sequence[StoredEvent]:  # fmt: skip
        """One stream, or a part of it, in its order or backwards."""
        rows = self._fetch(
            f"select {COLUMNS} from {self._table} where stream_id = $1 and version > coalesce($2, -1) "
            f"and version <= coalesce($3, version) order by version {'desc' if desc else ''} limit $4",
            originator_id, gt, lte, limit,
        )  # fmt: skip
        return [StoredEvent(stream, version, topic, data.encode()) for stream, version, topic, data in rows]

    def select_notifications(
        self, start: int | None, limit: int, stop: int | None = None, topics: Sequence[str] = (), *,
        inclusive_of_start: bool = True
    ) -> Sequence[Notification]:  # fmt: skip
        """Events in order of position, as far as the log is final: nothing can appear before them any more."""
        final = self._wait(self._final())
        rows = self._fetch(
            f"select {COLUMNS}, position from {self._table} where position > $1 and position <= least($2::bigint, $3) "
            "and (cardinality($4::text[]) = 0 or topic = any($4)) order by position limit $5",
            (start or 0) - (1 if inclusive_of_start else 0), final, stop, list(topics), limit,
        )  # fmt: skip
        return [Notification(stream, version, topic, data.encode(), id_) for stream, version, topic, data, id_ in rows]

    def max_notification_id(self) -> int | None:
        """The highest position so far."""
        return self._fetch(f"select max(position) from {self._table}")[0][0]  # type: ignore[no-any-return]

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> "Following":
        """Events from a position on, and then as they come."""
        return Following(self, gt, topics)

    async def _final(self) -> int:
        async with self._turn, self._pool.acquire() as connection:
            while await self._reader.next(connection, CHUNK):
                pass
        return self._reader.position

    def _fetch(self, query: str, *arguments: Any) -> list[Any]:
        return self._wait(self._pool.fetch(query, *arguments))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except asyncpg.UniqueViolationError as fault:
            raise IntegrityError(str(fault)) from fault
        except AWAY as fault:
            raise OperationalError(str(fault)) from fault


async def _pool(url: str) -> asyncpg.Pool:
    return await asyncpg.create_pool(url, min_size=1, max_size=10)


class Following(Subscription[LogRecorder]):
    """What the log has, then what comes."""

    def __init__(self, recorder: LogRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder, gt, topics)
        self._ready: deque[Notification] = deque()

    def __next__(self) -> Notification:
        ready = self._ready
        while not ready and not self._has_been_stopped:
            ready += self._recorder.select_notifications(
                self._last_notification_id, 500, topics=self._topics, inclusive_of_start=False
            )
            if ready:
                self._last_notification_id = ready[-1].id
            else:
                sleep(LOOK)
        if self._has_been_stopped:
            raise StopIteration
        return ready.popleft()
