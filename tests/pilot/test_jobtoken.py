"""A payload gets a token of its own as a file, which the pilot renews; it never sees the pilot's."""

from tests.pilot.conftest import Pilots
from tests.pilot.stub import Status, Stub

LOOK = 'stat -c %a "$SPINOR_JOB_TOKEN_FILE"; cat "$SPINOR_JOB_TOKEN_FILE"; echo; echo "$SPINOR_URL"; '


def test_a_payload_reads_its_token_and_where_it_is_good_for(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(7, "run.sh", gateway.script(LOOK + "env; ls -a"), output_sandbox=["*"])
    assert pilots.run("--max-jobs", "1") == 0
    said = gateway.unpacked()["std.out"].splitlines()
    assert said[:3] == ["600", "job-7-0", gateway.url]
    assert not [line for line in said if "SPINOR_PILOT" in line or "token-" in line]
    assert set(gateway.unpacked()) == {"std.out", "std.err", "run.sh"}  # the token is not among the job's files


def test_a_payloads_token_is_renewed_while_it_runs(gateway: Stub, pilots: Pilots) -> None:
    gateway.job_token = 2
    gateway.before["job-token"] = [Status(503)]  # the first try fails
    wait = 'while grep -q "job-7-0" "$SPINOR_JOB_TOKEN_FILE"; do sleep 0.1; done; cat "$SPINOR_JOB_TOKEN_FILE"'
    gateway.give(7, "run.sh", gateway.script(wait))
    assert pilots.run("--max-jobs", "1") == 0
    assert gateway.unpacked()["std.out"].startswith("job-7-")
    assert {(body["job"], body["attempt"]) for body in gateway.named("job-token")} == {(7, 1)}


def test_a_refused_renewal_ends_no_payload(gateway: Stub, pilots: Pilots) -> None:
    gateway.job_token = 2
    gateway.before["job-token"] = [Status(403, {"code": "suspended"})] * 9
    gateway.give(7, "run.sh", gateway.script("sleep 2; echo done"))
    assert pilots.run("--max-jobs", "1") == 0
    assert gateway.kinds(7)[-1] == "done"


def test_a_payload_of_a_pilot_within_a_payload_does_not_inherit_the_outer_token(gateway: Stub, pilots: Pilots) -> None:
    gateway.give(7, "run.sh", gateway.script("env"))
    gateway.waiting[0].pop("token")
    outer = {"SPINOR_JOB_TOKEN_FILE": "/outer", "SPINOR_TOKEN": "outer"}
    assert pilots.start("--max-jobs", "1", **outer).wait(60) == 0
    assert "outer" not in gateway.unpacked()["std.out"]
