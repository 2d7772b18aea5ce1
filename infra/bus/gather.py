"""What arrives is kept per lane (a partition, a queue) and handed over in batches, again when that failed."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import structlog
from msgspec import Struct

from infra.waiting import end

T = TypeVar("T")
Lane = int | str

PAUSE, LONGEST = 0.2, 30.0  # seconds before a failed batch is handed over again: doubled each time

_log = structlog.get_logger()


class Held(Struct, Generic[T], eq=False):
    """Something that arrived: `size` counts towards a batch, `tag` and `origin` say whom to tell when it is done."""

    lane: Lane
    item: T
    size: int = 1
    tag: int = 0
    origin: Any = None


Worker = Callable[[Sequence[Held[T]]], Awaitable[Sequence[Held[T]]]]
Settle = Callable[[Sequence[Held[T]]], Awaitable[None]]


class Gather(Generic[T]):
    """Lanes of held things. A lane in trouble waits while the others go on, and nothing in a lane overtakes.

    `most` bounds a batch (sum of sizes, shared by the lanes, at least one thing of each). `room` bounds a lane: the
    oldest goes when it is full, the newest always stays.
    """

    def __init__(self, most: int, room: int | None = None, pause: float = PAUSE) -> None:
        self.most, self.room, self.pause = most, room, pause
        self._lanes: defaultdict[Lane, deque[Held[T]]] = defaultdict(deque)
        self._size: Counter[Lane] = Counter()
        self._until: dict[Lane, float] = {}
        self._failures: Counter[Lane] = Counter()
        self._stir = asyncio.Event()
        self.generation = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def put(self, held: Held[T]) -> None:
        """Keep it until its turn comes."""
        lane = self._lanes[held.lane]
        lane.append(held)
        self._size[held.lane] += held.size
        while self.room is not None and self._size[held.lane] > self.room and len(lane) > 1:
            self._size[held.lane] -= lane.popleft().size
        self._stir.set()

    def forget(self) -> None:
        """Drop everything, also what is being worked on should it fail: it will be delivered again."""
        self.generation += 1
        self._lanes.clear()
        self._size.clear()
        self._until.clear()

    async def next(self) -> list[Held[T]]:
        """What may go, as soon as there is something; `done` with it must follow."""
        while not (batch := self._take()):
            self._stir.clear()
            waiting = [until for until in self._until.values() if until > _now()]
            try:
                async with asyncio.timeout_at(min(waiting, default=None)):
                    await self._stir.wait()
            except TimeoutError:
                continue
        return batch

    def _take(self) -> list[Held[T]]:
        lanes = [name for name, lane in self._lanes.items() if lane and self._until.get(name, 0.0) <= _now()]
        share = self.most // max(1, len(lanes))
        batch: list[Held[T]] = []
        for name in lanes:
            lane, taken = self._lanes[name], 0
            while lane and (taken == 0 or taken + lane[0].size <= share):
                batch.append(lane.popleft())
                taken += batch[-1].size
            self._size[name] -= taken
        return batch

    def done(self, batch: Sequence[Held[T]], failed: Sequence[Held[T]], generation: int) -> None:
        """Give back what failed, to come again after a pause."""
        if generation != self.generation:
            return
        for held in reversed(failed):
            self._lanes[held.lane].appendleft(held)
            self._size[held.lane] += held.size
        self._count({held.lane for held in batch}, {held.lane for held in failed})

    def _count(self, tried: set[Lane], failed: set[Lane]) -> None:
        for lane in tried - failed:
            self._failures.pop(lane, None)
            self._until.pop(lane, None)
        for lane in failed:
            self._until[lane] = _now() + min(LONGEST, self.pause * 2 ** self._failures[lane])
            self._failures[lane] += 1


class Runner(Generic[T]):
    """One worker on a gathering: what `work` returns is handed over again after a pause, the rest is settled."""

    def __init__(self, gather: Gather[T], work: Worker[T], settle: Settle[T] | None = None) -> None:
        self.gather, self.work, self.settle = gather, work, settle
        self._busy = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled; a batch that is cancelled goes back whole."""
        while True:
            batch, generation = await self.gather.next(), self.gather.generation
            failed: Sequence[Held[T]] = batch
            async with self._busy:
                try:
                    failed = await self.work(batch)
                except Exception:
                    _log.exception("bus.batch_failed", size=len(batch))
                finally:
                    self.gather.done(batch, failed, generation)
                again = {id(held) for held in failed}
                if self.settle and (done := [held for held in batch if id(held) not in again]):
                    await self.settle(done)

    async def stop(self, task: asyncio.Task[None], grace: float) -> None:
        """End the task that runs this, after the batch at work, which gets `grace` seconds."""
        try:
            async with asyncio.timeout(grace), self._busy:
                task.cancel()
        except TimeoutError:
            task.cancel()
        _, left = await asyncio.wait([task], timeout=1)
        await end(list(left))


def _now() -> float:
    return asyncio.get_running_loop().time()
