"""Reports survive on disk, in order, and leave once."""

from pathlib import Path

import pytest

from pilot import outbox
from pilot.outbox import Outbox


def seqs(box: Outbox) -> list[tuple[int, int, int, str]]:
    return [(report["job"], report["attempt"], report["seq"], report["kind"]) for report in box.pending()]


def test_reports_are_numbered_and_kept_in_order(tmp_path: Path) -> None:
    box = Outbox(str(tmp_path))
    assert box.begin(1, 1) and box.begin(2, 1)
    box.add(1, 1, "started", pid=5)
    box.add(2, 1, "started")
    box.add(1, 1, "done")
    assert seqs(box) == [(1, 1, 1, "started"), (1, 1, 2, "done"), (2, 1, 1, "started")]
    assert box.pending()[0]["pid"] == 5 and box.pending()[0]["at"].endswith("Z")
    assert seqs(box)[:2] == [(r["job"], r["attempt"], r["seq"], r["kind"]) for r in box.pending(2)]


def test_an_attempt_begins_once(tmp_path: Path) -> None:
    box = Outbox(str(tmp_path))
    assert box.begin(1, 1)
    assert not box.begin(1, 1)
    assert box.begin(1, 2)
    assert not Outbox(str(tmp_path)).begin(1, 2)


def test_what_was_answered_is_not_sent_again_also_after_a_restart(tmp_path: Path) -> None:
    box = Outbox(str(tmp_path))
    box.begin(1, 1)
    box.add(1, 1, "started")
    box.add(1, 1, "completing")
    box.settle([(1, 1, 1), (9, 9, 9)])
    again = Outbox(str(tmp_path))
    assert seqs(again) == [(1, 1, 2, "completing")] and not again.empty()
    again.add(1, 1, "done")
    assert seqs(again)[-1] == (1, 1, 3, "done")
    again.settle([(1, 1, 2), (1, 1, 3)])
    assert again.empty() and Outbox(str(tmp_path)).empty()


def test_the_final_report_is_the_last(tmp_path: Path) -> None:
    box = Outbox(str(tmp_path))
    box.begin(1, 1)
    assert box.add(1, 1, "failed", code="killed")
    assert not box.add(1, 1, "done")
    assert not Outbox(str(tmp_path)).add(1, 1, "done")
    assert len(box.pending()) == 1


def test_who_starts_again_learns_what_was_left_unfinished(tmp_path: Path) -> None:
    box = Outbox(str(tmp_path))
    for job in (1, 2, 3):
        box.begin(job, 1)
    box.note(1, 1, group=77)
    box.add(2, 1, "done")
    box.add(3, 1, "done")
    box.settle([(3, 1, 1)])
    assert Outbox(str(tmp_path)).unfinished() == {(1, 1): {"group": 77}}
    assert not Outbox(str(tmp_path)).begin(3, 1)


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_that_was_cut_off_costs_only_itself(tmp_path: Path, cut: int) -> None:
    box = Outbox(str(tmp_path))
    box.begin(1, 1)
    box.add(1, 1, "started")
    box.add(1, 1, "completing")
    journal = tmp_path / "1-1"
    journal.write_bytes(journal.read_bytes().rstrip()[:-cut])
    again = Outbox(str(tmp_path))
    assert seqs(again) == [(1, 1, 1, "started")]
    again.add(1, 1, "done")
    assert seqs(Outbox(str(tmp_path))) == [(1, 1, 1, "started"), (1, 1, 2, "done")]


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("README", "1-1.new", "x-1"):
        (tmp_path / name).write_text("?")
    assert Outbox(str(tmp_path)).empty()


def test_a_full_disk_does_not_hold_reports_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Outbox(str(tmp_path))
    box.begin(1, 1)

    def full(path: str, line: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outbox, "_append", full)
    assert box.add(1, 1, "failed", code="disk-full")
    assert seqs(box) == [(1, 1, 1, "failed")]
    box.settle([(1, 1, 1)])
    assert box.empty()
