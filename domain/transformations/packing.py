"""Groups of inputs: pure functions from what is unclaimed to the tasks to make, and what is left for later."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from domain.transformations.definition import Definition, Plugin

GIGABYTE = 10**9


class Candidate(NamedTuple):
    """An input that nobody has claimed."""

    file: UUID
    lfn: str
    size: int
    ses: tuple[str, ...] = ()
    target: str = ""


class Group(NamedTuple):
    """The inputs of one task, and the site it is meant for, if any."""

    inputs: tuple[Candidate, ...]
    target: str = ""


def pack(it: Definition, inputs: Iterable[Candidate], used: Mapping[str, int], *, all_of_it: bool) -> list[Group]:
    """The groups that can be made. `used` counts the tasks of each site; `all_of_it`: incomplete groups too.

    Every input is in one group at most; those in none wait for others to come.
    """
    size = 1 if it.plugin is Plugin.ONE else it.group_size
    limit = size * GIGABYTE if it.plugin is Plugin.BY_SIZE else 0
    groups: list[Group] = []
    for target, alike in _alike(it, inputs):
        chunks = _by_size(alike, limit, all_of_it) if limit else _by_count(alike, size, all_of_it)
        groups += [Group(chunk, target) for chunk in chunks]
    return _shared(groups, it.shares, used) if it.plugin is Plugin.BY_SHARE else groups


def _alike(it: Definition, inputs: Iterable[Candidate]) -> list[tuple[str, list[Candidate]]]:
    """Inputs that may be in one task: they lie at the same places, and are meant for the same one."""
    found: dict[tuple[str, tuple[str, ...]], list[Candidate]] = {}
    for each in inputs:
        found.setdefault((each.target, () if it.plugin is Plugin.ONE else each.ses), []).append(each)
    return [(target, alike) for (target, _), alike in found.items()]


def _by_count(inputs: Sequence[Candidate], size: int, all_of_it: bool) -> list[tuple[Candidate, ...]]:
    end = len(inputs) if all_of_it else len(inputs) - len(inputs) % size
    return [tuple(inputs[start : min(start + size, end)]) for start in range(0, end, size)]


MOST_FILES = 1000


def _by_size(inputs: Sequence[Candidate], limit: int, all_of_it: bool) -> list[tuple[Candidate, ...]]:
    """As many as fit into the limit; a file that is larger alone."""
    done: list[tuple[Candidate, ...]] = []
    chunk: list[Candidate] = []
    total = 0
    for each in inputs:
        if chunk and (total + each.size > limit or len(chunk) == MOST_FILES):
            done.append(tuple(chunk))
            chunk, total = [], 0
        chunk.append(each)
        total += each.size
    return [*done, tuple(chunk)] if chunk and (all_of_it or total >= limit) else done


def _shared(groups: Sequence[Group], shares: Mapping[str, float], used: Mapping[str, int]) -> list[Group]:
    """Each group goes to the site that is furthest below its share; among equals to the first by name."""
    count = Counter(used)
    given = []
    for group in groups:
        site = min(sorted(shares), key=lambda name: (count[name] + 1) / shares[name])
        count[site] += 1
        given.append(Group(group.inputs, site))
    return given


def halves(lfns: Sequence[str]) -> list[tuple[str, ...]]:
    """The two halves of a group that failed."""
    middle = (len(lfns) + 1) // 2
    return [tuple(lfns[:middle]), tuple(lfns[middle:])]
