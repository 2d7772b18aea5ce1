"""Many rows as the parameters of one statement: columns that vary as arrays, those that do not as single values.

Encoding an array costs the client library a look at every element; in a batch most columns say the same in each row.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

Column = tuple[str, str, list[Any]]  # name, type, a value for each row


class Rows(NamedTuple):
    """A query that gives the rows, in their order, and its parameters."""

    sql: str
    parameters: list[Any]


def rows(columns: Sequence[Column]) -> Rows:
    """The rows of these columns; the first column always counts as one that varies."""
    outputs: list[str] = []
    arrays: list[str] = []
    names: list[str] = []
    parameters: list[Any] = []
    for place, (name, type_, values) in enumerate(columns):
        number = len(parameters) + 1
        if place and values[0] == values[-1] and values.count(values[0]) == len(values):
            parameters.append(values[0])
            outputs.append(f"${number}::{type_} as {name}")
        else:
            parameters.append(values)
            arrays.append(f"${number}::{type_}[]")
            names.append(name)
            outputs.append(f"_.{name}")
    return Rows(f"select {', '.join(outputs)} from unnest({', '.join(arrays)}) _ ({', '.join(names)})", parameters)
