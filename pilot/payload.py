"""One job, from its input sandbox to its final report."""

import errno
import os
import shutil
import socket
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from pilot import launch, sandbox, transfer
from pilot.archive import TooLarge, Unreadable
from pilot.calls import Away, Gateway, Refused
from pilot.data import Data, Unfetched, Unmade
from pilot.jobtoken import JobToken
from pilot.log import say
from pilot.node import MIB, free_disk
from pilot.outbox import Outbox
from pilot.vigil import Stop, Vigil
from pilot.watchdog import RESERVE_MB, Limits, Table, Watchdog, process_of

PATIENCE = 3600.0  # seconds: how long sandboxes are tried when nobody answers
ANSWER = 0.5  # seconds between looks whether somebody ended us while we wait for an answer
ADDRESS = 300.0  # seconds: after this a new signed address is asked for
MARGIN = 1.2  # a payload may use so much more CPU than it asked for
LONGEST = 3 * 86400.0  # seconds: no payload runs longer


class Place(NamedTuple):
    """What all payloads of one pilot share; slot_end on the monotonic clock."""

    gateway: Gateway
    outbox: Outbox
    table: Table
    home: str
    vo: str
    site: str
    grace: float
    cpu_power: float
    slot_end: float


class Share(NamedTuple):
    """The part of the machine that one payload gets, in processors and MiB; disk None: what is free."""

    processors: int
    memory_mb: float
    disk_mb: Optional[float] = None


class Failed(Exception):
    """The job cannot go on; a code of the contract and fields for the report."""

    def __init__(self, code: str, **fields: object) -> None:
        super().__init__(code)
        self.code, self.fields = code, fields


