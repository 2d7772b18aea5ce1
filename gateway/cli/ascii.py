"""What is written where the character set lacks our signs: a plain spelling instead of a fault."""

import codecs
import sys
from typing import Any

PLAIN = {
    "→": "->", "µ": "mu", "χ": "chi", "²": "^2", "⁺": "+", "⁻": "-", "±": "+-", "…": "...", "“": '"', "”": '"',
    "‘": "'", "’": "'", "–": "-", "—": "-", "✔": "+", "✘": "x", "█": "#", "━": "=", "╸": "-", "╺": "-", "≥": ">=",
    "≤": "<=", "·": "-", "└": "`",
} | dict.fromkeys("▏▎▍▌▋▊▉", "")  # fmt: skip


def spelled(fault: UnicodeError) -> tuple[str, int]:
    """How to go on where a text cannot be encoded: each sign spelled plainly, or as a question mark."""
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    told = "".join(PLAIN.get(sign, "?") for sign in fault.object[fault.start : fault.end])
    return told, fault.end


def prepare() -> None:
    """Make stdout and stderr take every text, whatever the locale is."""
    codecs.register_error("spinor", spelled)
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure and stream.encoding.lower().replace("-", "") != "utf8":
            reconfigure(errors="spinor")
