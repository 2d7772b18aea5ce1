"""What a transformation is to do: with which inputs, in which groups, as which jobs, and what if one fails."""

import re
from enum import StrEnum
from typing import Any

from msgspec import Struct

from domain.errors import Code, Refused

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")  # as long as the group of a job may be
MOST_GROUPED = 1000  # files of one task
MOST_TASKS = 10_000_000
MOST_RETRIES = 10
MOST_TARGETS = 100
PRIORITIES = range(11)


class Plugin(StrEnum):
    """How inputs become groups."""

    STANDARD = "Standard"  # files that lie at the same storage elements, so many a task
    BY_SIZE = "BySize"  # the same, so many gigabytes a task
    BY_SHARE = "ByShare"  # as Standard, each group for the site that is furthest below its share
    BROADCAST = "Broadcast"  # every file once for every target
    ONE = "OnePerFile"


class Source(StrEnum):
    """Where inputs come from."""

    QUERY = "query"  # files of the catalogue, those that come later too
    LIST = "list"  # files that somebody names
    NONE = "none"  # tasks without input, `max_tasks` of them


class Then(StrEnum):
    """What becomes of the inputs of a task that failed too often."""

    QUARANTINE = "quarantine"
    SPLIT = "split"  # in halves, until the bad file stands alone


class Definition(Struct, frozen=True, omit_defaults=True, gc=False):
    """The definition. `template` is the digest of the job's description; `shares` are weights by site."""

    template: str
    source: Source
    plugin: Plugin = Plugin.STANDARD
    group_size: int = 1
    path: str = ""
    conditions: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    shares: dict[str, Any] = {}
    priority: int = 1
    max_tasks: int = 0  # 0: as many as the inputs make
    retries: int = 2
    then: Then = Then.QUARANTINE


def check(name: str, it: Definition) -> None:
    """Refuse what cannot be carried out.

    Raises:
        Refused: TRANSFORMATION, with the field.
    """
    for field, problem in _problems(name, it):
        raise Refused(Code.TRANSFORMATION, field=field, problem=problem)


def _problems(name: str, it: Definition) -> list[tuple[str, str]]:
    broadcast, by_share = it.plugin is Plugin.BROADCAST, it.plugin is Plugin.BY_SHARE
    weights = [value for value in it.shares.values() if isinstance(value, int | float) and 0 < value < 1e9]
    rules = (
        (NAME.fullmatch(name), "name", "letters, digits and ._-, at most 32, beginning with a letter or digit"),
        (1 <= it.group_size <= MOST_GROUPED, "group_size", f"expected 1 to {MOST_GROUPED}"),
        (0 <= it.max_tasks <= MOST_TASKS, "max_tasks", f"expected 0 to {MOST_TASKS}"),
        (0 <= it.retries <= MOST_RETRIES, "retries", f"expected 0 to {MOST_RETRIES}"),
        (it.priority in PRIORITIES, "priority", "expected 0 to 10"),
        (it.source is not Source.NONE or it.max_tasks, "max_tasks", "without inputs it says how many tasks there are"),
        (it.source is not Source.QUERY or it.path or it.conditions, "conditions", "a query has a path or conditions"),
        (it.source is Source.QUERY or not (it.path or it.conditions), "conditions", "only with source `query`"),
        (bool(it.targets) == broadcast, "targets", "Broadcast needs targets, and only Broadcast"),
        (len(set(it.targets)) == len(it.targets) <= MOST_TARGETS, "targets", f"at most {MOST_TARGETS}, each once"),
        (bool(it.shares) == by_share, "shares", "ByShare needs shares, and only ByShare"),
        (len(weights) == len(it.shares) <= MOST_TARGETS, "shares", f"at most {MOST_TARGETS} weights above 0 by site"),
    )
    return [(field, problem) for ok, field, problem in rules if not ok]
