"""`spinor config` and the commands for single things, against a running system."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from domain.values import subject
from gateway.ports import Principal

CAROL = Principal("user", subject("demo", "test", "carol"), "demo", "carol", "ops", frozenset({"CSAdministrator"}))


@pytest.fixture
def boss(site: Any) -> dict[str, str]:
    """What makes a command run as an administrator of the only VO."""
    return {"SPINOR_TOKEN": site.token(CAROL)}


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def settled(site: Any, spinor: Any, boss: dict[str, str], *args: object) -> str:
    """A command that changes something, once the gateway has the change."""
    said = done(spinor(*args, **boss))
    wanted = int(said.split()[1]) if said.startswith("revision") else 0
    while site.work.runtime.configuration.revision < wanted:
        pass
    return said


def test_what_is_shown_can_be_applied_and_says_what_options_mean(
    site: Any, spinor: Any, boss: dict[str, str], tmp_path: Path
) -> None:
    shown = done(spinor("config", "show", **boss))
    assert "# the group of those who ask for none" in shown
    file = tmp_path / "all.yml"
    file.write_text(shown)
    settled(site, spinor, boss, "config", "apply", file, "--reason", "as it was")
    assert yaml.safe_load(done(spinor("config", "show", **boss))) == yaml.safe_load(shown)


def test_a_value_is_set_read_compared_and_taken_back(site: Any, spinor: Any, boss: dict[str, str]) -> None:
    place = "/operations/demo/times/silent_for"
    settled(site, spinor, boss, "config", "set", place, "2h", "--reason", "slow sites")
    assert done(spinor("config", "get", place)).strip() == "2h"
    newest = json.loads(done(spinor("config", "history", "--json")).splitlines()[0])
    assert newest["reason"] == "slow sites"
    before = newest["revision"] - 1
    assert "silent_for" in done(spinor("config", "diff", before))
    settled(site, spinor, boss, "config", "unset", place)
    assert spinor("config", "get", place).exit_code == 1


def test_single_things_are_added_changed_listed_and_removed(site: Any, spinor: Any, boss: dict[str, str]) -> None:
    for words in (
        ("site", "add", "LCG.CERN.cern", "--set", "description=CERN"),
        ("ce", "add", "LCG.CERN.cern", "ce1.cern.ch", "--set", "type=HTCondorCE"),
        ("queue", "add", "LCG.CERN.cern", "ce1.cern.ch", "long", "--set", "max_waiting=5"),
        ("se", "add", "CERN-disk"),
        ("group", "add", "prod", "--set", "properties=NormalUser,ProductionManagement"),
        ("user", "add", "b824", "--set", "preferred_username=ann", "--set", "groups=prod"),
    ):
        settled(site, spinor, boss, *words)
    settled(site, spinor, boss, "user", "add", "b824", "--set", "suspended=true")
    assert yaml.safe_load(done(spinor("user", "show", "b824"))) == {
        "preferred_username": "ann", "groups": ["prod"], "suspended": True,
    }  # fmt: skip
    assert "LCG.CERN.cern" in done(spinor("site", "list")).split()
    assert done(spinor("ce", "list", "LCG.CERN.cern")).split() == ["ce1.cern.ch"]
    assert "long" in done(spinor("ce", "show", "LCG.CERN.cern", "ce1.cern.ch"))
    settled(site, spinor, boss, "queue", "remove", "LCG.CERN.cern", "ce1.cern.ch", "long")
    settled(site, spinor, boss, "user", "remove", "b824")
    assert spinor("user", "show", "b824").exit_code == 1
    assert spinor("user", "remove", "b824", **boss).exit_code == 1


def test_a_wrong_change_is_refused_in_words(spinor: Any, boss: dict[str, str]) -> None:
    result = spinor("group", "add", "x", "--set", "properties=NormalUsr", **boss)
    assert result.exit_code == 1 and "NormalUser" in result.stderr and "next:" in result.stderr
    result = spinor("user", "add", "s1", "--set", "preferred_username=bob", "--set", "groups=prodd", **boss)
    assert "there is no group prodd" in result.stderr
    result = spinor("config", "set", "/operatoins/demo", "{}", **boss)
    assert "did you mean operations?" in result.stderr


def test_a_user_reads_and_does_not_change(spinor: Any) -> None:
    assert "demo" in done(spinor("config", "show"))
    result = spinor("site", "add", "LCG.X.fr")
    assert result.exit_code == 1 and "CSAdministrator" in result.stderr


def test_a_file_is_looked_at_before_it_is_applied(site: Any, spinor: Any, boss: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "demo.yml"
    file.write_text("default_group: developers\ngroups:\n  developers: {properties: [NormalUser, CSAdministrator]}\n")
    seen = json.loads(done(spinor("config", "preview", file, "--section", "/registry/demo", "--json", **boss)))
    kinds = {(effect["kind"], effect["name"]) for effect in seen["effects"]}
    assert ("group-loses-property", "developers") in kinds and ("group-gone", "users") in kinds
    file.write_text("default_group: nobody\n")
    result = spinor("config", "preview", file, "--section", "/registry/demo", **boss)
    assert result.exit_code == 1 and "nobody" in result.stdout


@pytest.mark.parametrize("text", ["a: [", "- 1\n", "\x00", "{{{", "a: !!python/object:os.system {}"])
def test_files_that_are_none_are_told(spinor: Any, boss: dict[str, str], tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yml"
    file.write_text(text)
    for command in ("apply", "preview"):
        result = spinor("config", command, file, **boss)
        assert result.exit_code == 1 and "error:" in result.stderr and "Traceback" not in result.output


def test_an_editor_changes_a_section(
    site: Any, spinor: Any, boss: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/properties: .NormalUser./properties: [NormalUser, JobSharing]/' $1\n")
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    settled(site, spinor, boss, "config", "edit", "/registry/demo/groups/users", "--reason", "sharing")
    assert "JobSharing" in done(spinor("config", "get", "/registry/demo/groups/users"))


def test_the_schema_is_for_editors(spinor: Any) -> None:
    schema = json.loads(done(spinor("config", "schema")))
    assert "seconds" in schema["$defs"]["Times"]["properties"]["silent_for"]["description"]
    assert json.loads(done(spinor("config", "health", "--json")))["broken"] == {}
