"""Load, decide, append: a batch of commands in one transaction."""

import asyncio
from uuid import UUID

import pytest
from installation import Installation, fact, on_18, origin, submit, submitted  # noqa: F401

from domain.errors import Code
from domain.job import CheckJob, Job, KillJob, QueueJob, RescheduleJob, SubmitJob
from domain.messages import Command, Event, Recorded
from domain.pilot import AdmitPilot, Pilot, RequestPilot
from domain.values import job_stream
from infra.decider import Ask, Verdict
from infra.store import Conflict


async def test_later_commands_of_a_batch_see_what_earlier_ones_decided(core: Installation) -> None:
    verdicts = await core.ask(submit(1), CheckJob(1), QueueJob(1), KillJob(1))
    assert [verdict.version for verdict in verdicts] == [1, 2, 3, 4]
    assert [type(event.event) for verdict in verdicts for event in verdict.events] == [
        Job.Submitted, Job.Checked, Job.Queued, Job.Killed,
    ]  # fmt: skip


async def test_a_refusal_touches_only_its_asker(core: Installation) -> None:
    verdicts = await core.ask(submit(1), submit(1), KillJob(9), submit(2))
    codes = [verdict.refusal.code if verdict.refusal else None for verdict in verdicts]
    assert codes == [None, Code.JOB_EXISTS, Code.JOB_UNKNOWN, None]
    assert await core.count("log_jobs") == 2


async def test_commands_of_several_aggregates_are_one_transaction(core: Installation) -> None:
    await core.ask(submit(1), RequestPilot("lhcb", "p1", "s"), AdmitPilot("lhcb", "p1", "s", "a"))
    assert (await core.count("log_jobs"), await core.count("log_pilots")) == (1, 2)
    assert (await core.count("jobs"), await core.count("pilots")) == (1, 1)


async def test_inline_views_are_there_when_the_append_is_and_gone_when_it_is_void(core: Installation) -> None:
    await core.ask(submit(1), QueueJob(1))
    assert await core.pool.fetchval("select status from jobs") == "Waiting"
    assert await core.count("pilot_queue") == 1
    with pytest.raises(ZeroDivisionError):
        async with core.store.transaction() as connection:
            await core.decider.write(connection, "jobs", [fact(Job.Killed(1), version=4)])
            raise ZeroDivisionError
    assert await core.pool.fetchval("select status from jobs") == "Waiting"
    assert await core.count("pilot_queue") == 1


async def test_views_see_names_in_clear_and_the_log_never(core: Installation) -> None:
    await core.ask(SubmitJob(1, "ann", "Ann Example", "user", "d", submitted(1).requirements))
    assert await core.pool.fetchval("select owner_name from jobs") == "Ann Example"
    assert "Ann Example" not in await core.pool.fetchval("select data from log_jobs")


async def test_of_two_who_decide_on_the_same_state_one_meets_a_conflict(core: Installation) -> None:
    await core.ask(submit(1))
    met = asyncio.Barrier(2)

    async def kill() -> None:
        async with core.store.transaction() as connection:
            states = await core.store.load(connection, "jobs", [job_stream(1)])
            assert len(states[job_stream(1)]) == 1
            await met.wait()
            version = len(states[job_stream(1)]) + 1
            await core.decider.write(connection, "jobs", [fact(Job.Killed(1), version=version)])

    done = await asyncio.gather(kill(), kill(), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in done) == ["Conflict", "NoneType"]
    assert await core.pool.fetchval("select version from jobs") == 2


async def test_a_conflict_leaves_no_view_behind(core: Installation) -> None:
    await core.append(fact(submitted(1)))
    with pytest.raises(Conflict):
        async with core.store.transaction() as connection:
            await core.decider.write(connection, "jobs", [fact(submitted(1)), fact(submitted(2), job=2)])
    assert await core.count("jobs") == 0


async def test_a_history_of_any_length_is_replayed_before_the_decision(core: Installation) -> None:
    await core.append(fact(Pilot.Requested("p1", "s"), stream=AdmitPilot("lhcb", "p1", "s", "").stream), log="pilots")
    for number in range(60):
        (verdict,) = await core.ask(AdmitPilot("lhcb", "p1", "s", f"process-{number}"))
    assert verdict.events[0].event.incarnation == 60  # type: ignore[attr-defined]


async def test_nothing_asked_is_nothing_done(core: Installation) -> None:
    assert await core.ask() == []
    assert await core.count("log_jobs") == 0


async def known(core: Installation) -> dict[UUID, list[Recorded[Event]]]:
    """What a consumer of the first event of job 1 holds, whatever happened since."""
    async with core.pool.acquire() as connection:
        return {job_stream(1): (await core.store.load(connection, "jobs", [job_stream(1)]))[job_stream(1)][:1]}


async def decide_knowing(core: Installation, *commands: Command) -> list[Verdict]:
    held = await known(core)
    async with core.store.transaction() as connection:
        return await core.decider.decide(connection, [Ask(command, origin()) for command in commands], held)


async def test_what_a_consumer_holds_of_a_stream_need_not_be_loaded(
    core: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await core.ask(submit(1))
    held = await known(core)
    monkeypatch.setattr(core.store, "load", None)
    async with core.store.transaction() as connection:
        (verdict,) = await core.decider.decide(connection, [Ask(QueueJob(1), origin())], held)
    assert [type(event.event) for event in verdict.events] == [Job.Checked, Job.Queued]


async def test_what_is_decided_on_an_old_history_is_held_to_the_log(core: Installation) -> None:
    await core.ask(submit(1), KillJob(1))
    with pytest.raises(Conflict):
        await decide_knowing(core, QueueJob(1))
    assert await core.count("log_jobs") == 2


async def test_nothing_is_refused_because_of_an_old_history(core: Installation) -> None:
    await core.ask(submit(1), KillJob(1))
    (verdict,) = await decide_knowing(core, RescheduleJob(1))
    assert [type(event.event) for event in verdict.events] == [Job.Rescheduled]
