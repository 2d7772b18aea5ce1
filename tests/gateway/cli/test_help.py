"""The command line as somebody meets it who knows nothing: help, wrong usage, no gateway."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from servers import ports

from domain.errors import Code, Refused
from gateway.cli.ids import state
from gateway.cli.main import application, fail
from gateway.cli.output import asked


def commands(group: Any = None, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    group = group or typer.main.get_command(application())
    for each, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*name, each))
        else:
            yield (*name, each), command


@pytest.mark.parametrize("name", [" ".join(name) for name, _ in commands()])
def test_every_command_has_help_with_an_example_and_json(alone: Any, name: str) -> None:
    result = alone(*name.split(), "--help")
    assert result.exit_code == 0
    assert f"spinor {name}" in result.stdout[result.stdout.index("Example: ") :]
    assert "--json" in result.stdout


def test_the_help_names_the_exit_codes(alone: Any) -> None:
    assert "0 done, 1 refused, 2 wrong usage, 3 some of many failed" in alone("--help").stdout


@pytest.mark.parametrize(
    "arguments", [["jobs"], ["job", "list", "--colour"], ["job", "show"], ["job", "list", "-n", "x"]]
)
def test_wrong_usage_is_exit_code_2(alone: Any, arguments: list[str]) -> None:
    result = alone(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize("arguments", [["jobs"], ["--colour"], ["job", "show"], ["job", "show", "x"]])
def test_wrong_usage_is_json_when_json_was_asked_for(alone: Any, arguments: list[str]) -> None:
    result = alone(*arguments, "--json")
    told = json.loads(result.stderr)
    assert (result.exit_code, told["code"], told["who"]) == (2, "usage", "user")
    assert told["next"].startswith("spinor") and told["next"].endswith(" --help")


def test_every_command_stands_under_a_title(alone: Any) -> None:
    told = alone("--help").stdout
    titles = {"Jobs and pilots": "job", "To begin": "status", "To operate": "dead-letters"}
    for title, command in titles.items():
        assert f"  {command} " in told[told.index(f"{title}:") :].split("\n\n")[0]
    assert "More:" not in told


@pytest.mark.parametrize("arguments", [["--json", "job", "list"], ["job", "--json", "list"], ["job", "list", "--json"]])
def test_json_may_stand_anywhere(alone: Any, arguments: list[str]) -> None:
    told = json.loads(alone(*arguments).stderr)
    assert (told["code"], told["next"]) == ("no-installation", "spinor up, or set SPINOR_URL and SPINOR_TOKEN")


def test_a_gateway_that_is_not_there_is_told_without_a_traceback(alone: Any) -> None:
    url = f"http://127.0.0.1:{ports(1)[0]}"
    for command in (["job", "list"], ["log", "tail"], ["job", "kill", 1, 2]):
        result = alone(*command, SPINOR_URL=url)
        assert (result.exit_code, result.stdout) == (1, "")
        what, who, next_ = result.stderr.splitlines()
        assert what == f"error: the gateway does not answer at {url} (Connection refused)"
        assert (who, next_) == ("  who:  you", "  next: spinor up")


def test_a_refusal_is_three_clean_lines(capsys: pytest.CaptureFixture[str]) -> None:
    asked.json = False
    with pytest.raises(SystemExit) as end:
        fail(Refused(Code.NOT_FOUND, thing="[red]\x1b[2J", name="a\nb"))
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: there is no [red] a b\n  who:  you\n  next: spinor status\n"


def test_a_closed_pipe_ends_quietly() -> None:
    """As in `spinor --help | true`: a real process, whose stdout nobody reads."""
    program = "from gateway.cli.main import application; application()(prog_name='spinor')"
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-c", program, "--help"], check=False, stdout=closed, stderr=subprocess.PIPE
        )
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("group", ["job", "pilot"])
def test_a_state_that_does_not_exist_is_wrong_usage_and_not_an_empty_list(alone: Any, group: str) -> None:
    result = alone(group, "list", "--status", "Finished")
    assert result.exit_code == 2
    assert "there is no state 'Finished'; there are: " in result.stderr
    assert "Running" in result.stderr


def test_a_state_is_known_in_whatever_case() -> None:
    assert [state(given, ("", "Failed")) for given in ("", "failed", "FAILED", "Failed")] == ["", *["Failed"] * 3]


def test_the_schema_of_a_description_is_printed_without_any_gateway(alone: Any) -> None:
    schema = json.loads(alone("job", "schema").stdout)
    assert schema["title"] == "Job description"
    assert json.loads(alone("job", "schema", "--json").stdout) == schema
