"""User metadata of a file or a directory: values by the names of fields."""

from collections.abc import Mapping
from typing import Any

from domain.errors import Code, Refused

MOST_VALUES = 100


def news(known: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """What of the values changes anything.

    Raises:
        Refused: TOO_MANY.
    """
    found = {name: value for name, value in values.items() if known.get(name) != value}
    if (count := len(described(known, found))) > MOST_VALUES:
        raise Refused(Code.TOO_MANY, count=count, things="values", limit=MOST_VALUES)
    return found


def described(known: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """What is known once these are set; None takes a value away."""
    return {name: value for name, value in {**known, **values}.items() if value is not None}
