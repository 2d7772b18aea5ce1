"""Descriptions in files: every language, every way to be wrong, and which files they bring along."""

import io
import sys
from pathlib import Path

import pytest

from gateway.cli.sources import Wrong, located, read, sandbox_names, with_sandbox
from gateway.cli.upload import local_files

JDL = '[ JobName = "a"; Executable = "run.sh"; InputSandbox = {"run.sh"}; ]'
JSON = '{"name": "a", "executable": "run.sh", "input_sandbox": ["run.sh"]}'
YAML = "name: a\nexecutable: run.sh\ninput_sandbox:\n  - run.sh\n"


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize(
    ("name", "text", "jobs"),
    [
        ("a.jdl", JDL, 1),
        ("a.json", JSON, 1),
        ("a.yaml", YAML, 1),
        ("jdl", JDL, 1),
        ("json", JSON, 1),
        ("yaml", "# a comment\n" + YAML, 1),
        ("yaml", "---\n" + YAML, 1),
        ("a.txt", 'Executable = "x";', 1),
        ("list.json", f"[{JSON}, {JSON}]", 2),
        ("body.json", f'{{"jobs": [{JSON}]}}', 1),
        ("two.yml", f"{YAML}---\n{YAML}", 2),
        ("list.yaml", "- executable: a\n- executable: b\n", 2),
        ("texts.json", '["Executable = \\"x\\";"]', 1),
    ],
)
def test_every_language_is_understood(tmp_path: Path, name: str, text: str, jobs: int) -> None:
    found = read(written(tmp_path, name, text))
    assert len(found) == jobs
    assert all(each.file == str(tmp_path / name) for each in found)


@pytest.mark.parametrize(
    ("name", "text", "field", "problem"),
    [
        ("a.jdl", 'Executable = "x"\nJobName = "y";', "line 2, column 1", "expected"),
        ("a.json", '{"a": }', "", "line 1 column 7"),
        ("a.json", "[]", "", "there is no job"),
        ("a.json", "3", "", "set of named attributes"),
        ("a.yaml", "a: [1\nb: 2", "", "line 2"),
        ("a.yaml", "1: 2", "", "set of named attributes"),
        ("a.jdl", "", "line 1, column 1", "expected"),
        ("deep.json", "[" * 100_000, "", ""),
    ],
)
def test_what_cannot_be_read_says_where(tmp_path: Path, name: str, text: str, field: str, problem: str) -> None:
    with pytest.raises(Wrong) as wrong:
        read(written(tmp_path, name, text))
    (found,) = wrong.value.problems
    assert (found.file, found.job, found.field) == (str(tmp_path / name), 1, field)
    assert problem in found.problem
    assert "\n" not in found.problem


@pytest.mark.parametrize("name", ["missing.jdl", ""])
def test_a_file_that_cannot_be_opened_is_a_problem_of_that_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(Wrong) as wrong:
        read(str(tmp_path / name))
    assert wrong.value.problems[0].problem in ("No such file or directory", "Is a directory")


def test_bytes_that_are_no_text_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.jdl").write_bytes(b"\xff\xfe")
    with pytest.raises(Wrong):
        read(str(tmp_path / "a.jdl"))


def test_a_description_comes_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(JDL))
    assert read("-")[0].file == "stdin"


def test_a_place_in_the_request_is_found_again_in_its_file(tmp_path: Path) -> None:
    many = written(tmp_path, "many.json", '[{"executable": "a", "Parameters": 3}, {"executable": "b"}]')
    one = written(tmp_path, "one.jdl", JDL)
    every = read(many) + read(one)
    assert [each.jobs for each in every] == [3, 1, 1]
    assert [located(every, index) for index in range(5)] == [(many, 1), (many, 2), (many, 3), (many, 4), (one, 1)]


def test_the_sandbox_of_a_parametric_description_has_the_files_of_every_job(tmp_path: Path) -> None:
    text = 'Executable = "x"; Parameters.seed = {1, 2}; inputsandbox = "run.sh, conf-%(seed)s.json, LFN:/v/a, SB:x";'
    for name in ("run.sh", "conf-1.json", "conf-2.json"):
        written(tmp_path, name, name)
    (described,) = read(written(tmp_path, "a.jdl", text))
    assert sandbox_names(described) == ["run.sh", "conf-1.json", "LFN:/v/a", "SB:x", "conf-2.json"]
    assert [path.name for path in local_files(described)] == ["run.sh", "conf-1.json", "conf-2.json"]
    assert with_sandbox(described, ["SB:y"]).attributes["InputSandbox"] == ["SB:y"]


def test_files_lie_beside_the_description_or_where_the_command_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (described,) = read(written(tmp_path / "there", "a.jdl", JDL))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Wrong) as wrong:
        local_files(described)
    assert wrong.value.problems[0].field == "InputSandbox"
    written(tmp_path, "run.sh", "here")
    assert local_files(described) == [Path("run.sh")]
    written(tmp_path / "there", "run.sh", "there")
    assert local_files(described) == [tmp_path / "there" / "run.sh"]


@pytest.mark.parametrize("number", ["1e400", "NaN", "-Infinity"])
def test_a_number_that_json_does_not_have_is_told_as_a_problem(tmp_path: Path, number: str) -> None:
    (tmp_path / "job.json").write_text(f'{{"executable": "/bin/true", "cpu_time": {number}}}')
    with pytest.raises(Wrong) as wrong:
        read(str(tmp_path / "job.json"))
    assert "float" in wrong.value.problems[0].problem
