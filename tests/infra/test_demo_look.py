"""The demonstration fits every terminal, and its advice can be typed as it stands."""

import io
import os
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from gateway.cli.history import story
from gateway.cli.output import called
from infra.demo.telling import advice, squeezed
from infra.laptop import elsewhere
from infra.settings import Settings

LINE = {"at": "2026-11-21T10:28:23.415123+00:00", "actor": "policy scheduling", "what": "the job waits " * 9,
        "because": "policy scheduling, after job submitted"}  # fmt: skip


def test_bars_keep_their_proportions_where_the_terminal_is_narrow() -> None:
    drawn = "mass\n   90.0  200 " + "█" * 60 + "\n   91.0  100 " + "█" * 30 + "\n   92.0   25 " + "█" * 7 + "▌"
    assert squeezed(drawn, 80) == drawn
    lines = squeezed(drawn, 44).splitlines()
    assert max(map(cell_len, lines)) <= 44
    assert [line.count("█") for line in lines] == [0, 30, 15, 3]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_history_fits_the_terminal_and_says_who_once(width: int) -> None:
    lines = [line.plain for line in story([LINE], width, fine=True)]
    assert max(map(cell_len, lines)) <= width
    told = " ".join(" ".join(lines).split())
    assert told.count("policy scheduling") == 1
    assert "└ policy scheduling, after job submitted" in told


def test_a_history_without_room_for_anything_still_tells_all() -> None:
    assert " ".join(line.plain.strip() for line in story([LINE], 1)).count("the job waits") == 9


def test_advice_names_the_command_as_it_was_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "spinor"
    program.parent.mkdir()
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert called("spinor up; Spinor is up already: spinor status") == (
        "bin/spinor up; Spinor is up already: bin/spinor status"
    )
    monkeypatch.setenv("PATH", str(program.parent))
    assert called("spinor up") == "spinor up"


@pytest.mark.parametrize(("width", "lines"), [(80, 1), (30, 2)])
def test_advice_that_does_not_fit_beside_its_command_stands_above_it(width: int, lines: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    advice(console, [("spinor history job 7", "the same timeline")])
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue().splitlines()
    assert len(told) == lines
    assert told[-1].strip().startswith("spinor history job 7")


def test_data_elsewhere_are_told_to_the_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPINOR_DATA", str(tmp_path))
    assert elsewhere(Settings(data=tmp_path)) == ""
    monkeypatch.setenv("SPINOR_DATA", os.devnull)
    assert elsewhere(Settings(data=tmp_path / "a b")) == f"export SPINOR_DATA='{tmp_path}/a b'; "
