"""Carries reports and signs of life to the gateway, and commands back."""

import threading
import time
from typing import Any, Callable, Dict, List, Tuple

from pilot.calls import GONE, Away, Denied, Gateway, Refused
from pilot.log import say
from pilot.outbox import Outbox

OVER = ("job-attempt", "job-unknown", "pilot-job")  # refusals that mean: this attempt is not ours any more
DENIALS = 10  # heartbeats without a valid secret, after which the pilot gives up

Send = Callable[[int, int, str], None]


class Reporting:
    """One thread that calls at every heartbeat, and soon after a report was written."""

    def __init__(self, gateway: Gateway, outbox: Outbox, alive: Callable[[], List[Dict[str, Any]]], stop: Send) -> None:
        self._gateway, self._outbox, self._alive, self._stop = gateway, outbox, alive, stop
        self._wake, self._over = threading.Event(), threading.Event()
        self._pauses = gateway.pauses()
        self._denied_since = 0.0
        self.denied = False

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    def finish(self) -> None:
        """End the thread after what it does now."""
        self._over.set()
        self._wake.set()

    def run(self) -> None:
        """The life of the thread."""
        while not self._over.is_set():
            pause = self._round()
            if pause:
                self._over.wait(pause)
            elif not self._more():
                self._wake.wait(self._gateway.heartbeat)
                self._over.wait(min(0.2, self._gateway.heartbeat / 100))  # what belongs together travels together
            self._wake.clear()

    def _more(self) -> bool:
        return not self._outbox.empty()

    def _round(self) -> float:
        """One call; the seconds to wait before the next one, 0 after a success."""
        try:
            progress = self._exchange(self._outbox.pending())
        except (Away, Denied) as error:
            pause = self._pauses.next(getattr(error, "retry_after", None))
            say("gateway-away", call="reports", detail=error, pause=round(pause, 2))
            self._note_denial(isinstance(error, Denied))
            return pause
        except Refused as error:
            say("reports-refused", detail=error)
            self.denied = self.denied or error.code in GONE
            return self._pauses.next()
        if not progress:
            return self._pauses.next()
        self._pauses = self._gateway.pauses()
        self._note_denial(False)
        return 0.0

    def _exchange(self, reports: List[Dict[str, Any]]) -> bool:
        """Send and take the answer; False if reports were sent and not one of them was answered."""
        try:
            answer = self._gateway.call("reports", {"reports": reports, "alive": self._alive()})
            return self._take(reports, answer) or not reports
        except Denied:
            raise
        except Refused:
            if not reports:
                raise
            for report in reports:  # one of them cannot be read over there: it must not hold up the others
                self._alone(report)
            return True

    def _alone(self, report: Dict[str, Any]) -> None:
        try:
            self._take([report], self._gateway.call("reports", {"reports": [report], "alive": []}))
        except Denied:
            raise
        except Refused as refused:
            if refused.status in (401, 403) or refused.code in GONE:
                raise
            self._drop(report, refused.code)

    def _take(self, reports: List[Dict[str, Any]], answer: Dict[str, Any]) -> bool:
        results = answer.get("results") or []
        sent = {_key(report): report for report in reports}
        for result in results:
            if not result.get("ok") and _key(result) in sent:
                self._drop(sent[_key(result)], str(result.get("code")))
        self._outbox.settle(_key(result) for result in results)
        for command in answer.get("commands") or []:
            if command.get("command") == "kill":
                self._stop(int(command["job"]), int(command["attempt"]), "killed")
        return bool(results)

    def _drop(self, report: Dict[str, Any], code: str) -> None:
        job, attempt, seq = _key(report)
        say("report-refused", job=job, attempt=attempt, seq=seq, kind=report["kind"], code=code)
        if code in OVER:
            self._stop(job, attempt, "killed")
        self._outbox.refuse(job, attempt, seq, code)

    def _note_denial(self, denied: bool) -> None:
        if not denied:
            self._denied_since = 0.0
            return
        self._denied_since = self._denied_since or time.monotonic()
        self.denied = time.monotonic() - self._denied_since > DENIALS * self._gateway.heartbeat


def _key(thing: Dict[str, Any]) -> Tuple[int, int, int]:
    return int(thing["job"]), int(thing["attempt"]), int(thing["seq"])
