"""The real pilot against a gateway: jobs, sharing, stopping."""

import os
import shutil
import signal
import subprocess
from glob import glob
from pathlib import Path

import pytest

from tests.pilot.conftest import Pilots
from tests.pilot.stub import Status, Stub

OLD = next(iter(glob(os.path.expanduser("~/.pyenv/versions/3.6*/bin/python"))), shutil.which("python3.6"))
SCRIPT = 'echo "$0 $1 $2 $COLOUR $SPINOR_JOB $SPINOR_ATTEMPT $SPINOR_SITE $SPINOR_PROCESSORS $JOBID"; echo oops >&2; '


def test_a_job_runs_with_its_sandboxes(gateway: Stub, pilots: Pilots) -> None:
    inputs = [*gateway.script(SCRIPT + "cat data/in.txt > result.txt"), gateway.sandbox({"data/in.txt": "42"})]
    gateway.give(
        7,
        "run.sh",
        inputs,
        arguments="one 'two three'",
        environment={"COLOUR": "blue"},
        std_output="job.out",
        output_sandbox=["*.txt", "no.*"],
    )
    assert pilots.run("--max-jobs", "1") == 0
    assert gateway.kinds(7) == ["started", "completing", "done"]
    done = gateway.final(7)
    assert (done["exit_code"], done["missing"]) == (0, ["no.*"])
    assert done["output"].startswith("SB:S3|/")
    files = gateway.unpacked()
    assert set(files) == {"job.out", "std.err", "result.txt"}
    assert files["job.out"].endswith("run.sh one two three blue 7 1 LCG.CERN.cern 1 7\n")
    assert (files["std.err"], files["result.txt"]) == ("oops\n", "42")
    assert gateway.named("bye") == [{"reason": "drained", "jobs_run": 1}]
    assert not (pilots.work_dir / "pilot-s1").exists()


@pytest.mark.skipif(OLD is None, reason="there is no Python 3.6 here")
def test_the_same_on_the_oldest_python(gateway: Stub, pilots: Pilots) -> None:
    pilots.python = str(OLD)
    test_a_job_runs_with_its_sandboxes(gateway, pilots)


def test_the_machine_is_introduced(gateway: Stub, pilots: Pilots) -> None:
    assert pilots.run("--idle-exit", "0.5", "--tags", "a,b", "--memory-mb", "4000", "--ce", "ce1", "--queue", "q") == 0
    hello = gateway.named("hello")[0]
    assert (hello["site"], hello["ce"], hello["queue"]) == ("LCG.CERN.cern", "ce1", "q")
    node = hello["node"]
    assert (node["processors"], node["memory_mb"], node["tags"], node["cpu_power"]) == (2, 4000, ["a", "b"], 10)
    assert set(node) == {"hostname", "platform", "processors", "memory_mb", "disk_mb", "gpus", "cpu_power", "tags"}
    offer = gateway.named("offer")[0]
    assert (offer["processors"], offer["memory_mb"], offer["tags"]) == (2, 4000, ["a", "b"])
    assert set(offer) == {"offer", "processors", "memory_mb", "disk_mb", "cpu_seconds", "tags", "wait"}


def test_a_pilot_without_work_goes_home(gateway: Stub, pilots: Pilots) -> None:
    assert pilots.run("--idle-exit", "0.5") == 0
    assert gateway.named("bye") == [{"reason": "idle", "jobs_run": 0}]


def test_two_jobs_run_side_by_side(gateway: Stub, pilots: Pilots, tmp_path: Path) -> None:
    meet = f"touch {tmp_path}/$SPINOR_JOB; while [ ! -e {tmp_path}/$1 ]; do sleep 0.05; done"
    gateway.give(1, "run.sh", gateway.script(meet), arguments="2")
    gateway.give(2, "run.sh", gateway.script(meet), arguments="1")
    assert pilots.run("--max-jobs", "2") == 0
    assert gateway.final(1)["kind"] == gateway.final(2)["kind"] == "done"
    assert [offer["processors"] for offer in gateway.named("offer")][:2] == [2, 1]


