"""Trouble that lasts does not fill the log."""

from typing import Any

import pytest

from infra import complaints
from infra.complaints import Complaint


class Log:
    def __init__(self) -> None:
        self.said: list[tuple[str, str, dict[str, Any]]] = []

    def warning(self, what: str, **fields: Any) -> None:
        self.said.append(("warning", what, fields))

    def info(self, what: str, **fields: Any) -> None:
        self.said.append(("info", what, fields))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(complaints.time, "monotonic", lambda: now[0])
    return now


def test_it_is_told_at_once_and_then_at_growing_intervals(clock: list[float]) -> None:
    log = Log()
    complaint, told = Complaint(log, "relay pauses"), []
    for second in range(3600):
        clock[0] = 1000.0 + second
        before = len(log.said)
        complaint.about(OSError("away"), log="jobs")
        if len(log.said) > before:
            told.append(second)
    assert told == [0, 10, 30, 70, 150, 310, 630, 1230, 1830, 2430, 3030]
    assert log.said[1] == ("warning", "relay pauses", {"reason": "away", "times": 11, "log": "jobs"})


def test_the_end_is_told_once_and_new_trouble_at_once(clock: list[float]) -> None:
    log = Log()
    complaint = Complaint(log, "relay pauses")
    complaint.over()
    complaint.about(OSError())
    clock[0] += 7
    complaint.over(log="jobs")
    complaint.over()
    complaint.about(OSError())
    assert [(level, what) for level, what, _ in log.said] == [
        ("warning", "relay pauses"), ("info", "relay pauses: over"), ("warning", "relay pauses")
    ]  # fmt: skip
    assert log.said[1][2] == {"seconds": 7.0, "times": 1, "log": "jobs"}
