"""Tables fit, pipes get everything, and no text of a stranger reaches the terminal as a command."""

import io
import json
from typing import Any

import pytest
from rich.cells import cell_len

from gateway.cli.jobs import COLUMNS
from gateway.cli.output import Column, facts, note, table
from gateway.cli.text import ago, clean, duration, moment, shown, to_json

ROW = {"job": 1234567, "name": "a-very-long-name-" * 6, "status": "Waiting", "minor_status": "Pilot Agent Submission",
       "site": "LCG.CERN.cern", "owner_name": "alice", "job_type": "User", "attempt": 1, "updated_at": ""}  # fmt: skip
HOSTILE = {
    "\x1b[31mred\x1b[0m": "red",
    "\x1b]0;owned\x07title": "title",
    "\x1b]52;c;ZWNobw==\x1b\\clip": "clip",
    "a\x9b2Jb": "ab",
    "line\nnext\r\tend": "line next  end",
    "bell\x07\x00": "bell",
    "\u202egnp.exe": "gnp.exe",
    "zero\u200bwidth": "zerowidth",
    "half\x1b": "half",
    "lone\ud800": "lone",
    "[bold]x[/bold]": "[bold]x[/bold]",
    "Z→µ⁺µ⁻ 東京": "Z→µ⁺µ⁻ 東京",
}


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("given", "expected"), HOSTILE.items())
def test_what_a_terminal_would_obey_is_taken_out(given: str, expected: str) -> None:
    assert clean(given) == expected


@pytest.mark.parametrize("given", HOSTILE)
def test_json_keeps_every_character_but_shows_none_that_a_terminal_obeys(given: str) -> None:
    text = to_json({"name": given})
    assert json.loads(text) == {"name": given}
    assert text.isprintable()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_table_is_never_wider_than_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    file = io.StringIO()
    table([ROW, ROW | {"name": "東京" * 40}], COLUMNS, file)
    lines = file.getvalue().splitlines()
    assert len(lines) == 3
    assert max(map(cell_len, lines)) <= width
    assert all("1234567" in line and "Waiting" in line for line in lines[1:])


def test_columns_of_less_importance_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    titles = {}
    for width in (60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        file = io.StringIO()
        table([ROW], COLUMNS, file)
        titles[width] = file.getvalue().splitlines()[0].split()
    assert set(titles[60]) < set(titles[80]) < set(titles[200])
    assert {"job", "name", "status"} <= set(titles[60])


def test_a_pipe_gets_whole_values() -> None:
    file = io.StringIO()
    table([ROW], COLUMNS, file)
    assert ROW["name"] in file.getvalue()
    assert "\x1b" not in file.getvalue()


def test_a_sentence_is_folded_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    file = io.StringIO()
    table([{"n": 1, "what": "word " * 30}], [Column("n"), Column("what", wrap=True)], file)
    lines = file.getvalue().splitlines()
    assert file.getvalue().count("word") == 30
    assert max(map(len, lines)) <= 40


def test_markup_in_values_is_shown_as_it_is() -> None:
    file = Terminal()
    table([{"name": "[bold red]x[/]", "status": "[link=http://x]"}], [Column("name"), Column("status")], file)
    assert "[bold red]x[/]" in file.getvalue()
    assert "[link=http://x]" in file.getvalue()


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_only_where_they_are_wanted(no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm-256color")
    file = Terminal()
    table([{"status": "Failed"}], [Column("status")], file)
    assert ("\x1b[31m" in file.getvalue()) is coloured


def test_facts_leave_out_what_is_empty_and_clean_what_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    facts({"job": 1, "site": "", "ce": None, "name": "[b]\x1b[2J", "weird\x1b[1m": "x"}, {"job": "job"})
    assert capsys.readouterr().out.splitlines() == ["job    1", "name   [b]", "weird  x"]


def test_notes_go_to_stderr_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    note("a\nb", "[red]c")
    assert capsys.readouterr() == ("", "a b [red]c\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (1.5, "1.5"), (["a", "b"], "a, b"), ({"a": [1]}, '{"a": [1]}'),
     ({"a": 1, "b": True}, "a=1  b=yes"),
     (10**20, "1" + "0" * 20), ("2026-13-99T99:99", "2026-13-99T99:99")],
)  # fmt: skip
def test_values_are_shown_as_people_read_them(value: Any, text: str) -> None:
    assert shown(value) == text


def test_lengths_of_time_have_one_unit() -> None:
    assert [duration(seconds) for seconds in (-1, 59, 60, 7199, 7200, 200_000)] == [
        "0 s", "59 s", "1 min", "1 h", "2 h", "2 d",
    ]  # fmt: skip
    assert ago(None) == ago("nonsense") == ""
    assert moment("nonsense\x1b[1m") == "nonsense"
