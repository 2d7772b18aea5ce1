"""Trouble that lasts is told at once, then at growing intervals, and once more when it is over."""

import time
from typing import Any

FIRST, LONGEST = 10.0, 600.0  # seconds between two words about the same trouble; doubled each time


class Complaint:
    """What one part says of its trouble."""

    def __init__(self, log: Any, what: str) -> None:
        self._log, self._what = log, what
        self._next, self._interval = 0.0, FIRST
        self._since: float | None = None
        self._times = 0

    def about(self, fault: BaseException, **fields: Any) -> None:
        """It happened, perhaps again."""
        now = time.monotonic()
        self._times += 1
        if self._since is None:
            self._since, self._next, self._interval = now, now, FIRST
        if now >= self._next:
            self._log.warning(self._what, reason=str(fault) or repr(fault), times=self._times, **fields)
            self._next, self._interval = now + self._interval, min(LONGEST, self._interval * 2)

    def over(self, **fields: Any) -> None:
        """It works again; nothing is said if it always did."""
        if self._since is not None:
            seconds = round(time.monotonic() - self._since, 1)
            self._log.info(f"{self._what}: over", seconds=seconds, times=self._times, **fields)
            self._since, self._times = None, 0
