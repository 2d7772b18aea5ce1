"""One line on standard error for each happening: time, word, key=value; never a secret."""

import json
import sys
from datetime import datetime, timezone


def now() -> str:
    """This machine's time as ISO 8601 in UTC, milliseconds."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def say(happening: str, **fields: object) -> None:
    """Write one line; values with blanks or quotes are written as JSON strings. A closed stderr is no reason to die."""
    words = [now(), happening] + [name + "=" + _plain(value) for name, value in fields.items() if value is not None]
    try:
        sys.stderr.write(" ".join(words) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def _plain(value: object) -> str:
    text = str(value)
    awkward = not text or any(character in text for character in ' "=\\') or not text.isprintable()
    return json.dumps(text) if awkward else text
