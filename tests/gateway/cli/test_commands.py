"""What users do with their jobs, over a whole system."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.wait import rows_of
from gateway.cli.watch import fresh

DAY_BEFORE = "2020-01-01T00:00"
HOSTILE = "[bold]x[/bold]\x1b]0;owned\x07\x1b[31mred"


def submitted(spinor: Any, count: int = 1, **fields: Any) -> list[str]:
    described = {"executable": "/bin/true", "name": "one"} | fields
    result = spinor("job", "submit", "-", input=json.dumps([described] * count))
    assert result.exit_code == 0, result.output
    return list(result.stdout.split())


def lines(result: Any) -> list[Any]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def nobody_waits(spinor: Any) -> None:
    """A pilot gets the jobs of the test, not what others left."""
    spinor("job", "kill", "-", input=spinor("job", "list", "--status", "Waiting", "--ids").stdout or "1")


def test_ids_go_from_one_command_into_the_next(spinor: Any) -> None:
    jobs = submitted(spinor, 3, name="piped")
    listed = spinor("job", "list", "--name", "piped", "--ids")
    assert listed.stdout.split() == jobs[::-1]
    killed = spinor("job", "kill", "-", "--reason", "no more", input=listed.stdout)
    assert (killed.exit_code, killed.stdout) == (0, listed.stdout)
    assert {row["status"] for row in lines(spinor("job", "list", "--name", "piped", "--json"))} == {"Killed"}
    assert "no more" in spinor("job", "why", jobs[0]).stdout
    assert spinor("job", "reschedule", *jobs).stdout.split() == jobs
    assert spinor("job", "delete", ",".join(jobs)).stdout.split() == jobs
    assert spinor("job", "list", "--name", "piped", "--ids").stdout == ""


def test_a_list_goes_on_beyond_a_page_and_ends_at_its_limit(spinor: Any) -> None:
    jobs = submitted(spinor, 1100, name="many")
    assert spinor("job", "list", "--name", "many", "--ids", "-n", 5000).stdout.split() == jobs[::-1]
    assert spinor("job", "list", "--name", "many", "--ids", "-n", 1050).stdout.split() == jobs[:49:-1]
    assert spinor("job", "kill", *jobs).exit_code == 0
    waited = spinor("job", "wait", "-", input="\n".join(jobs))
    assert waited.exit_code == 1
    assert "1100 ended: 1100 Killed" in waited.stderr


@pytest.mark.parametrize("command", [["job", "show"], ["job", "why"], ["history", "job"], ["job", "output"],
                                     ["job", "description"], ["job", "kill"], ["job", "wait"]])  # fmt: skip
def test_a_job_that_is_not_there_is_told_in_three_lines(spinor: Any, command: list[str]) -> None:
    result = spinor(*command, 999999)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == ["error: there is no job 999999", "  who:  you", "  next: spinor job list"]
    told = json.loads(spinor("--json", *command, 999999).output)
    assert (told.get("error") or told)["code"] == "job-unknown"


@pytest.mark.parametrize("command", [["job", "show"], ["job", "why"], ["history", "job"], ["job", "kill"]])
def test_some_of_many_refused_is_exit_code_3(spinor: Any, command: list[str]) -> None:
    (job,) = submitted(spinor)
    result = spinor(*command, job, 999999)
    assert result.exit_code == 3
    assert result.stdout
    assert result.stderr == "999999: there is no job 999999; next: spinor job list\n"
    told = [json.loads(line) for line in spinor(*command, job, 999999, "--json").stdout.splitlines()]
    assert [each["error"]["code"] for each in told if "error" in each][-1] == "job-unknown"


@pytest.mark.parametrize("word", ["x", "0", "-1", "1.5", "99999999999999999999", "²", "../1"])
def test_what_is_no_id_is_wrong_usage(alone: Any, word: str) -> None:
    assert alone("job", "show", "--", word).exit_code == 2
    assert alone("job", "kill", "-", input=word).exit_code == 2


def test_no_ids_on_stdin_is_wrong_usage(alone: Any) -> None:
    assert alone("job", "kill", "-", input="\n").exit_code == 2


@pytest.mark.parametrize("width", [60, 80, 200])
def test_hostile_names_are_shown_literally_and_obeyed_never(spinor: Any, width: int) -> None:
    (job,) = submitted(spinor, name=HOSTILE)
    for command in (["job", "list", "-n", 3], ["job", "show", job], ["history", "job", job], ["log", "tail"],
                    ["job", "description", job], ["job", "description", job, "--jdl"]):  # fmt: skip
        result = spinor(*command, COLUMNS=str(width))
        assert result.exit_code == 0, result.output
        assert "[bold]x" in result.stdout
        assert "\x1b" not in result.stdout
        assert "\x07" not in result.stdout
        if command[0] != "log":
            assert max(map(len, result.stdout.splitlines())) <= width or command[1] in ("show", "description")
    (row,) = lines(spinor("job", "list", "-n", 1, "--json"))
    assert row["name"] == HOSTILE


def test_history_tells_who_did_what_because_of_what(spinor: Any) -> None:
    (job,) = submitted(spinor, name="told")
    assert spinor("job", "kill", job).exit_code == 0
    told = lines(spinor("history", "job", job, "--json"))
    assert [line["topic"] for line in told][::3] == ["job.submitted", "job.killed"]
    assert {line["job"] for line in told} == {int(job)}
    shown = spinor("history", "job", job).stdout.splitlines()
    assert shown[0].split() == ["time", "who", "what", "because"]
    assert "alice" in shown[1]
    assert "told" in shown[1]
    assert lines(spinor("history", "job", job, "--json", "--as-of", told[0]["at"])) == told[:1]
    assert lines(spinor("history", "job", job, "--json", "--as-of", DAY_BEFORE)) == []
    assert spinor("history", "job", job, "--as-of", "yesterday").exit_code == 2


def test_the_output_of_a_job_is_unpacked_into_its_own_directory(
    spinor: Any, site: Any, nobody_waits: None, tmp_path: Path
) -> None:
    (job,) = submitted(spinor)
    assert "no output" in spinor("job", "output", job).stderr
    assert site.pilot("p-output").run({"std.out": "hello"}, folder=tmp_path) == int(job)
    result = spinor("job", "output", job, "--to", "results")
    assert (result.exit_code, result.stdout) == (0, f"results/{job}/std.out\n"), result.output
    assert (tmp_path / "results" / job / "std.out").read_text() == "hello"
    assert lines(spinor("job", "output", job, "--json"))[0]["files"] == [f"{job}/std.out"]


def test_waiting_tells_the_good_from_the_bad(spinor: Any, site: Any, nobody_waits: None) -> None:
    jobs = submitted(spinor, 2)
    pilot = site.pilot("p-wait")
    bad, good = pilot.run(exit_code=1), pilot.run()
    assert {str(bad), str(good)} == set(jobs)
    result = spinor("job", "wait", *jobs)
    assert (result.exit_code, result.stdout) == (3, f"{good}\n")
    assert f"{bad}: Failed, exit-code; next: spinor job why {bad}" in result.stderr
    assert spinor("job", "wait", good).exit_code == 0
    assert spinor("job", "wait", bad).exit_code == 1
    assert {row["job"] for row in map(json.loads, spinor("job", "wait", *jobs, "--json").stdout.splitlines())} == {
        bad, good,
    }  # fmt: skip


def test_who_waits_hears_of_the_end_and_does_not_look_time_after_time(
    spinor: Any, site: Any, nobody_waits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[list[int]] = []

    def looked(session: Any, jobs: list[int]) -> Any:
        looks.append(list(jobs))
        return rows_of(session, jobs)

    monkeypatch.setattr("gateway.cli.wait.rows_of", looked)
    (job,) = submitted(spinor)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(spinor, "job", "wait", job)
        while not looks:
            time.sleep(0.01)
        time.sleep(1)
        site.pilot("p-heard").run()
        assert waiting.result(60).exit_code == 0
    assert looks == [[int(job)], [int(job)]]


def test_waiting_ends_with_the_time(spinor: Any) -> None:
    (job,) = submitted(spinor)
    result = spinor("job", "wait", job, "--timeout", 0.2)
    assert result.exit_code == 1
    assert "1 of 1 jobs have not ended within 0.2 s" in result.stderr
    assert f"next: spinor job why {job}" in result.stderr


def test_pilots_and_queues_are_shown(spinor: Any, site: Any) -> None:
    submitted(spinor, tags=["quantum"])
    site.pilot("p-shown")
    assert "p-shown" in spinor("pilot", "list").stdout
    assert {row["stamp"] for row in lines(spinor("pilot", "list", "--json"))} >= {"p-shown"}
    assert "LCG.CERN.cern" in spinor("pilot", "show", "p-shown").stdout
    assert lines(spinor("pilot", "show", "p-shown", "--json"))[0]["node"]["hostname"] == "n1"
    assert len(lines(spinor("history", "pilot", "p-shown", "--json"))) >= 3
    assert spinor("pilot", "show", "no/such?pilot").exit_code == 1
    assert "there is no pilot nobody" in spinor("pilot", "show", "nobody").stderr
    assert "tags=quantum" in spinor("queue", "list").stdout
    assert all(row["waiting"] for row in lines(spinor("queue", "list", "--json")))


def test_the_system_tells_how_it_is(spinor: Any, operator: Any) -> None:
    text = spinor("status").stdout
    for word in ("bus", "in-process up", "postgresql", "timers", "dead letters", "consumer", "scheduling"):
        assert word in text
    assert lines(spinor("status", "--json"))[0]["bus"]["up"] is True
    assert "alice" in spinor("whoami").stdout
    assert lines(spinor("whoami", "--json"))[0]["group"] == "users"
    assert spinor("job", "summary", "--by", "status,site").stdout.split()[:3] == ["status", "site", "count"]
    assert lines(spinor("job", "summary", "--json"))[0]["by"] == ["status"]
    assert spinor("job", "summary", "--by", "shoe size").exit_code == 1


def test_dead_letters_are_the_operators(spinor: Any, operator: Any) -> None:
    assert "this needs Operator" in spinor("dead-letters", "list").stderr
    assert lines(spinor("dead-letters", "list", "--json", **operator)) == []
    letter = "0f8fad5b-d9cb-469f-a165-70867728950e"
    refused = spinor("dead-letters", "send-again", letter, **operator)
    assert refused.exit_code == 1
    assert "there is no dead letter" in refused.stderr
    assert spinor("dead-letters", "send-again", "x", **operator).exit_code == 2


def test_the_tail_of_the_log_can_be_narrowed(spinor: Any) -> None:
    (job,) = submitted(spinor)
    assert spinor("job", "kill", job).exit_code == 0
    told = lines(spinor("log", "tail", "--topic", "job.k*", "--json"))
    assert {event["topic"] for event in told} == {"job.killed"}
    assert told[-1]["job"] == int(job)
    assert f"{job}  alice" in spinor("log", "tail", "-n", 1).stdout


def test_a_wrong_token_leads_to_login(spinor: Any) -> None:
    result = spinor("job", "list", SPINOR_TOKEN="forged")
    assert result.exit_code == 1
    assert "next: spinor login" in result.stderr


def test_login_keeps_what_the_gateway_accepts_for_this_account_only(spinor: Any, site: Any, tmp_path: Path) -> None:
    nothing = {"SPINOR_TOKEN": None, "SPINOR_URL": None}
    assert spinor("login", "--url", site.url, "--token", "forged", **nothing).exit_code == 1
    kept = tmp_path / "no-data" / "credentials.json"
    assert not kept.exists()
    result = spinor("login", "--url", site.url, input=site.token_of_alice + "\n", **nothing)
    assert result.exit_code == 0, result.output
    assert site.token_of_alice not in result.output
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "alice" in spinor("whoami", **nothing).stdout


def test_jobs_are_held_released_and_put_first(spinor: Any) -> None:
    first, second = submitted(spinor, 2, name="kept")
    assert spinor("job", "hold", first, "--reason", "not yet").stdout.split() == [first]
    assert "not yet" in spinor("job", "why", first).stdout
    assert f"spinor job release {first} --code user" in spinor("job", "why", first).stdout
    assert spinor("job", "release", "-", input=first).stdout.split() == [first]
    assert spinor("job", "priority", 9, first, second).stdout.split() == [first, second]
    assert [row["priority"] for row in lines(spinor("job", "list", "--name", "kept", "--json"))] == [9, 9]
    refused = spinor("job", "hold", first, "--code", "audit")
    assert (refused.exit_code, refused.stderr.splitlines()[0]) == (1, "error: this needs JobAdministrator")
    assert "held: user (not yet)" in spinor("job", "history", first).stdout
    assert spinor("job", "kill", first, second).exit_code == 0


@pytest.mark.usefixtures("nobody_waits")
def test_what_a_job_wrote_is_printed_also_when_it_has_ended(spinor: Any, site: Any, tmp_path: Path) -> None:
    (job,) = submitted(spinor)
    early = spinor("job", "logs", job)
    assert (early.exit_code, early.stdout) == (0, "")
    assert "has not written anything" in early.stderr
    refused = spinor("job", "peek", job)
    assert (refused.exit_code, refused.stderr.splitlines()[0]) == (
        1, f"error: job {job} is Waiting: no program writes anything",
    )  # fmt: skip
    site.pilot("writer").run({"std.out": "hello\nworld\n", "std.err": "oh"}, folder=tmp_path)
    assert spinor("job", "logs", job).stdout == "hello\nworld\n"
    assert spinor("job", "logs", job, "--error").stdout == "oh\n"
    assert "exit code" not in spinor("job", "parameters", job).stdout
    assert "p1" not in spinor("job", "parameters", job).stdout
    assert "writer" in spinor("job", "parameters", job).stdout
    assert spinor("job", "follow", job).exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "more"), [("", "a\n", "a\n"), ("a\nb\n", "b\nc\n", "b\nc\n"), ("a\nb\n", "a\nb\nc\n", "c\n")]
)
def test_only_what_is_new_of_a_tail_is_printed_again(old: str, new: str, more: str) -> None:
    assert fresh(old, new) == more


def test_many_jobs_are_counted_before_anything_happens_to_them(spinor: Any) -> None:
    jobs = submitted(spinor, 3, name="bulky")
    planned = spinor("bulk", "plan", "hold", "--name", "bulky", "--reason", "wait")
    assert planned.exit_code == 0, planned.output
    (action,) = planned.stdout.split()
    assert "3 jobs" in planned.stderr and f"next: spinor bulk confirm {action}" in planned.stderr
    assert spinor("bulk", "confirm", action).stderr == "3 of 3 jobs: Done\n"
    assert "wait" in spinor("job", "why", jobs[0]).stdout
    assert spinor("bulk", "undo", action).stderr == "3 of 3 jobs: Undone\n"
    assert json.loads(spinor("bulk", "show", action, "--json").stdout)["status"] == "Undone"
    assert spinor("bulk", "plan", "kill", "--name", "bulky", "--yes").exit_code == 0
    assert {row["status"] for row in lines(spinor("job", "list", "--name", "bulky", "--json"))} == {"Killed"}
    assert action in spinor("bulk", "list").stdout
