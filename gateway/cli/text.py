"""Text from strangers made safe for a terminal, and the few forms in which the commands show values."""

import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

# What a terminal would obey: control sequences, strings for the terminal itself (titles, clipboard), short escapes.
ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
SILENT = {"Cc", "Cf", "Cs", "Co", "Cn"}  # categories that show nothing, or turn the text around
UNSEEN = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def clean(value: Any) -> str:
    """One line of visible text: escapes and invisible characters are taken out, line ends become blanks."""
    text = ESCAPES.sub("", str(value))
    if text.isascii() and text.isprintable():
        return text
    spaced = (" " if letter in "\t\n\r\x0b\x0c\u2028\u2029" else letter for letter in text)
    return "".join(letter for letter in spaced if unicodedata.category(letter) not in SILENT)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON that is safe to look at: whatever a terminal might obey is written as an escape."""
    text = json.dumps(value, ensure_ascii=False, default=str, indent=indent)
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shown(value: Any) -> str:
    """A value of JSON as people read it; lists with commas, times as `moment` writes them."""
    if isinstance(value, dict | list | tuple):
        return _shown_many(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, str):
        return moment(value)
    return "" if value is None else clean(value)


def _shown_many(value: dict[str, Any] | list[Any] | tuple[Any, ...]) -> str:
    """What holds nothing that holds something itself is written plainly, the rest as JSON."""
    inner = value.values() if isinstance(value, dict) else value
    if any(isinstance(each, dict | list) and each for each in inner):
        return clean(to_json(value))
    if isinstance(value, dict):
        return "  ".join(f"{clean(name)}={shown(each)}" for name, each in value.items())
    return ", ".join(map(shown, value))


def time_of(text: str) -> datetime | None:
    """The moment that an ISO 8601 text with date, time and zone names; None for anything else."""
    if not re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def moment(text: str) -> str:
    """A time in the zone of this machine, to the second."""
    found = time_of(text)
    return found.astimezone().strftime("%Y-%m-%d %H:%M:%S") if found else clean(text)


def ago(text: Any) -> str:
    """How long ago a time is, in its largest unit: `12 s`, `3 min`, `5 h`, `2 d`."""
    found = time_of(str(text or ""))
    return duration((datetime.now(UTC) - found).total_seconds()) if found else ""


def duration(seconds: float) -> str:
    """A length of time in its largest unit."""
    seconds = max(seconds, 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{timedelta(seconds=seconds) // timedelta(seconds=size)} {unit}"
    return f"{seconds:.0f} s"
