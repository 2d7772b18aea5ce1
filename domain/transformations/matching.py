"""Which transformations want a file: looked up by the values of its fields, then held to every condition."""

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from domain.data.query import Condition

Facts = Mapping[str, Any]  # the values of a file by field, inherited ones too; of `se` a tuple
COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class Query(NamedTuple):
    """What a transformation wants: files below `path` for which all conditions hold."""

    name: str
    path: str
    conditions: Sequence[Condition]

    def wants(self, lfn: str, facts: Facts) -> bool:
        """Whether this file is wanted."""
        below = not self.path or lfn.startswith(f"{self.path}/")
        return below and all(holds(condition, facts) for condition in self.conditions)


def holds(condition: Condition, facts: Facts) -> bool:
    """Whether a condition holds; what a file has no value of, fits nothing."""
    value = facts.get(condition.field.name)
    if value is None:
        return False
    given: Sequence[Any] = condition.numbers or condition.texts
    values = value if isinstance(value, tuple) else (value,)
    if condition.operator == "in":
        return any(each in given for each in values)
    compare = COMPARE[condition.operator]
    return any(isinstance(each, str) == isinstance(given[0], str) and compare(each, given[0]) for each in values)


class Index:
    """Queries by a value that they ask for, so that a file meets only those that ask for one of its own."""

    def __init__(self, queries: Iterable[Query]) -> None:
        self._by_value: dict[tuple[str, Any], list[Query]] = defaultdict(list)
        self._others: list[Query] = []
        self.fields: set[str] = set()
        for query in queries:
            self.fields |= {condition.field.name for condition in query.conditions}
            exact = next((each for each in query.conditions if each.operator in ("=", "in")), None)
            for value in (exact.numbers or exact.texts) if exact else ():
                self._by_value[exact.field.name, value].append(query)  # type: ignore[union-attr]
            if exact is None:
                self._others.append(query)
        self._exact = {field for field, _ in self._by_value}

    def wanting(self, lfn: str, facts: Facts) -> list[str]:
        """The names of the transformations that want a file."""
        asked = list(self._others)
        for field in self._exact:
            value = facts.get(field)
            for each in value if isinstance(value, tuple) else (value,):
                asked += self._by_value.get((field, each), ())
        return list(dict.fromkeys(query.name for query in asked if query.wants(lfn, facts)))
