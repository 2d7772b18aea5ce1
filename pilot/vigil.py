"""Waits for the end of one payload, and ends it when a limit breaks or somebody asks."""

import os
import signal
import subprocess
import threading
import time
from typing import Optional

from pilot.watchdog import Watchdog

HURRY = ("killed", "pilot-stopped")


class Stop:
    """Why a payload must end, once somebody said so; the first reason counts."""

    def __init__(self) -> None:
        self.code: Optional[str] = None
        self.hurry = threading.Event()  # nobody waits for this job any more: no retries

    def ask(self, code: str) -> bool:
        """Ask for the end; whether this was the first time."""
        first, self.code = self.code is None, self.code or code
        if code in HURRY:
            self.hurry.set()
        return first


class Vigil:
    """Measures every `interval` seconds, the disk every fourth time; `grace` seconds between TERM and KILL."""

    def __init__(self, dog: Watchdog, stop: Stop, interval: float, grace: float) -> None:
        self._dog, self._stop, self._interval, self._grace = dog, stop, interval, grace
        self._look_at, self._looks = 0.0, 0
        self._kill_at: Optional[float] = None

    def wait(self, process: "subprocess.Popen[bytes]") -> int:
        """The wait status of the payload; nothing of its group is left afterwards."""
        pause = 0.01
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = status  # so that the object does not wait for it again
                self._dog.clear()
                self._dog.ended(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
                return status
            self._go_on()
            pause = min(pause * 1.5, 0.05 if self._stop.code else 0.5)
            self._rest(pause)

    def _go_on(self) -> None:
        if self._stop.code:
            self._end()
        elif time.monotonic() >= self._look_at:
            broken = self._dog.look(with_disk=self._looks % 4 == 0)
            self._look_at, self._looks = time.monotonic() + self._interval, self._looks + 1
            if broken:
                self._stop.ask(broken)

    def _end(self) -> None:
        if self._kill_at is None:
            self._dog.signal(signal.SIGTERM)
            self._kill_at = time.monotonic() + self._grace
        elif time.monotonic() > self._kill_at:
            self._dog.signal(signal.SIGKILL)

    def _rest(self, pause: float) -> None:
        if self._stop.hurry.is_set():
            time.sleep(pause)
        else:
            self._stop.hurry.wait(pause)
