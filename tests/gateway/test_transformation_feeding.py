"""Feeding is an event: what fits the query of a transformation becomes its input; what was there before, by pages."""

from typing import Any

import pytest
from gateway_site import Site, refusal
from transforming import DATA, ROUTE, act, audited, made, registered, shown, states, tasks, until

from infra.transformations import attaching

RUN7 = tuple(f"/lhcb/data/run7/{n}.dst" for n in range(7))


async def described(client: Any, path: str, **values: Any) -> None:
    answer = await client.post(f"{DATA}/describe", json={"paths": [path], "values": values})
    assert answer.json()["counts"] == {"done": 1}, answer.text


async def fields(site: Site) -> None:
    boss = await site.user("boss", "NormalUser", "DataManager")
    for name, kind, holder in (("run", "int", "directory"), ("events", "int", "file")):
        answer = await boss.post(f"{DATA}/fields", json={"name": name, "type": kind, "holder": holder})
        assert answer.status_code == 200, answer.text


async def test_files_that_are_there_and_files_that_come_are_attached_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "PAGE", 2)
    monkeypatch.setattr(attaching, "DIRECTORIES", 2)
    ann = await site.user("ann")
    await fields(site)
    await registered(ann, *RUN7, "/lhcb/data/run8/other.dst", "/lhcb/aside/1")
    await described(ann, "/lhcb/data/run7", run=7)
    await made(ann, "seven", conditions=["run = 7"], path="/lhcb/data", plugin="OnePerFile")
    await until(ann, "seven", lambda it: it["tasks"] == 7)
    await registered(ann, "/lhcb/data/run7/late.dst", "/lhcb/data/run8/late.dst")
    await until(ann, "seven", lambda it: it["tasks"] == 8)
    assert set(await states(ann, "seven")) == {*RUN7, "/lhcb/data/run7/late.dst"}
    await described(ann, "/lhcb/data/run8", run=7)
    found = await until(ann, "seven", lambda it: it["tasks"] == 10)
    assert found["attached"] == 10
    assert {each["job"] for each in await tasks(ann, "seven")} != {None}
    assert (await audited(ann, "seven"))["claimed"] == 10
    await made(ann, "hasty", conditions=["run = 7"], group_size=4)
    await act(ann, "hasty", "drain")
    found = await until(ann, "hasty", lambda it: it["assigned"] == 10)
    assert found["status"] == "Draining", "what was there at the start is taken to its end"


