"""The real pilot when the network, the gateway or the pilot itself breaks: nothing is lost, nothing happens twice."""

import time
from pathlib import Path

from tests.pilot.conftest import Pilots
from tests.pilot.stub import Drop, Status, Stub


def test_a_lost_match_is_asked_for_again_and_run_once(gateway: Stub, pilots: Pilots, tmp_path: Path) -> None:
    gateway.after["offer"] = [Drop(), Drop()]
    gateway.give(1, "run.sh", gateway.script(f"echo run >> {tmp_path}/runs"))
    assert pilots.run("--max-jobs", "1") == 0
    offers = [offer["offer"] for offer in gateway.named("offer")]
    assert len(offers) >= 3 and len(set(offers[:3])) == 1
    assert gateway.final(1)["kind"] == "done"
    assert (tmp_path / "runs").read_text() == "run\n"


def test_an_attempt_that_was_given_twice_runs_once(gateway: Stub, pilots: Pilots, tmp_path: Path) -> None:
    for _ in range(2):
        gateway.give(1, "run.sh", gateway.script(f"echo run >> {tmp_path}/runs"))
    assert pilots.run("--idle-exit", "1") == 0
    assert gateway.waiting == []
    assert (tmp_path / "runs").read_text() == "run\n"
    assert gateway.kinds(1) == ["started", "completing", "done"]


def test_every_offer_that_was_answered_is_followed_by_a_new_one(gateway: Stub, pilots: Pilots) -> None:
    assert pilots.run("--wait", "0.1", "--idle-exit", "1") == 0
    offers = [offer["offer"] for offer in gateway.named("offer")]
    assert len(offers) > 2 and len(set(offers)) == len(offers)


def test_a_pilot_that_died_before_its_match_arrived_gets_it_after_a_new_start(gateway: Stub, pilots: Pilots) -> None:
    first = pilots.start()
    gateway.until(lambda: gateway.named("offer"))
    first.kill()
    first.wait()
    gateway.give(2)
    gateway.until(lambda: not gateway.waiting)  # taken by the request whose pilot is dead
    assert pilots.run("--max-jobs", "1") == 0
    assert gateway.final(2)["kind"] == "done"


def test_busy_and_broken_answers_are_tried_again(gateway: Stub, pilots: Pilots) -> None:
    gateway.before["token"] = [Status(503, Retry_After="0")]
    for name in ("hello", "offer", "reports", "sandbox", "upload"):
        gateway.before[name] = [Status(503, Retry_After="0"), Status(500), Status(429, Retry_After="0"), Drop()]
    gateway.give(3)
    assert pilots.run("--max-jobs", "1") == 0
    assert gateway.kinds(3) == ["started", "completing", "done"]
    assert gateway.final(3)["output"]


def test_a_pause_that_the_gateway_asks_for_is_kept(gateway: Stub, pilots: Pilots) -> None:
    gateway.before["hello"] = [Status(503, Retry_After="2")]
    assert pilots.run("--idle-exit", "3") == 0
    assert "call=hello" in pilots.log.read_text() and "pause=2.0" in pilots.log.read_text()


