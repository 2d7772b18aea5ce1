"""Transformations over the gateway: each file once, in groups, as jobs whose ends are counted."""

import asyncio
from uuid import uuid4

from gateway_site import VO, Site, refusal
from transforming import ROUTE, act, audited, badly, made, registered, states, tasks, until, well, work

from domain.transformations.inputs import AddInputs
from domain.transformations.names import task_stream
from domain.transformations.task import PackInputs
from gateway.ports import Principal

LFNS = tuple(f"/lhcb/data/{n}.dst" for n in range(5))


async def test_files_become_tasks_tasks_become_jobs_and_their_ends_are_counted(site: Site) -> None:
    ann = await site.user("ann")
    await registered(ann, *LFNS)
    await made(ann, "merge", LFNS, group_size=2)
    found = await until(ann, "merge", lambda it: it["open_tasks"] == 2)
    assert (found["attached"], found["assigned"], found["unused"]) == (5, 4, 1), "a group of one waits for another file"
    await work(site, 2, well)
    await until(ann, "merge", lambda it: it["processed"] == 4)
    await act(ann, "merge", "drain")
    await until(ann, "merge", lambda it: it["tasks"] == 3)
    await work(site, 1, well)
    found = await until(ann, "merge", lambda it: it["status"] == "Completed")
    assert (found["processed"], found["open_tasks"], found["done_tasks"]) == (5, 0, 3)
    assert set((await states(ann, "merge")).values()) == {"Processed"}
    assert (await audited(ann, "merge"))["processed"] == 5


async def test_what_fails_is_tried_again_split_and_kept_aside_with_the_reason(site: Site) -> None:
    ann = await site.user("ann")
    await registered(ann, *LFNS[:2])
    await made(ann, "fail", LFNS[:2], group_size=2, retries=1, then="split")
    first = (await work(site, 2, badly))[0]["job"]
    found = await until(ann, "fail", lambda it: it["tasks"] == 3)
    assert (found["retries"], found["assigned"]) == (1, 2)
    await work(site, 2, lambda match: well(match) if match["attempt"] == 1 else badly(match))
    await until(ann, "fail", lambda it: it["processed"] == 2)
    assert [(each["status"], each["parent"]) for each in await tasks(ann, "fail")] == [
        ("Split", None), ("Done", 1), ("Done", 1),
    ]  # fmt: skip
    assert first == (await tasks(ann, "fail"))[0]["job"]
    await audited(ann, "fail")


async def test_what_was_kept_aside_can_be_tried_again(site: Site) -> None:
    ann, bob = await site.user("ann"), await site.user("bob")
    await registered(ann, LFNS[0])
    await made(ann, "again", LFNS[:1], plugin="OnePerFile")
    await work(site, 1, badly)
    await until(ann, "again", lambda it: it["quarantined"] == 1)
    (reason,) = (await ann.get(f"{ROUTE}/again/why")).json()["reasons"]
    assert (reason["code"], reason["because"], reason["inputs"]) == ("quarantined", "exit-code", 1)
    refusal(await bob.post(f"{ROUTE}/again/retry", json={}), 403, "forbidden")
    assert (await act(ann, "again", "retry"))["retried"] == 1
    await work(site, 1, well)
    await until(ann, "again", lambda it: it["processed"] == 1)
    await audited(ann, "again")


async def test_cleaning_kills_what_runs(site: Site) -> None:
    ann = await site.user("ann")
    await registered(ann, *LFNS)
    await made(ann, "clean", LFNS, plugin="OnePerFile")
    await until(ann, "clean", lambda it: it["open_tasks"] == 5)
    refusal(await ann.post(f"{ROUTE}/clean/clean", json={}), 409, "transformation-state")
    await act(ann, "clean", "complete")
    await act(ann, "clean", "clean")
    await until(ann, "clean", lambda it: it["status"] == "Cleaned" and not it["open_tasks"])
    for task in await tasks(ann, "clean"):
        assert (await ann.get(f"/api/v1/jobs/{task['job']}")).json()["status"] == "Killed"
    await audited(ann, "clean")


async def test_many_who_attach_and_pack_at_once_claim_every_input_once(site: Site) -> None:
    ann, boss = await site.user("ann"), Principal("user", "boss", VO, rights=frozenset({"Operator"}))
    lfns = tuple(f"/lhcb/race/{n:03d}" for n in range(60))
    await registered(ann, *lfns)
    await made(ann, "race", max_tasks=0, group_size=7)
    parts = [lfns[start : start + 20] for start in (0, 10, 20, 30, 40)] * 2
    adding = [site.world.ask(boss, [(uuid4(), AddInputs(VO, "race", "boss", "", part))]) for part in parts]
    packing = [site.world.ask(boss, [(uuid4(), PackInputs(VO, "race"))]) for _ in range(8)]
    for (answer,) in await asyncio.gather(*adding, *packing):
        assert answer.refusal is None, answer.refusal
    found = await until(ann, "race", lambda it: it["tasks"] == 8)
    assert (found["attached"], found["assigned"], found["unused"]) == (60, 56, 4)
    await audited(ann, "race")
    redelivered = site.work.runtime.system.batches["transformations_going_on"](site.work.runtime)
    store = site.work.runtime.store
    async with store.transaction() as connection:
        streams = [task_stream(VO, "race", n) for n in range(1, 9)]
        events = [
            each for known in (await store.load(connection, "transformations", streams)).values() for each in known
        ]
        await redelivered(connection, events)
    jobs = await site.work.runtime.pool.fetchval("select count(*) from jobs where job_group = 'race'")
    assert jobs == 8, "a second delivery submits nothing"
