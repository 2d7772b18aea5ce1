"""`spinor transformation`, as a user types it: files in, states out, refusals with what to do next."""

import json
from pathlib import Path
from typing import Any

from typer.testing import Result

from tests.gateway.cli.conftest import Site, Spinor

LFNS = [f"/demo/in/{n}" for n in range(3)]


def good(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def said(result: Result) -> Any:
    return json.loads(good(result))


def test_a_transformation_from_its_definition_to_its_end(spinor: Spinor, site: Site, tmp_path: Path) -> None:
    files = [{"lfn": lfn, "size": 1, "ses": ["LOCAL-DISK"]} for lfn in LFNS]
    (tmp_path / "files.jsonl").write_text("\n".join(json.dumps(file) for file in files))
    good(spinor("data", "register", "files.jsonl"))
    Path("job.json").write_text('{"executable": "/bin/true"}')
    Path("lfns").write_text("\n".join([*LFNS, "/demo/in/none"]))
    group = ("--plugin", "OnePerFile", "--retries", "0")
    made = spinor("transformation", "create", "t1", "job.json", "--lfns", "lfns", *group)
    assert good(made) == "t1\n"
    assert "/demo/in/none" in made.stderr
    assert said(spinor("transformation", "why", "t1", "--json"))["reasons"][0]["code"] == "not-started"
    names = good(spinor("transformation", "list", "--status", "new", "--ids"))
    assert good(spinor("transformation", "start", "-", input=names)) == "t1\n"
    pilot = site.pilot("tr")
    for exit_code in (0, 0, 3):
        pilot.run(exit_code=exit_code)
    while (found := said(spinor("transformation", "show", "t1", "--json")))["open_tasks"]:
        pass
    assert (found["processed"], found["quarantined"]) == (2, 1)
    (bad,) = good(spinor("transformation", "files", "t1", "--state", "quarantined", "--json")).splitlines()
    assert json.loads(bad)["code"] == "exit-code"
    assert "Quarantined" in good(spinor("transformation", "show", "t1", "--tasks"))
    assert "1 tasks" in good(spinor("transformation", "retry", "t1"))
    pilot.run()
    good(spinor("transformation", "drain", "t1"))
    assert "3 processed, 0 quarantined" in good(spinor("transformation", "follow", "t1"))
    assert "every input once or not at all" in good(spinor("transformation", "audit", "t1"))
    assert "Processed" in good(spinor("transformation", "files", "t1"))
    refused = spinor("transformation", "pause", "t1")
    assert refused.exit_code == 1
    assert "Completed: pause is not possible" in refused.stderr.replace("\n", " ")
    assert "spinor transformation show t1" in refused.stderr


def test_what_a_user_gets_wrong_is_told_with_what_helps(spinor: Spinor) -> None:
    Path("job.json").write_text("no json")
    Path("bad.json").write_text('{"executable": "/bin/true", "cpu": 3}')
    Path("ok.json").write_text('{"executable": "/bin/true"}')
    for arguments, word in (
        (("create", "t2", "job.json"), "no JSON"),
        (("create", "t2", "bad.json"), "cpu"),
        (("create", "no name", "ok.json"), "letters, digits"),
        (("create", "t2", "ok.json", "--where", "size"), "FIELD OPERATOR VALUE"),
        (("create", "t2", "ok.json", "--plugin", "Magic"), "plugin"),
        (("show", "nothing"), "no transformation nothing"),
        (("files", "../x"), "../x"),
    ):
        result = spinor("transformation", *arguments)
        assert result.exit_code == 1, (arguments, result.output)
        assert word in " ".join(result.stderr.split()), (arguments, result.stderr)
        assert "Traceback" not in result.output