def test_a_failing_payload_is_reported_with_its_output(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(3, "run.sh", gateway.script("echo why; exit 7"))
    pilots.run("--max-jobs", "1")
    failed = gateway.final(3)
    assert (failed["code"], failed["exit_code"]) == ("exit-code", 7)
    assert failed["output"] and gateway.unpacked()["std.out"] == "why\n"
    assert gateway.kinds(3) == ["started", "completing", "failed"]


def test_a_payload_that_dies_of_a_signal_says_so(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(4, "run.sh", gateway.script("kill -SEGV $$"))
    pilots.run("--max-jobs", "1")
    failed = gateway.final(4)
    assert (failed["code"], failed["exit_code"], failed["signal"]) == ("exit-code", 139, 11)


def test_a_missing_executable_is_named(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(5, "no-such-program")
    pilots.run("--max-jobs", "1")
    failed = gateway.final(5)
    assert (failed["code"], failed["detail"]) == ("executable-missing", "no-such-program")
    assert gateway.kinds(5) == ["started", "failed"]


def test_usage_is_measured(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(6, "run.sh", gateway.script("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"))
    pilots.run("--max-jobs", "1")
    done = gateway.final(6)
    assert done["cpu_seconds"] > 0.05 and done["wall_seconds"] > 0.05 and done["max_rss_mb"] > 0.5


def test_signs_of_life_show_the_last_lines(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(8, "run.sh", gateway.script("echo working; exec sleep 60"))
    pilots.start()
    gateway.until(lambda: any(a["stdout_tail"] == "working" for b in gateway.named("reports") for a in b["alive"]))
    alive = gateway.named("reports")[-1]["alive"][0]
    assert set(alive) == {"job", "attempt", "cpu_seconds", "wall_seconds", "rss_mb", "disk_mb", "stdout_tail"}


def test_a_kill_command_ends_the_whole_group(gateway: Stub, pilots: Pilots, tmp_path: Path) -> None:
    script = f"trap '' TERM; (setsid sh -c 'echo $$ > {tmp_path}/pids; exec sleep 300') & sleep 300"
    gateway.give(9, "run.sh", gateway.script(script))
    pilots.start()
    gateway.until(lambda: gateway.kinds(9) == ["started"] and (tmp_path / "pids").exists())
    gateway.until(lambda: any(a["rss_mb"] for b in gateway.named("reports") for a in b["alive"]))
    gateway.kill.append((9, 1))
    assert gateway.final(9)["code"] == "killed"
    runaway = int((tmp_path / "pids").read_text())
    assert not Path(f"/proc/{runaway}/stat").exists() or Path(f"/proc/{runaway}/stat").read_text().split()[2] == "Z"


def test_too_much_memory_ends_a_payload(gateway: Stub, pilots: Pilots) -> None:
    hog = "import time\nhog = bytearray(200 * 1024 * 1024)\nprint('held', flush=True)\ntime.sleep(60)\n"
    gateway.give(10, "hog.py", [gateway.sandbox({"hog.py": hog})], max_ram_mb=100)
    pilots.run("--max-jobs", "1")
    failed = gateway.final(10)
    assert failed["code"] == "memory-limit" and failed["max_rss_mb"] > 100
    assert failed["output"]


def test_too_much_cpu_ends_a_payload(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(11, "run.sh", gateway.script("while :; do :; done"), cpu_time=2)
    pilots.run("--max-jobs", "1")
    assert gateway.final(11)["code"] == "cpu-limit"


def test_the_end_of_the_slot_ends_a_payload_and_the_pilot(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(12, "/bin/sleep", arguments="60")
    assert pilots.run("--slot-seconds", "2") == 0
    assert gateway.final(12)["code"] == "wall-limit"
    assert gateway.named("bye")[0]["reason"] == "end-of-allocation"


def test_a_full_disk_ends_a_payload(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(13, "run.sh", gateway.script("head -c 30000000 /dev/urandom > big; sleep 60"))
    pilots.run("--max-jobs", "1", "--disk-mb", "40")
    assert gateway.final(13)["code"] == "disk-full"


def test_told_to_stop_the_pilot_stops_payloads_and_leaves_in_order(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(14, "run.sh", gateway.script("trap '' TERM; sleep 300 & wait; wait; sleep 300"))
    pilot = pilots.start()
    gateway.until(lambda: gateway.kinds(14) == ["started"])
    pilot.send_signal(signal.SIGTERM)
    assert pilot.wait(30) == 0
    assert gateway.kinds(14) == ["started", "failed"]
    assert gateway.final(14)["code"] == "pilot-stopped"
    assert gateway.named("bye") == [{"reason": "stopped", "jobs_run": 1}]


def test_secrets_stay_with_the_pilot(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(15, "run.sh", gateway.script("env"))
    pilots.start("--max-jobs", "1", X509_USER_PROXY="/tmp/p", COPY="x-s3cr3t-of-this-pilot", KEPT="yes").wait(60)
    gateway.final(15)
    seen = gateway.unpacked()["std.out"]
    assert "KEPT=yes" in seen
    for hidden in ("s3cr3t", "token-", "X509_USER_PROXY", "SPINOR_PILOT_SECRET"):
        assert hidden not in seen + pilots.log.read_text()


def test_a_wrong_secret_is_the_end(gateway: Stub, pilots: Pilots) -> None:
    assert pilots.start(secret="wrong").wait(30) == 1
    assert "kind=Denied" in pilots.log.read_text()


def test_a_second_pilot_in_the_same_directory_does_not_start(gateway: Stub, pilots: Pilots) -> None:
    pilots.start()
    gateway.until(lambda: gateway.named("offer"))
    assert pilots.run() == 1
    assert len(gateway.named("hello")) == 1


def test_nobody_wants_this_pilot_any_more(gateway: Stub, pilots: Pilots) -> None:
    gateway.before["offer"] = [Status(409, {"code": "pilot-gone"})]
    assert pilots.run() == 0
    assert gateway.named("bye")[0]["reason"] == "stopped"


def test_what_a_payload_leaves_behind_is_ended(gateway: Stub, pilots: Pilots, tmp_path: Path) -> None:
    gateway.give(16, "run.sh", gateway.script(f"sleep 300 & echo $! > {tmp_path}/pid"))
    pilots.run("--max-jobs", "1")
    assert gateway.final(16)["kind"] == "done"
    left = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    assert not left.exists() or left.read_text().split()[2] == "Z"


def test_a_gateway_is_trusted_only_with_its_certificate(gateway: Stub, pilots: Pilots, tmp_path: Path) -> None:
    certificate = tmp_path / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", certificate, "-out",
         tmp_path / "ca.pem"], check=True, capture_output=True,
    )  # fmt: skip
    with certificate.open("a") as both:
        both.write((tmp_path / "ca.pem").read_text())
    gateway.encrypt(str(certificate))
    pilots.url = gateway.url
    assert pilots.run("--idle-exit", "0.5") == 1
    assert "CERTIFICATE_VERIFY_FAILED" in pilots.log.read_text()
    gateway.give(17, "run.sh", gateway.script("echo private"))
    assert pilots.run("--max-jobs", "1", "--ca-file", str(tmp_path / "ca.pem")) == 0
    assert gateway.final(17)["kind"] == "done" and gateway.unpacked()["std.out"] == "private\n"
