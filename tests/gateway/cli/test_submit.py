"""Submitting over a whole system: ids come out, files travel, and what is wrong is told where it stands."""

import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

GOOD = '[ JobName = "good"; Executable = "/bin/true"; ]'
BAD = '[\n  JobName = "bad";\n  Executable = "";\n  CPUTime = 5;\n  Executible = "x";\n]'


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in {
        "good.jdl": GOOD, "bad.jdl": BAD, "run.sh": "#!/bin/sh\n", "conf-1.json": "1", "conf-2.json": "2",
        "many.jdl": 'Executable = "run.sh"; Parameters.n = {1, 2}; InputSandbox = {"run.sh", "conf-%(n)s.json"};',
        "mixed.json": '[{"executable": "a"}, {"executable": "b", "priority": 99}, {"executable": "c"}]',
        "broken.jdl": "Executable = ",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    return tmp_path


def ids(result: Any) -> list[int]:
    assert result.exit_code == 0, result.output
    return [int(line) for line in result.stdout.splitlines()]


def test_ids_come_out_one_a_line_and_the_summary_goes_to_stderr(spinor: Any, files: Path) -> None:
    result = spinor("job", "submit", "good.jdl", "mixed.json", "--partial")
    assert result.exit_code == 3
    assert len(result.stdout.split()) == 3
    assert "3 jobs submitted, 1 to correct" in result.stderr


def test_a_file_that_is_named_twice_is_submitted_once_and_that_is_told(spinor: Any, files: Path) -> None:
    result = spinor("job", "submit", "good.jdl", "good.jdl")
    assert len(ids(result)) == 1
    assert "good.jdl is named 2 times and submitted once" in result.stderr


def test_a_parametric_description_is_one_submission_with_its_files(spinor: Any, files: Path, site: Any) -> None:
    jobs = ids(spinor("job", "submit", "many.jdl"))
    assert jobs == [jobs[0], jobs[0] + 1]
    described = json.loads(spinor("job", "description", jobs[1], "--json").stdout)
    (pfn,) = described["input_sandbox"]
    headers = {"Authorization": f"Bearer {site.token_of_alice}"}
    place = httpx.get(f"{site.url}/api/jobs/sandbox", params={"pfn": pfn}, headers=headers).json()
    with tarfile.open(fileobj=BytesIO(httpx.get(place["url"]).content)) as archive:
        assert archive.getnames() == ["conf-1.json", "conf-2.json", "run.sh"]


def test_a_description_comes_in_on_stdin(spinor: Any) -> None:
    (job,) = ids(spinor("job", "submit", "-", input=GOOD))
    assert "good" in spinor("job", "show", job).stdout


def test_a_described_job_can_be_submitted_again(spinor: Any) -> None:
    (job,) = ids(spinor("job", "submit", "-", input=GOOD))
    for form in ([], ["--jdl"]):
        again = spinor("job", "description", job, *form).stdout
        (other,) = ids(spinor("job", "submit", "-", input=again))
        assert spinor("job", "description", other, *form).stdout == again


def test_everything_that_is_wrong_is_told_at_once_in_a_table(spinor: Any, files: Path) -> None:
    result = spinor("job", "submit", "good.jdl", "bad.jdl", COLUMNS="200")
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert lines[0].split() == ["file", "job", "field", "problem"]
    assert any(
        line.startswith("bad.jdl") and "Executible" in line and "did you mean Executable" in line for line in lines
    )
    assert lines[-3].startswith("error:")
    assert "nothing was submitted" in lines[-3]
    assert lines[-1].split() == ["next:", "correct", "them,", "then", "spinor", "job", "plan", "bad.jdl"]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table_of_problems_fits_and_keeps_every_word(spinor: Any, files: Path, width: int) -> None:
    result = spinor("job", "submit", "mixed.json", "bad.jdl", COLUMNS=str(width))
    table = result.stderr.splitlines()[:-3]
    assert max(map(len, table)) <= width
    assert "did you mean Executable?" in " ".join(result.stderr.split())


def test_a_wrong_job_is_found_by_its_place_in_its_file(spinor: Any, files: Path) -> None:
    result = spinor("job", "submit", "good.jdl", "mixed.json", "--json")
    told = json.loads(result.stderr)
    assert (told["code"], told["count"]) == ("descriptions", 1)
    (error,) = told["errors"]
    assert (error["file"], error["job"], error["field"]) == ("mixed.json", 2, "priority")


def test_a_file_that_cannot_be_read_stops_the_others_unless_partial(spinor: Any, files: Path) -> None:
    result = spinor("job", "submit", "good.jdl", "broken.jdl")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "line 1, column" in result.stderr
    result = spinor("job", "submit", "good.jdl", "broken.jdl", "--partial")
    assert result.exit_code == 3
    assert len(result.stdout.split()) == 1


def test_missing_input_files_are_told_before_anything_is_sent(spinor: Any, files: Path) -> None:
    (files / "run.sh").unlink()
    result = spinor("job", "submit", "many.jdl", COLUMNS="200")
    assert result.exit_code == 1
    assert "there is no file run.sh" in result.stderr


def test_json_has_the_whole_answer(spinor: Any, files: Path) -> None:
    result = spinor("--json", "job", "submit", "many.jdl", "good.jdl")
    answer = json.loads(result.stdout)
    assert [job["status"] for job in answer["jobs"]] == ["Received"] * 3
    assert answer["submission"]
    assert result.stderr == ""


def test_a_plan_says_what_would_be_submitted_and_submits_nothing(spinor: Any, files: Path) -> None:
    before = spinor("job", "list", "--ids").stdout
    result = spinor("job", "plan", "many.jdl", "good.jdl", "--json")
    told = json.loads(result.stdout)
    assert told["files"] == [
        {"file": "many.jdl", "jobs": 2, "name": "Unknown", "upload": ["run.sh", "conf-1.json", "conf-2.json"]},
        {"file": "good.jdl", "jobs": 1, "name": "good", "upload": []},
    ]
    assert (told["jobs"], sum(kind["jobs"] for kind in told["kinds"])) == (3, 3)
    assert "could not run now: no pilot offered anything" in spinor("job", "plan", "good.jdl").stdout
    assert spinor("job", "plan", "mixed.json").exit_code == 1
    assert spinor("job", "list", "--ids").stdout == before


def test_a_plan_needs_no_gateway(alone: Any, files: Path) -> None:
    assert alone("job", "plan", "good.jdl").exit_code == 0


def test_wait_and_follow_end_when_the_job_has(spinor: Any, files: Path, site: Any) -> None:
    import threading

    for job in spinor("job", "list", "--status", "Waiting", "--ids").stdout.split():
        spinor("job", "kill", job)
    worker = threading.Thread(target=lambda: site.pilot("follow").run())
    worker.start()
    result = spinor("job", "submit", "good.jdl", "--follow", "--wait")
    worker.join()
    assert result.exit_code == 0, result.output
    told = result.stdout.splitlines()
    assert "submitted the job" in told[1]
    assert "1 ended: 1 Done" in result.stderr
    assert told[0] in told[-1]
