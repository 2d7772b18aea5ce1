"""Reports that must arrive: kept on disk in order, one journal a (job, attempt), until the gateway has answered each.

A journal survives the end of the pilot: who starts again in the same directory delivers what is left, and learns which
jobs were begun and never ended. If the disk is full, reports live on in memory and still go out.
"""

import json
import os
import threading
from typing import Any, Dict, Iterable, List, Optional, Tuple

from pilot.log import now, say

FINAL = ("done", "failed")
Key = Tuple[int, int]
Report = Dict[str, Any]


class Journal:
    """The reports of one (job, attempt), numbered from 1."""

    def __init__(self) -> None:
        self.facts: Dict[str, Any] = {}
        self.pending: List[Report] = []
        self.last = 0
        self.ended = False
        self.refused: Optional[str] = None  # the code of the first report that was not accepted


class Outbox:
    """All journals in one directory. Safe to use from several threads."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._answered = threading.Condition(self._lock)
        self._journals: Dict[Key, Journal] = {}
        os.makedirs(directory, mode=0o700, exist_ok=True)
        for name in sorted(os.listdir(directory)):
            job, dash, attempt = name.partition("-")
            if dash and job.isdigit() and attempt.isdigit():
                self._journals[int(job), int(attempt)] = _read(os.path.join(directory, name))

    def begin(self, job: int, attempt: int) -> bool:
        """Note that we took this attempt; False if we had it already."""
        with self._lock:
            if (job, attempt) in self._journals:
                return False
            self._journals[job, attempt] = Journal()
            self._write(job, attempt, {"begun": now()})
            return True

    def note(self, job: int, attempt: int, **facts: object) -> None:
        """Facts for who starts again after us; never sent."""
        with self._lock:
            self._journals[job, attempt].facts.update(facts)
            self._write(job, attempt, {"facts": facts})

    def add(self, job: int, attempt: int, kind: str, **fields: object) -> bool:
        """A report to deliver; False (and nothing happens) once the final one is written."""
        with self._lock:
            journal = self._journals[job, attempt]
            if journal.ended:
                return False
            journal.last += 1
            report = dict(fields, job=job, attempt=attempt, seq=journal.last, at=now(), kind=kind)
            journal.pending.append(report)
            journal.ended = kind in FINAL
            self._write(job, attempt, {"report": report})
            return True

    def pending(self, limit: int = 100) -> List[Report]:
        """What to send next, in order within each (job, attempt)."""
        with self._lock:
            return [report for key in sorted(self._journals) for report in self._journals[key].pending][:limit]

    def settle(self, answered: Iterable[Tuple[int, int, int]]) -> None:
        """The gateway has answered these (job, attempt, seq): they are not sent again."""
        with self._lock:
            done = set(answered)
            for job, attempt in {(job, attempt) for job, attempt, _ in done}:
                journal = self._journals.get((job, attempt))
                if journal is not None:
                    self._settle(job, attempt, journal, done)
            self._answered.notify_all()

    def refuse(self, job: int, attempt: int, seq: int, code: str) -> None:
        """The gateway did not accept a report; it is settled all the same."""
        with self._lock:
            journal = self._journals.get((job, attempt))
            if journal is not None:
                journal.refused = journal.refused or code
        self.settle([(job, attempt, seq)])

    def open(self, job: int, attempt: int, seconds: float) -> bool:
        """Whether a report of this attempt has no answer yet, after waiting for one for so long."""
        with self._lock:
            self._answered.wait_for(lambda: not self._journals[job, attempt].pending, seconds)
            return bool(self._journals[job, attempt].pending)

    def refused(self, job: int, attempt: int) -> Optional[str]:
        """Why a report of this attempt was not accepted."""
        with self._lock:
            return self._journals[job, attempt].refused

    def unfinished(self) -> Dict[Key, Dict[str, Any]]:
        """The attempts that were begun and have no final report, with their facts."""
        with self._lock:
            return {key: dict(journal.facts) for key, journal in self._journals.items() if not journal.ended}

    def empty(self) -> bool:
        """Whether everything that was written has been answered."""
        with self._lock:
            return not any(journal.pending for journal in self._journals.values())

    def _settle(self, job: int, attempt: int, journal: Journal, done: Iterable[Tuple[int, int, int]]) -> None:
        gone = [r for r in journal.pending if (job, attempt, r["seq"]) in done]
        journal.pending = [report for report in journal.pending if report not in gone]
        if journal.ended and not journal.pending:
            self._replace(job, attempt, {"ended": journal.last})
        elif gone:
            self._write(job, attempt, {"answered": [report["seq"] for report in gone]})

    def _write(self, job: int, attempt: int, line: Dict[str, Any]) -> None:
        try:
            _append(self._path(job, attempt), line)
        except OSError as error:
            say("outbox-not-written", job=job, attempt=attempt, detail=error)

    def _replace(self, job: int, attempt: int, line: Dict[str, Any]) -> None:
        path = self._path(job, attempt)
        try:
            _append(path + ".new", line)
            os.replace(path + ".new", path)
        except OSError as error:
            say("outbox-not-written", job=job, attempt=attempt, detail=error)

    def _path(self, job: int, attempt: int) -> str:
        return os.path.join(self._directory, "{}-{}".format(job, attempt))


def _append(path: str, line: Dict[str, Any]) -> None:
    """One line, safe on disk; it begins with a line end because the last one may have been cut off half written."""
    with open(path, "a") as file:
        file.write("\n" + json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _read(path: str) -> Journal:
    journal = Journal()
    reports: Dict[int, Report] = {}
    with open(path) as file:
        lines = [line for line in map(_line, file) if line is not None]
    for line in lines:
        journal.facts.update(line.get("facts", {}))
        journal.ended = journal.ended or "ended" in line
        if "report" in line:
            reports[line["report"]["seq"]] = line["report"]
            journal.ended = journal.ended or line["report"]["kind"] in FINAL
        for seq in line.get("answered", []):
            reports.get(seq, {})["answered"] = True
    journal.last = max(reports, default=0)
    journal.pending = [reports[seq] for seq in sorted(reports) if "answered" not in reports[seq]]
    return journal


def _line(text: str) -> Optional[Dict[str, Any]]:
    """One line, or None if it was being written when the machine died."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
