"""The token with which a payload speaks for itself: a file that only it can read, renewed before it ends.

The pilot's own secret and token never get there.
"""

import os
import threading
import time
from typing import Any, Callable, Dict, Iterable, Optional

from pilot.calls import Away, Gateway, Refused
from pilot.log import say

EARLY = 0.5  # of its life: a gateway may be away for the other half
BRIEFEST = 1.0  # seconds that a token is good for at least, before another one is asked for
AGAIN = 10.0  # seconds between tries


class JobToken:
    """The token of one attempt. Without one from the gateway there is no file."""

    def __init__(self, job: int, attempt: int, path: str) -> None:
        self.job, self.attempt, self.path = job, attempt, path
        self._lock, self._open = threading.Lock(), True
        self._renew_at: Optional[float] = None

    def keep(self, given: Dict[str, Any]) -> None:
        """Write it, so that whoever reads the file reads one whole token. Raises OSError."""
        token, seconds = str(given["access_token"]), float(given.get("expires_in", 300))
        with self._lock:
            if not self._open:
                return
            descriptor = os.open(self.path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w") as file:
                file.write(token)
            os.replace(self.path + ".new", self.path)
            self._renew_at = time.monotonic() + max(seconds * EARLY, BRIEFEST)

    def end(self) -> None:
        """Take it away: the payload has ended."""
        with self._lock:
            self._open, self._renew_at = False, None
            for name in (self.path, self.path + ".new"):
                try:
                    os.unlink(name)
                except OSError:
                    pass

    def due(self) -> bool:
        """Whether a new one is wanted."""
        return self._renew_at is not None and time.monotonic() >= self._renew_at

    def put_off(self, seconds: float) -> None:
        """Try again a little later."""
        with self._lock:
            if self._renew_at is not None:
                self._renew_at = time.monotonic() + seconds


class Renewing:
    """One thread that renews the tokens of all payloads of a pilot."""

    def __init__(self, gateway: Gateway, tokens: Callable[[], Iterable[JobToken]]) -> None:
        self._gateway, self._tokens, self._over = gateway, tokens, threading.Event()

    def finish(self) -> None:
        """End the thread after what it does now."""
        self._over.set()

    def run(self) -> None:
        """The life of the thread."""
        while not self._over.wait(self._pause()):
            for token in self._tokens():
                if token.due():
                    self._renew(token)

    def _renew(self, token: JobToken) -> None:
        try:
            token.keep(self._gateway.call("job-token", {"job": token.job, "attempt": token.attempt}))
        except (Away, Refused, OSError, KeyError, TypeError, ValueError) as error:
            say("job-token-not-renewed", job=token.job, attempt=token.attempt, detail=error)
            token.put_off(self._pause())

    def _pause(self) -> float:
        return min(AGAIN, self._gateway.heartbeat)