class Payload:
    """One matched job on this machine. `run` is the life of its thread; the rest may be called from outside."""

    def __init__(self, match: Dict[str, Any], share: Share, place: Place) -> None:
        self.job, self.attempt = int(match["job"]), int(match["attempt"])
        self.processors, self.memory_mb, self._disk_mb = share
        self.running = True  # whether it occupies its processors
        self._match, self._place = match, place
        self._description: Dict[str, Any] = match.get("description") or {}
        self._root = os.path.join(place.home, "jobs", "{}-{}".format(self.job, self.attempt))
        self._work = os.path.join(self._root, "work")
        self.token = JobToken(self.job, self.attempt, os.path.join(self._root, "token"))
        self._stop = Stop()
        self._dog: Optional[Watchdog] = None
        self._output = launch.Output("std.out", "std.err")

    def run(self, changed: Callable[[], None]) -> None:
        """Do the job; whatever happens, exactly one final report is written. `changed`: processors became free."""
        try:
            self._claim(changed)
            self._fetch_inputs()
            self._fetch_data()
            status = self._execute()
            self.running = False
            changed()
            self._conclude(status)
        except Failed as failed:
            self._fail(self._stop.code or failed.code, **failed.fields)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self._fail(self._stop.code or ("disk-full" if full else "payload-lost"), detail=str(error))
        except Exception as error:
            self._fail(self._stop.code or "payload-lost", detail="{}: {}".format(type(error).__name__, error))
        finally:
            self.running = False
            self.token.end()
            shutil.rmtree(self._root, ignore_errors=True)
            changed()

    def stop(self, code: str) -> None:
        """End it, for the first reason given."""
        if self._stop.ask(code):
            say("payload-stop", job=self.job, attempt=self.attempt, code=code)

    def alive(self) -> Dict[str, object]:
        """A sign of life for the heartbeat."""
        usage = dict(self._used(), rss_mb=0.0, disk_mb=0.0)
        if self._dog:
            usage.update(rss_mb=round(self._dog.usage.rss_mb, 1), disk_mb=round(self._dog.usage.disk_mb, 1))
        usage.pop("max_rss_mb")
        stdout = launch.tail(os.path.join(self._work, self._output.stdout))
        return dict(usage, job=self.job, attempt=self.attempt, stdout_tail=stdout)

    def _claim(self, changed: Callable[[], None]) -> None:
        """Say that we begin, and begin when that was accepted: a match that nobody confirmed is given to others."""
        self._report("started", host=socket.gethostname())
        changed()
        end = min(time.monotonic() + PATIENCE, self._place.slot_end)
        while self._place.outbox.open(self.job, self.attempt, ANSWER):
            if self._stop.code or time.monotonic() > end:
                raise Failed("payload-lost", detail="the start was not confirmed")
        code = self._place.outbox.refused(self.job, self.attempt)
        if code:
            raise Failed("payload-lost", detail="the start was refused: " + code)

    def _fetch_inputs(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        for directory in (self._work, os.path.join(self._root, "tmp")):
            os.makedirs(directory, mode=0o700)
        if self._match.get("token"):
            self.token.keep(self._match["token"])
        for entry in self._match.get("inputs") or []:
            self._fetch(entry, os.path.join(self._root, "input"))

    def _fetch(self, entry: Dict[str, Any], archive: str) -> None:
        patience = transfer.Patience(PATIENCE, self._stop.hurry)
        size = None if entry.get("size") is None else int(entry["size"])
        try:
            transfer.download(self._place.gateway, entry["url"], archive, entry["sha256"], size, patience)
            sandbox.unpack(archive, self._work, (free_disk(self._root) - RESERVE_MB) * MIB)
        except TooLarge as error:
            raise Failed("disk-full", detail=str(error))
        except (transfer.Wrong, Away, Refused, sandbox.Unsafe, Unreadable) as error:
            reason = type(error).__name__.lower()
            raise Failed("sandbox-download", reason=reason, detail=str(error), pfn=entry.get("pfn"))
        finally:
            for name in ("", ".plain"):
                if os.path.exists(archive + name):
                    os.unlink(archive + name)

    def _fetch_data(self) -> None:
        if not self._description.get("input_data"):
            return
        self._report("progress", minor="Downloading Input Data")
        try:
            self._data().fetch(transfer.Patience(PATIENCE, self._stop.hurry))
        except (Unfetched, Away, Refused) as error:
            raise Failed(self._stop.code or "input-download", detail=str(error))

    def _store_data(self, exit_code: int, output: Optional[str]) -> List[str]:
        """Requests that are still to be done before the outputs are where they belong."""
        fields = {"exit_code": exit_code, "output": output}
        try:
            return self._data().store(transfer.Patience(PATIENCE, self._stop.hurry))
        except Unmade as error:
            raise Failed("output-missing", detail=str(error), **fields)
        except Refused as error:
            raise Failed(self._stop.code or "output-refused", detail=str(error), **fields)
        except Away as error:
            raise Failed(self._stop.code or "output-upload", detail=str(error), **fields)

    def _data(self) -> Data:
        return Data(self._place.gateway, self.token, self._description, self._work)

    def _execute(self) -> int:
        if self._stop.code:
            raise Failed(self._stop.code)
        self._output = launch.output(self._description, self._work)
        try:
            words = launch.command(self._description, self._work)
            process = launch.start(words, self._environment(), self._work, self._output)
        except launch.Missing as error:
            raise Failed("executable-missing", detail=str(error))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise Failed("executable-missing", detail=str(error))
        self._dog = Watchdog(process.pid, self._root, self._limits(), self._place.table)
        self._note(process.pid)
        interval = min(5.0, self._place.gateway.heartbeat / 3)
        return Vigil(self._dog, self._stop, interval, self._place.grace).wait(process)

    def _note(self, pid: int) -> None:
        """For who starts again after us, to end what we left running."""
        known = process_of(pid)
        born, host = known.born if known else 0, socket.gethostname()
        self._place.outbox.note(self.job, self.attempt, group=pid, born=born, host=host)

    def _conclude(self, status: int) -> None:
        killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        exit_code = os.WEXITSTATUS(status) if killed_by is None else 128 + killed_by
        verdict = self._stop.code or self._judge(exit_code)
        if self._stop.code is None:
            self._report("completing", exit_code=exit_code)
        pfn, missing = (None, []) if verdict == "pilot-stopped" else self._keep_output(must=verdict is None)
        if verdict is None:
            pending = self._store_data(exit_code, pfn) if self._description.get("output_data") else []
            ended = {"exit_code": exit_code, "output": pfn, "missing": missing}  # type: Dict[str, Any]
            if pending:
                self._report("pending", pending=pending, **dict(ended, **self._used()))
            else:
                self._report("done", **dict(ended, **self._used()))
            return
        fields = {"signal": killed_by} if killed_by else {}
        self._fail(verdict, exit_code=exit_code, output=pfn, missing=missing, **fields)

    def _judge(self, exit_code: int) -> Optional[str]:
        if exit_code and self._dog and self._dog.disk_is_full():
            return "disk-full"
        return "exit-code" if exit_code else None

    def _keep_output(self, must: bool) -> Tuple[Optional[str], List[str]]:
        """Name of the stored output sandbox, and the patterns without a file. A failed job may lose its output."""
        archive = os.path.join(self._root, "output")
        try:
            missing = sandbox.pack(self._work, self._description.get("output_sandbox") or [], self._output, archive)
            return self._store(archive), missing
        except (OSError, Away, Refused) as error:
            if not must:
                say("output-lost", job=self.job, attempt=self.attempt, detail=error)
                return None, []
            if isinstance(error, OSError):
                raise
            raise Failed(self._stop.code or "sandbox-upload", exit_code=0, detail=str(error), output=None)

    def _store(self, archive: str) -> str:
        end = time.monotonic() + PATIENCE
        request = {"job": self.job, "attempt": self.attempt, "checksum_algorithm": "sha256", "format": "tar.bz2"}
        request.update(checksum=transfer.digest(archive), size=os.path.getsize(archive))
        while True:
            answer = self._place.gateway.insist("sandbox", request, end - time.monotonic(), self._stop.hurry)
            if not answer.get("url"):
                return str(answer["pfn"])
            try:
                patience = transfer.Patience(ADDRESS, self._stop.hurry)
                transfer.upload(self._place.gateway, answer["url"], answer.get("fields") or {}, archive, patience)
                return str(answer["pfn"])
            except Away:
                if time.monotonic() > end or self._stop.hurry.is_set():
                    raise

    def _limits(self) -> Limits:
        asked = self._description.get
        cpu = float(asked("cpu_time") or 0) * MARGIN * self.processors / self._place.cpu_power
        wall = min(LONGEST, self._place.slot_end - time.monotonic())
        return Limits(asked("max_ram_mb"), None if asked("disable_cpu_check") else cpu, wall, self._disk_mb)

    def _environment(self) -> Dict[str, str]:
        ours = {
            "JOBID": str(self.job),
            "SPINOR_JOB": str(self.job),
            "SPINOR_ATTEMPT": str(self.attempt),
            "SPINOR_VO": self._place.vo,
            "SPINOR_SITE": self._place.site,
            "SPINOR_PROCESSORS": str(self.processors),
            "TMPDIR": os.path.join(self._root, "tmp"),
            "SPINOR_URL": self._place.gateway.url,
        }
        if os.path.exists(self.token.path):
            ours["SPINOR_JOB_TOKEN_FILE"] = self.token.path
        return launch.environment(self._description, ours, self._place.gateway.holds)

    def _used(self) -> Dict[str, float]:
        usage = self._dog.usage if self._dog else None
        names = {"cpu_seconds": "cpu", "wall_seconds": "wall", "max_rss_mb": "max_rss_mb"}
        return {name: round(getattr(usage, field, 0.0), 2) for name, field in names.items()}

    def _fail(self, code: str, **fields: object) -> None:
        self._report("failed", code=code, **dict(self._used(), **fields))

    def _report(self, kind: str, **fields: object) -> None:
        if self._place.outbox.add(self.job, self.attempt, kind, **fields):
            say("report", job=self.job, attempt=self.attempt, kind=kind, **fields)
