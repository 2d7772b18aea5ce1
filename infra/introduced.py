"""Which revision of the configuration introduced a rule: who, when, and by which event."""

from collections.abc import Iterable
from typing import Any

from infra.configuration import Configurations


def introduced(configurations: Configurations, path: Iterable[str]) -> dict[str, str]:
    """Of the rule that stands under this path now; nothing for one that nobody wrote."""
    keys = list(path)
    now = _at(configurations.document_at(configurations.revision), keys)
    found: dict[str, str] = {}
    for number in range(min(configurations.revision, len(configurations.events)), 0, -1):
        if _at(configurations.document_at(number), keys) != now:
            break
        event = configurations.events[number - 1]
        found = {"by": event.actor, "since": event.at.isoformat(), "event": str(event.id)}
    return found


def _at(tree: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
