"""The command as a process: it says what it means in every character set, and a fault is a sentence and a file."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from domain.errors import Code
from gateway.cli.main import unexpected
from infra.cli import app

PROGRAM = "from infra.entry import main; main()"


def spinor(*arguments: str, program: str = PROGRAM, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPINOR_")}
    return subprocess.run([sys.executable, "-c", program, *arguments], check=False, capture_output=True,
                          env=environment | variables)  # fmt: skip


@pytest.mark.parametrize(("encoding", "sign"), [("ascii", "..."), ("latin-1", "..."), ("utf-8", "…")])
def test_what_is_printed_is_spelled_as_the_character_set_allows(encoding: str, sign: str) -> None:
    done = spinor("settings", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"postgresql://{sign} of a server" in done.stdout.decode(encoding)


PARTS = {"gateway", "dispatch", "consume", "project", "relay", "match", "timers"}
COMMANDS: Any = typer.main.get_command(app)
GROUPS = {name for name, command in COMMANDS.commands.items() if hasattr(command, "commands")}


@pytest.mark.parametrize("name", sorted(COMMANDS.commands.keys() - GROUPS))
def test_every_command_has_an_example_and_json_unless_it_is_a_part(name: str) -> None:
    command = COMMANDS.commands[name]
    assert f"Example: spinor {name}" in command.help
    assert ("json" in {option.name for option in command.params}) is (name not in PARTS)
    assert len(command.help.splitlines()[0]) <= 62, "the list of commands would cut it"


@pytest.mark.parametrize(
    "arguments", [["settings"], ["reset"], ["migrate"], ["rebuild", "jobs"], ["verify"], ["lost"], ["restored"]]
)
def test_what_operators_ask_is_one_json_document(arguments: list[str], database: str, tmp_path: Path) -> None:
    away = {} if arguments == ["reset"] else {"SPINOR_DATABASE": database}
    done = spinor(*arguments, "--json", SPINOR_DATA=str(tmp_path / "data"), **away)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)


def test_the_version_is_told() -> None:
    assert re.match(rb"spinor \d+\.\d+\.\d+, Python 3\.\d+", spinor("--version").stdout)


def test_a_package_that_is_missing_is_told_with_what_to_do() -> None:
    done = spinor("status", program=f"import sys; sys.modules['typer'] = None; {PROGRAM}")
    assert done.returncode == 1
    assert b"error: the package typer is missing\n  who:  you\n  next: pip install" in done.stderr


def test_a_fault_that_nobody_foresaw_is_three_lines_and_a_file(tmp_path: Path) -> None:
    broken = f"import infra.admin; del infra.admin.show; {PROGRAM}"
    done = spinor("settings", "--json", program=broken, TMPDIR=str(tmp_path))
    told = json.loads(done.stderr)
    assert (done.returncode, told["code"], told["who"]) == (1, "fault", "operator")
    assert "AttributeError" in told["detail"]
    (file,) = tmp_path.glob("spinor-fault-*.txt")
    assert str(file) in told["next"]
    assert "Traceback" in file.read_text()


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as fault:
        (tmp_path / "file" / "below").mkdir()
    refusal = unexpected(fault.value)
    assert (refusal.code, refusal.what) == (Code.FILE, f"{tmp_path}/file/below: Not a directory")


@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--json"]])
def test_the_settings_show_no_password(arguments: list[str]) -> None:
    given = {"SPINOR_DATABASE": "postgresql://me:geheim:1@x@db.example.org/spinor", "SPINOR_BUS": "amqp://u:geheim@mq/",
             "SPINOR_OBJECTS_SECRET": "geheim", "SPINOR_SECRET": "geheim" * 9}  # fmt: skip
    done = spinor(*arguments, **given)
    assert done.returncode == 0
    assert b"geheim" not in done.stdout + done.stderr
    assert b"me:" in done.stdout


def test_commands_of_users_do_not_read_the_servers_parts() -> None:
    heavy = ["fastapi", "sqlalchemy", "faststream", "aio_pika", "minio", "asyncpg", "domain.schema", "gateway.app"]
    done = spinor(program=f"import sys, infra.cli; print([name for name in {heavy} if name in sys.modules])")
    assert done.stdout.strip() == b"[]", done.stderr
