"""The pilot's life: offer what is free, run jobs side by side, report; until idle, told to stop or out of time."""

import os
import shutil
import signal
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from pilot import __version__, node
from pilot.calls import Away, Denied, Gateway, Refused
from pilot.jobtoken import JobToken, Renewing
from pilot.log import say
from pilot.offering import Offering
from pilot.options import Options
from pilot.outbox import Outbox
from pilot.payload import Payload, Place
from pilot.reporting import Reporting
from pilot.slots import SPARE, Free, Slots
from pilot.watchdog import Process, Table, kill, process_of

KEEP_TRYING = 3600.0  # seconds: how long reports are worth waiting for a gateway that is away
HASTE = 60.0  # the same after SIGTERM, when the batch system is about to kill us
REPORTS_LEFT = 3  # exit code: reports stayed on disk, start again in the same directory to deliver them


class Agent:
    """One pilot process."""

    def __init__(self, options: Options, gateway: Gateway) -> None:
        self._options, self._gateway = options, gateway
        self._outbox = Outbox(os.path.join(options.home, "outbox"))
        self._slot_end = time.monotonic() + options.slot - min(SPARE, options.slot / 10)
        self._idle_since = time.monotonic()
        self._payloads: Dict[Tuple[int, int], Payload] = {}
        self._runs: List[threading.Thread] = []
        self._lock, self._event = threading.Lock(), threading.Event()
        self._reason: Optional[str] = None
        self._jobs_run = 0
        self._reporting = Reporting(gateway, self._outbox, self._alive, self._kill)
        self._renewing = Renewing(gateway, self._tokens)
        self._offering = Offering(gateway, os.path.join(options.home, "offer.json"), self._need, self._take, self.stop)

    def run(self) -> int:
        """The whole life; the exit code."""
        self._bury()
        try:
            machine = self._introduce()
        except Away:
            if self._reason is None:
                raise
            return self._farewell(self._outbox.empty())
        self._slots = Slots(machine, self._options)
        told = self._options
        self._place = Place(
            self._gateway,
            self._outbox,
            Table(),
            told.home,
            told.vo,
            told.site,
            told.grace,
            machine.cpu_power,
            self._slot_end,
        )
        for run in (self._reporting.run, self._offering.run, self._renewing.run):
            self._thread(run)
        while self._reason is None:
            self._event.wait(min(1.0, self._gateway.heartbeat))
            self._event.clear()
            self._reason = self._reason or self._end_of_life()
        return self._leave(self._reason)

    def stop(self, reason: str) -> None:
        """End soon: stopped, idle, drained or end-of-allocation."""
        self._reason = self._reason or reason
        self._event.set()

    def _introduce(self) -> node.Node:
        """Say hello, for as long as it makes sense. Raises Away, Refused, Denied."""
        told = self._options
        machine = node.look(told.home, told.tags, told.processors, told.memory_mb, told.cpu_power)
        hello = {"site": told.site, "ce": told.ce, "queue": told.queue, "version": __version__}
        patience = max(told.idle_exit, 0.0 if self._outbox.empty() else KEEP_TRYING)
        answer = self._gateway.insist("hello", dict(hello, node=machine._asdict()), patience, self._event)
        self._gateway.heartbeat = float(answer.get("heartbeat_seconds") or self._gateway.heartbeat)
        say("hello", pilot=told.stamp, **dict(machine._asdict(), tags=",".join(machine.tags)))
        self._idle_since = time.monotonic()
        return machine

    def _bury(self) -> None:
        """Jobs of a pilot process that ended before us in this directory: nobody looks after them any more."""
        host = os.uname().nodename
        for (job, attempt), facts in self._outbox.unfinished().items():
            leader = process_of(int(facts.get("group", 0))) if facts.get("host") == host else None
            if leader and leader.born == facts.get("born"):
                _kill_session(leader)
            say("payload-lost", job=job, attempt=attempt)
            self._outbox.add(job, attempt, "failed", code="payload-lost", detail="the pilot was started again")
        shutil.rmtree(os.path.join(self._options.home, "jobs"), ignore_errors=True)

    def _need(self) -> Optional[Dict[str, Any]]:
        with self._lock:
            full = 0 < self._options.max_jobs <= self._jobs_run
            if self._reason or full or self._idle_left() <= 0:
                return None
            wait = max(0.0, min(self._options.wait, 50.0, self._idle_left()))
            return self._slots.offer(self._free(), self._slot_end - time.monotonic(), wait)

    def _take(self, match: Dict[str, Any]) -> None:
        """Take a match exactly once; when we are about to leave, give it back at once."""
        with self._lock:
            job, attempt = int(match["job"]), int(match["attempt"])
            if not self._outbox.begin(job, attempt):
                say("match-again", job=job, attempt=attempt)
                return
            say("match", job=job, attempt=attempt, offer=match.get("offer"))
            if self._reason:
                self._outbox.add(job, attempt, "failed", code="pilot-stopped", detail=self._reason)
                return
            payload = Payload(match, self._slots.share(match, self._free()), self._place)
            self._payloads[job, attempt] = payload
            self._jobs_run += 1
            self._runs.append(self._thread(self._live, payload))

    def _live(self, payload: Payload) -> None:
        payload.run(self._changed)
        with self._lock:
            del self._payloads[payload.job, payload.attempt]
            self._idle_since = time.monotonic()
        self._changed()

    def _changed(self) -> None:
        for wake in (self._offering.changed, self._reporting.wake, self._event.set):
            wake()

    def _kill(self, job: int, attempt: int, code: str) -> None:
        payload = self._payloads.get((job, attempt))
        if payload:
            payload.stop(code)

    def _alive(self) -> List[Dict[str, Any]]:
        return [payload.alive() for payload in list(self._payloads.values())]

    def _tokens(self) -> List[JobToken]:
        return [payload.token for payload in list(self._payloads.values())]

    def _free(self) -> Free:
        return self._slots.free(self._payloads.values())

    def _idle_left(self) -> float:
        if self._payloads:
            return float("inf")
        return self._idle_since + self._options.idle_exit - time.monotonic()

    def _end_of_life(self) -> Optional[str]:
        """The reason to leave, or None."""
        if self._reporting.denied:
            return "stopped"
        with self._lock:
            if self._payloads:
                return None
            if 0 < self._options.max_jobs <= self._jobs_run:
                return "drained"
            if time.monotonic() > self._slot_end:
                return "end-of-allocation"
            patience = 2 * self._gateway.heartbeat if self._offering.unsettled() else 0.0
            return "idle" if self._idle_left() + patience <= 0 else None

    def _leave(self, reason: str) -> int:
        say("leaving", reason=reason, running=len(self._payloads))
        for payload in list(self._payloads.values()):
            payload.stop("pilot-stopped")
        self._offering.finish()
        end = time.monotonic() + self._options.grace + HASTE / 4
        for thread in list(self._runs):
            thread.join(max(0.0, end - time.monotonic()))
        for job, attempt in self._outbox.unfinished():
            self._outbox.add(job, attempt, "failed", code="pilot-stopped", detail=reason)
        delivered = self._flush(HASTE if reason == "stopped" else KEEP_TRYING)
        self._reporting.finish()
        self._renewing.finish()
        self._say_goodbye(reason)
        return self._farewell(delivered)

    def _farewell(self, delivered: bool) -> int:
        if delivered:
            shutil.rmtree(self._options.home, ignore_errors=True)
        say("gone", reason=self._reason, jobs_run=self._jobs_run, reports_left=None if delivered else "yes")
        return 0 if delivered else REPORTS_LEFT

    def _flush(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not self._outbox.empty() and time.monotonic() < end:
            self._reporting.wake()
            time.sleep(min(0.1, self._gateway.heartbeat))
        return self._outbox.empty()

    def _thread(self, run: Callable[..., None], *arguments: Any) -> threading.Thread:
        def guarded() -> None:
            try:
                run(*arguments)
            except Exception as error:  # better no pilot than half a pilot
                say("broken", thread=run.__qualname__, detail="{}: {}".format(type(error).__name__, error))
                self.stop("stopped")

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        return thread

    def _say_goodbye(self, reason: str) -> None:
        try:
            self._gateway.call("bye", {"reason": reason, "jobs_run": self._jobs_run}, 10.0)
        except (Away, Refused, Denied) as error:
            say("bye-lost", detail=error)


def _kill_session(leader: Process) -> None:
    for process in Table().read().values():
        if leader.pid in (process.group, process.session):
            kill(process, signal.SIGKILL)
