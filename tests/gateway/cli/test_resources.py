"""`spinor resource`: banning, listing, telling."""

import json
from typing import Any

REASON = ["--reason", "cooling is down"]


def test_resources_are_banned_listed_and_allowed_again(spinor: Any, operator: dict[str, str]) -> None:
    banned = spinor("resource", "ban", "LCG.A.ch", "node:LCG.A.ch/wn1", *REASON, "--until", "2h", **operator)
    assert (banned.exit_code, banned.stdout.split()) == (0, ["site:LCG.A.ch", "node:LCG.A.ch/wn1"]), banned.output
    shown = spinor("resource", "list", "--kind", "site").stdout
    assert "Banned" in shown and "cooling is down" in shown and "root" in shown
    ids = spinor("resource", "list", "--status", "banned", "--ids").stdout
    assert ids.split() == ["node:LCG.A.ch/wn1", "site:LCG.A.ch"]
    allowed = spinor("resource", "allow", "-", "--reason", "cold", input=ids, **operator)
    assert allowed.stdout == ids
    assert spinor("resource", "list", "--ids").stdout == ""
    told = [
        json.loads(line)["what"] for line in spinor("resource", "history", "LCG.A.ch", "--json").stdout.splitlines()
    ]
    assert [what.split(" in demo is ")[1].split()[0] for what in told] == ["Banned", "Active,"]


def test_storage_is_closed_for_writing_only(spinor: Any, operator: dict[str, str]) -> None:
    assert spinor("resource", "ban", "se:EOS", "--access", "write", *REASON, **operator).exit_code == 0
    (row,) = json.loads(spinor("resource", "show", "se:EOS", "--json").stdout)["statuses"]
    assert (row["access"], row["status"]) == ("write", "Banned")


def test_what_is_wrong_is_said(spinor: Any, operator: dict[str, str]) -> None:
    assert spinor("resource", "ban", "LCG.A.ch").exit_code == 2
    assert spinor("resource", "ban", "se:EOS", "--access", "sing", *REASON, **operator).exit_code == 2
    assert spinor("resource", "ban", "-", *REASON, input="", **operator).exit_code == 2
    assert spinor("resource", "list", "--status", "closed").exit_code == 2
    forbidden = spinor("resource", "ban", "LCG.A.ch", *REASON)
    assert (forbidden.exit_code, "Operator" in forbidden.stderr) == (1, True)