async def test_a_file_is_taken_when_it_is_described_and_not_while_nobody_may_read_it(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob", group="others")
    await fields(site)
    await made(bob, "rich", conditions=["events > 10"], plugin="OnePerFile")
    await made(ann, "mine", conditions=["events > 10", "size < 100"])
    await act(ann, "mine", "pause")
    await registered(ann, "/lhcb/open/1", "/lhcb/open/2", "/lhcb/secret/1")
    answer = await ann.post(f"{DATA}/directories/protect", json={"paths": ["/lhcb/secret"], "mode": 0o700})
    assert answer.json()["counts"] == {"done": 1}
    await described(ann, "/lhcb/open/1", events=11)
    await described(ann, "/lhcb/open/2", events=10)
    await described(ann, "/lhcb/secret/1", events=12)
    await until(ann, "mine", lambda it: it["attached"] == 2)
    assert set(await states(ann, "rich")) == {"/lhcb/open/1"}
    assert set(await states(ann, "mine")) == {"/lhcb/open/1", "/lhcb/secret/1"}
    assert set(await states(bob, "mine")) == {"/lhcb/open/1"}, "nor does a transformation tell of it"
    for route in (f"{ROUTE}/mine/why?lfn=/lhcb/secret/1", f"{DATA}/meta?path=/lhcb/secret/1"):
        refusal(await bob.get(route), 403, "data-forbidden")
    assert (await shown(ann, "mine"))["tasks"] == 0, "it is paused"
    (why,) = (await ann.get(f"{ROUTE}/rich/why", params={"lfn": "/lhcb/open/2"})).json()["reasons"]
    assert (why["code"], why["condition"]) == ("condition", "events > 10")


async def test_every_plugin_packs_what_a_real_catalogue_says(site: Site) -> None:
    ann = await site.user("ann")
    gigabyte = 10**9
    big, small = tuple(f"/lhcb/big/{n}" for n in range(3)), tuple(f"/lhcb/small/{n}" for n in range(4))
    await registered(ann, *big, size=gigabyte)
    await registered(ann, *small, size=gigabyte // 2)
    await made(ann, "size", (*big, *small), plugin="BySize", group_size=1)
    found = await until(ann, "size", lambda it: it["assigned"] == 7)
    assert found["tasks"] == 5
    targets = ["LCG.CERN.cern", "LCG.RAL.uk"]
    await made(ann, "all", big, plugin="Broadcast", group_size=3, targets=targets)
    await until(ann, "all", lambda it: it["tasks"] == 2)
    assert [each["target"] for each in await tasks(ann, "all")] == targets
    assert (await audited(ann, "all"))["inputs"] == 6
    listed, after = [], ""
    while after is not None:
        page = (await ann.get(f"{ROUTE}/all/files", params={"limit": 3, "after": after})).json()
        listed, after = listed + [(each["lfn"], each["target"]) for each in page["files"]], page["next"]
    assert sorted(listed) == [(lfn, target) for lfn in big for target in targets], "pages part a file's targets"
    refusal(await ann.get(f"{ROUTE}/all/files", params={"after": "x"}), 400, "malformed")
    await made(ann, "share", small, plugin="ByShare", shares={targets[0]: 3, targets[1]: 1})
    await until(ann, "share", lambda it: it["tasks"] == 4)
    assert sorted(each["target"] for each in await tasks(ann, "share")) == [targets[0]] * 3 + [targets[1]]
    await made(ann, "produce", max_tasks=3, source="none", job={"executable": "/bin/echo", "arguments": "{task}"})
    await until(ann, "produce", lambda it: it["tasks"] == 3)
    job = (await tasks(ann, "produce"))[1]["job"]
    asked = (await ann.get(f"/api/v1/jobs/{job}")).json()
    assert (asked["name"], asked["job_group"]) == ("produce_00000002", "produce")
    await act(ann, "produce", "extend", max_tasks=5)
    await until(ann, "produce", lambda it: it["tasks"] == 5)


async def test_what_is_wrong_is_refused_with_a_field_and_other_vos_see_nothing(site: Site) -> None:
    ann, eve = await site.user("ann"), await site.user("eve", vo="cms", group="cms_user")
    wrong = {"name": "bad", "job": {"executable": "/bin/true", "nonsense": 1}}
    assert "nonsense" in refusal(await ann.post(ROUTE, json=wrong), 422, "description")["detail"]
    wrong = {"name": "bad", "job": {"executable": "/bin/true"}, "group_size": 0}
    assert refusal(await ann.post(ROUTE, json=wrong), 422, "transformation")["field"] == "group_size"
    wrong = {"name": "bad", "job": {"executable": "/bin/true"}, "conditions": ["nobody = 1"]}
    refusal(await ann.post(ROUTE, json=wrong), 422, "field-unknown")
    await made(ann, "ours", start=False)
    answer = await ann.post(f"{ROUTE}/ours/inputs", json={"lfns": ["/lhcb/none", "/cms/a"]})
    assert [each["error"]["code"] for each in answer.json()["results"]] == ["file-unknown", "file-name"]
    refusal(await eve.get(f"{ROUTE}/ours"), 404, "transformation-unknown")
    refusal(await eve.post(f"{ROUTE}/ours/start", json={}), 404, "transformation-unknown")
    refusal(await eve.post(f"{ROUTE}/ours/inputs", json={"lfns": ["/cms/a"]}), 404, "transformation-unknown")
    assert (await eve.get(ROUTE)).json()["transformations"] == []
    assert [each["name"] for each in (await ann.get(ROUTE)).json()["transformations"]] == ["ours"]
