"""Before a job waits for pilots it is checked: a chain of small rules, each with the rows it wants, open to others."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import NamedTuple, Self

from domain.job import CheckJob, Job, QueueJob, RejectJob
from domain.messages import Command, Event, Recorded
from domain.values import job_number
from handlers.policy import Answer, Policy, Rows

Submitted = Recorded[Job.Submitted]
Looking = Callable[..., Iterator[Command]]


class Check(NamedTuple):
    """One check: whether a job concerns it at all (cheap, for it is asked of every job), and what it says then.

    It yields `RejectJob` or `HoldJob` with a code and what is behind it, or nothing when nothing speaks against the
    job. Parameters besides `event` name look-ups of the system, as those of a reaction do: `lookups`.
    """

    name: str
    concerns: Callable[[Submitted], bool]
    look: Looking

    lookups: tuple[str, ...]


def check(concerns: Callable[[Submitted], bool]) -> Callable[[Looking], Check]:
    """Make a check of a generator function; used as a decorator."""

    def made(look: Looking) -> Check:
        names = tuple(name for name in inspect.signature(look).parameters if name != "event")
        return Check(look.__name__, concerns, look, names)

    return made


class Chain(Policy):
    """The policy that has jobs checked and queued; `checks` are those of the whole system."""

    checks: tuple[Check, ...] = ()

    def bound(self, checks: Sequence[Check]) -> Self:
        """The same policy with these checks."""
        found = copy(self)
        found.checks = tuple(checks)
        return found

    @property
    def wanted(self) -> frozenset[str]:
        """The names of all look-ups that reactions and checks want."""
        return super().wanted.union(*(each.lookups for each in self.checks))

    def lookups(self, event: Recorded[Event]) -> set[str]:
        """The look-ups of the reactions, and of the checks that this job concerns."""
        found = super().lookups(event)
        for each in self._concerned(event):
            found.update(each.lookups)
        return found

    def react(self, event: Recorded[Event], found: Mapping[str, Rows] | None = None) -> Iterable[Answer]:
        """What the checks say, and what follows; nothing follows when one rejects the job."""
        for each in self._concerned(event):
            for said in each.look(event, **{name: (found or {})[name] for name in each.lookups}):
                yield said
                if isinstance(said, RejectJob):
                    return
        yield from super().react(event, found)

    def _concerned(self, event: Recorded[Event]) -> list[Check]:
        if not self.checks or not isinstance(event.event, Job.Submitted):
            return []
        return [each for each in self.checks if each.concerns(event)]  # type: ignore[arg-type]


def go_on(event: Recorded[Event]) -> Iterator[Command]:
    """A job that passed its checks waits for pilots; the rules of the job keep one that is held, or was rejected."""
    job = job_number(event.stream)
    yield CheckJob(job)
    yield QueueJob(job)