def test_a_token_that_is_not_valid_any_more_is_renewed(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(4, "/bin/sleep", arguments="60")
    pilots.start()
    gateway.until(lambda: gateway.kinds(4) == ["started"])
    gateway.tokens += 1
    gateway.kill.append((4, 1))
    assert gateway.final(4)["code"] == "killed"
    incarnations = {body["incarnation"] for body in gateway.named("token")}
    assert len(gateway.named("token")) >= 2 and len(incarnations) == 1


def test_reports_wait_for_a_gateway_that_is_away(gateway: Stub, pilots: Pilots, tmp_path: Path) -> None:
    pilot = pilots.start("--max-jobs", "1")
    _until_it_runs(gateway, 5, tmp_path)
    gateway.away = True
    (tmp_path / "go").touch()
    _until_logged(pilots, "kind=completing")
    time.sleep(1)
    gateway.away = False
    assert pilot.wait(60) == 0
    assert gateway.kinds(5) == ["started", "completing", "done"]
    assert [report["seq"] for report in gateway.reports] == [1, 2, 3]


def test_reports_whose_answers_were_lost_have_no_second_effect(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(6)
    gateway.after["reports"] = [Drop(), Drop(), Drop()]
    assert pilots.run("--max-jobs", "1") == 0
    sent = [report["seq"] for body in gateway.named("reports") for report in body["reports"]]
    assert len(sent) > 3
    assert [report["seq"] for report in gateway.reports] == [1, 2, 3]


def test_a_refused_report_is_dropped_and_holds_up_nothing(gateway: Stub, pilots: Pilots) -> None:
    gateway.refuse["completing"] = "job-state"
    gateway.give(7)
    assert pilots.run("--max-jobs", "1") == 0
    assert gateway.kinds(7) == ["started", "done"]
    sent = [report["kind"] for body in gateway.named("reports") for report in body["reports"]]
    assert sent.count("completing") == 1
    assert "report-refused job=7 attempt=1 seq=2 kind=completing code=job-state" in pilots.log.read_text()


def test_reports_that_the_gateway_cannot_read_are_sent_one_by_one(
    gateway: Stub, pilots: Pilots, tmp_path: Path
) -> None:
    pilot = pilots.start("--max-jobs", "1")
    _until_it_runs(gateway, 8, tmp_path)
    gateway.before["reports"] = [Status(422, {"code": "malformed"})] * 2
    (tmp_path / "go").touch()
    assert pilot.wait(60) == 0
    assert gateway.kinds(8) == ["started", "done"]


def test_a_payload_begins_when_its_start_was_confirmed_and_not_before(
    gateway: Stub, pilots: Pilots, tmp_path: Path
) -> None:
    gateway.before["reports"] = [Drop() for _ in range(4)]
    gateway.give(20, "run.sh", gateway.script(f"echo run >> {tmp_path}/runs"))
    pilot = pilots.start("--max-jobs", "1")
    while gateway.before["reports"]:
        assert not (tmp_path / "runs").exists()
        time.sleep(0.02)
    assert pilot.wait(60) == 0
    assert gateway.kinds(20) == ["started", "completing", "done"]
    assert (tmp_path / "runs").read_text() == "run\n"


def test_an_attempt_whose_pilot_died_unconfirmed_is_lost_and_never_begun(
    gateway: Stub, pilots: Pilots, tmp_path: Path
) -> None:
    gateway.before["reports"] = [Drop()] * 1000
    gateway.give(21, "run.sh", gateway.script(f"echo run >> {tmp_path}/runs"))
    first = pilots.start()
    _until_logged(pilots, "call=reports")
    first.kill()
    first.wait()
    gateway.before["reports"] = []
    assert pilots.run("--idle-exit", "0.5") == 0
    assert gateway.final(21)["code"] == "payload-lost"
    assert not (tmp_path / "runs").exists()


def test_a_payload_whose_start_is_refused_is_not_begun(gateway: Stub, pilots: Pilots, tmp_path: Path) -> None:
    gateway.refuse["started"] = "job-state"
    gateway.give(22, "run.sh", gateway.script(f"echo run >> {tmp_path}/runs"))
    assert pilots.run("--max-jobs", "1") == 0
    assert (gateway.final(22)["code"], gateway.final(22)["detail"]) == (
        "payload-lost", "the start was refused: job-state"
    )  # fmt: skip
    assert not (tmp_path / "runs").exists()


def test_a_payload_that_is_not_ours_any_more_is_ended(gateway: Stub, pilots: Pilots) -> None:
    gateway.refuse["started"] = "job-attempt"
    gateway.give(9, "/bin/sleep", arguments="60")
    assert pilots.run("--max-jobs", "1") == 0
    assert gateway.final(9)["code"] == "killed"


def test_who_starts_again_delivers_reports_and_ends_orphans(gateway: Stub, pilots: Pilots, tmp_path: Path) -> None:
    gateway.give(10)
    gateway.give(11, "run.sh", gateway.script(f"echo $$ > {tmp_path}/pid; exec sleep 300"))
    first = pilots.start()
    gateway.until(lambda: (tmp_path / "pid").exists() and gateway.kinds(10)[-1:] == ["done"])
    gateway.away = True
    first.kill()
    first.wait()
    orphan = Path("/proc", (tmp_path / "pid").read_text().strip())
    assert orphan.exists()
    gateway.away = False
    assert pilots.run("--idle-exit", "0.5") == 0
    assert (gateway.final(11)["code"], gateway.final(11)["seq"]) == ("payload-lost", 2)
    assert gateway.kinds(10) == ["started", "completing", "done"]
    assert not orphan.exists() or (orphan / "stat").read_text().split()[2] == "Z"
    assert len({body["incarnation"] for body in gateway.named("token")}) == 1


def test_reports_that_could_not_be_delivered_are_delivered_by_the_next_start(
    gateway: Stub, pilots: Pilots, tmp_path: Path
) -> None:
    first = pilots.start()
    _until_it_runs(gateway, 12, tmp_path)
    gateway.before["reports"] = [Drop()] * 1000
    (tmp_path / "go").touch()
    _until_logged(pilots, "kind=done")
    first.kill()
    first.wait()
    assert gateway.kinds(12) == ["started"]
    gateway.before["reports"] = []
    assert pilots.run("--idle-exit", "0.5") == 0
    assert [(report["seq"], report["kind"]) for report in gateway.reports] == [
        (1, "started"), (2, "completing"), (3, "done")
    ]  # fmt: skip


def test_a_stored_output_is_not_sent_again(gateway: Stub, pilots: Pilots) -> None:
    for job in (13, 14):
        gateway.give(job, "/bin/echo", arguments="the same")
        pilots.run("--max-jobs", "1")
        gateway.stored(gateway.uploads[0])
    assert gateway.final(13)["output"] == gateway.final(14)["output"]
    assert len(gateway.uploads) == 1


def test_an_output_that_is_refused_fails_the_job(gateway: Stub, pilots: Pilots) -> None:
    gateway.before["sandbox"] = [Status(413, {"code": "sandbox-too-large"})]
    gateway.give(15)
    pilots.run("--max-jobs", "1")
    failed = gateway.final(15)
    assert (failed["code"], failed["exit_code"], failed["output"]) == ("sandbox-upload", 0, None)
    assert "sandbox-too-large" in failed["detail"]


def test_a_match_nobody_can_read_does_not_stop_the_pilot(gateway: Stub, pilots: Pilots) -> None:
    gateway.waiting.append({"what": "is this"})
    gateway.give(16)
    assert pilots.run("--max-jobs", "1") == 0
    assert gateway.final(16)["kind"] == "done"


def test_nobody_answers_at_all(pilots: Pilots) -> None:
    pilots.url = "http://127.0.0.1:9"
    assert pilots.run("--idle-exit", "1") == 1


def _until_it_runs(gateway: Stub, job: int, place: Path) -> None:
    """Give a job that runs until there is a file `go`, and wait for its start."""
    gateway.give(job, "run.sh", gateway.script(f"while [ ! -e {place}/go ]; do sleep 0.05; done"))
    gateway.until(lambda: gateway.kinds(job) == ["started"])


def _until_logged(pilots: Pilots, text: str) -> None:
    for _ in range(600):
        if text in pilots.log.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(pilots.log.read_text())
