"""The invariant, proved from events alone: every input is claimed once or not at all, by one job at a time."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from domain.messages import Event
from domain.transformations.inputs import Inputs
from domain.transformations.task import ENDS, Status, Task

MOST_TOLD = 20


class Audit:
    """Reads the events of one transformation, whatever their order is across streams; then says what is wrong."""

    def __init__(self, targets: Iterable[str] = ()) -> None:
        self._targets = set(targets)
        self._attached: Counter[str] = Counter()
        self._status: dict[int, Status] = {}
        self._claims: dict[int, Task.Created] = {}
        self._done: Counter[int] = Counter()
        self.events = 0

    def read(self, events: Iterable[Event]) -> None:
        """Take events in."""
        for event in events:
            self.events += 1
            match event:
                case Inputs.Attached():
                    self._attached.update(event.lfns)
                case Task.Created():
                    if event.task in self._claims:
                        self._status[event.task] = Status.ABSENT  # said below as a task made twice
                        continue
                    self._claims[event.task], self._status[event.task] = event, Status.OPEN
                case Task.Done() | Task.Quarantined() | Task.Split() | Task.Cancelled():
                    self._status[event.task] = ENDS[type(event)]
                    self._done[event.task] += isinstance(event, Task.Done)

    @property
    def jobs(self) -> list[int]:
        """The numbers of all jobs that were claimed for tasks."""
        return [claim.job for claim in self._claims.values()]

    def report(self, done_jobs: Mapping[int, int]) -> dict[str, Any]:
        """What was found; `done_jobs` says how often each job ended well, as its own log has it."""
        holders, processed, stray = self._holders()
        jobs = Counter(self.jobs)
        problems = {
            "attached-twice": [lfn for lfn, count in self._attached.items() if count > 1],
            "claimed-twice": [_named(key) for key, count in holders.items() if count > 1],
            "processed-twice": [_named(key) for key, count in processed.items() if count > 1],
            "never-attached": stray,
            "job-of-two-tasks": [str(job) for job, count in jobs.items() if count > 1],
            "task-made-twice": [str(task) for task, status in self._status.items() if status is Status.ABSENT],
            "task-done-twice": [str(task) for task, count in self._done.items() if count > 1],
            "job-done-twice": [str(job) for job, count in done_jobs.items() if count > 1],
            "split-lost-inputs": self._lost_by_splits(),
        }
        found = {name: {"count": len(those), "first": sorted(those)[:MOST_TOLD]}
                 for name, those in problems.items() if those}  # fmt: skip
        per_input = max(1, len(self._targets))
        inputs = len(self._attached) * per_input
        return {
            "holds": not found, "problems": found, "events": self.events, "inputs": inputs, "tasks": len(self._claims),
            "claimed": len(holders), "processed": len(processed), "unclaimed": inputs - len(holders),
        }  # fmt: skip

    def _holders(self) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]], list[str]]:
        """How many tasks hold each input, how many have processed it, and inputs that never were."""
        holders: Counter[tuple[str, str]] = Counter()
        processed: Counter[tuple[str, str]] = Counter()
        stray = []
        for task, claim in self._claims.items():
            target = claim.target if self._targets else ""
            keys = [(lfn, target) for lfn in claim.lfns]
            stray += [lfn for lfn in claim.lfns if lfn not in self._attached]
            if self._status[task] is not Status.SPLIT:
                holders.update(keys)
            if self._done[task]:
                processed.update(keys)
        return holders, processed, stray

    def _lost_by_splits(self) -> list[str]:
        """Tasks whose inputs are not all claimed, once each, by those that were made of them."""
        children: dict[int, Counter[str]] = {}
        for claim in self._claims.values():
            if claim.parent:
                children.setdefault(claim.parent, Counter()).update(claim.lfns)
        split = [task for task, status in self._status.items() if status is Status.SPLIT]
        wrong = [task for task in split if children.get(task, Counter()) != Counter(self._claims[task].lfns)]
        return [str(task) for task in wrong]


def _named(key: tuple[str, str]) -> str:
    return " for ".join(filter(None, key))
