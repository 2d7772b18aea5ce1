"""The log keeps what it is given: expected versions, all or nothing, and no change ever after."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest
from installation import Installation, fact, on_18, on_either, submit, submitted  # noqa: F401

from domain.errors import Code, Refused
from domain.job import Job
from domain.messages import Event, Origin
from domain.pilot import Pilot, RequestPilot
from domain.values import job_stream
from infra.codec import FORGOTTEN, SEAL
from infra.store import Conflict, Store, table


async def names(core: Installation, job: int) -> list[str]:
    """The owner's name as a freshly started process reads it."""
    store = Store(core.pool, core.system.codec())
    events = await store.history("jobs", job_stream(job))
    return [event.event.owner_name for event in events if isinstance(event.event, Job.Submitted)]


async def test_what_was_appended_is_loaded_in_its_order_with_all_that_surrounds_it(either: Installation) -> None:
    first, second, other = fact(submitted(1)), fact(Job.Checked(), version=2), fact(submitted(2), job=2)
    await either.append(second, other, first)
    async with either.pool.acquire() as connection:
        loaded = await either.store.load(connection, "jobs", [job_stream(1), job_stream(2), job_stream(3)])
    assert loaded.keys() == {job_stream(1), job_stream(2)}
    assert [event.version for event in loaded[job_stream(1)]] == [1, 2]
    found = loaded[job_stream(1)][1]
    assert (found.event, found.id, found.actor, found.vo, found.at) == (
        second.event, second.id, second.actor, second.vo, second.at,
    )  # fmt: skip
    assert found.position > 0


async def test_an_expected_version_that_is_taken_is_a_conflict_and_voids_the_whole_append(core: Installation) -> None:
    await core.append(fact(submitted(1)), fact(submitted(2), job=2))
    taken = [fact(submitted(3), job=3), fact(Job.Checked(), job=1, version=2), fact(Job.Checked(), job=2, version=1)]
    with pytest.raises(Conflict):
        await core.append(*taken)
    assert await core.count("log_jobs") == 2


async def test_one_append_continues_several_streams(core: Installation) -> None:
    await core.append(fact(submitted(1)), fact(submitted(2), job=2))
    await core.append(fact(Job.Checked(), version=2), fact(Job.Checked(), job=2, version=2))
    rows = await core.pool.fetch("select stream_id, max(version) from log_jobs group by 1")
    assert {row[0]: row[1] for row in rows} == {job_stream(1): 2, job_stream(2): 2}


async def test_of_many_who_expect_the_same_version_one_wins(core: Installation) -> None:
    done = await asyncio.gather(*(core.append(fact(submitted(1))) for _ in range(10)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in done) == ["Conflict"] * 9 + ["NoneType"]


async def test_a_deadlock_is_a_conflict(core: Installation) -> None:
    """Two transactions that wait for each other: one gives way, and its work is decided again."""
    met = asyncio.Barrier(2)

    async def change(first: str, second: str) -> None:
        async with core.store.transaction() as connection:
            await connection.execute("update log_heads set position = position + 1 where log = $1", first)
            await met.wait()
            await connection.execute("update log_heads set position = position + 1 where log = $1", second)

    done = await asyncio.gather(
        change("log_jobs", "log_pilots"), change("log_pilots", "log_jobs"), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in done) == ["Conflict", "NoneType"]


CHANGES = {
    "update": "update {} set actor = 'somebody else'",
    "delete": "delete from {}",
    "truncate": "truncate {}",
    "merge": "merge into {} l using (select 1) x on true when matched then update set vo = ''",
}


@pytest.mark.parametrize("name", ["log_jobs", "log_jobs_0", "log_jobs_1", "log_pilots"])
@pytest.mark.parametrize("change", CHANGES)
async def test_the_log_is_append_only_for_everybody(either: Installation, name: str, change: str) -> None:
    await either.append(fact(submitted(1)), fact(submitted(2), job=1 << 20))
    await either.append(fact(Pilot.Requested("p1", "s"), stream=uuid4()), log="pilots")
    before = await either.pool.fetch(f"select * from {name}")
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await either.pool.execute(CHANGES[change].format(name))
    assert await either.pool.fetch(f"select * from {name}") == before
    assert before


async def test_a_partition_made_later_is_append_only_too(core: Installation) -> None:
    await core.pool.execute("select create_job_range(7)")
    await core.append(fact(submitted(7 << 20), job=7 << 20))
    for change in CHANGES.values():
        with pytest.raises(asyncpg.RestrictViolationError):
            await core.pool.execute(change.format("log_jobs_7"))
    assert await core.count("log_jobs_7") == 1


async def test_a_partition_is_made_while_somebody_writes(core: Installation) -> None:
    async with core.store.transaction() as connection:
        await core.store.append(connection, "jobs", [fact(submitted(1))])
        await asyncio.wait_for(core.pool.execute("select create_job_range(5)"), 20)
        await core.store.append(connection, "jobs", [fact(Job.Checked(), version=2)])
    assert await core.count("log_jobs") == 2


async def test_a_name_is_stored_sealed_and_read_in_clear(core: Installation) -> None:
    await core.append(fact(submitted(1, "ann", "Ann Example")), fact(submitted(2, "bob", "Bob Example"), job=2))
    stored = await core.pool.fetch("select data from log_jobs")
    assert all(SEAL in row["data"] and "Example" not in row["data"] for row in stored)
    assert await names(core, 1) == ["Ann Example"]
    assert await names(core, 2) == ["Bob Example"]


async def test_forgetting_a_key_forgets_that_person_while_the_bytes_stay(core: Installation) -> None:
    await core.append(fact(submitted(1, "ann", "Ann Example")), fact(submitted(2, "bob", "Bob Example"), job=2))
    before = await core.pool.fetch("select * from log_jobs order by position")
    assert await core.store.forget("ann")
    assert not await core.store.forget("ann")
    assert await core.pool.fetch("select * from log_jobs order by position") == before
    assert await names(core, 1) == [FORGOTTEN]
    assert await names(core, 2) == ["Bob Example"]
    (event,) = await core.store.history("jobs", job_stream(1))
    assert event.event.owner_name == FORGOTTEN  # type: ignore[attr-defined]


async def test_a_person_who_comes_back_after_being_forgotten_gets_a_new_key(core: Installation) -> None:
    await core.append(fact(submitted(1, "ann", "Ann Example")))
    await core.store.forget("ann")
    await core.store.history("jobs", job_stream(1))  # this process has seen that the key is gone
    await core.append(fact(submitted(2, "ann", "Ann Again"), job=2))
    assert await names(core, 1) == [FORGOTTEN]
    assert await names(core, 2) == ["Ann Again"]


async def test_a_key_that_was_made_in_a_voided_transaction_seals_nothing_later(core: Installation) -> None:
    await core.append(fact(submitted(1, "bob", "Bob")))
    for _ in range(2):
        with pytest.raises(Conflict):
            await core.append(fact(submitted(2, "ann", "Ann Example"), job=2), fact(submitted(1)))
    await core.append(fact(submitted(2, "ann", "Ann Example"), job=2))
    assert await names(core, 2) == ["Ann Example"]


async def test_a_key_seen_twice_in_a_voided_transaction_seals_nothing_later(core: Installation) -> None:
    with pytest.raises(ZeroDivisionError):
        async with core.store.transaction() as connection:
            for job in (1, 2):
                async with connection.transaction():
                    await core.store.append(connection, "jobs", [fact(submitted(job, "ann", "Ann"), job=job)])
            raise ZeroDivisionError
    await core.append(fact(submitted(3, "ann", "Ann Example"), job=3))
    assert await names(core, 3) == ["Ann Example"]


async def test_two_writers_who_meet_a_new_person_at_once_use_one_key(core: Installation) -> None:
    await asyncio.gather(*(core.append(fact(submitted(job, "ann", "Ann Example"), job=job)) for job in range(1, 9)))
    assert await core.count("subject_keys") == 1
    for job in range(1, 9):
        assert await names(core, job) == ["Ann Example"]


async def test_an_event_says_who_asked_why_and_with_which_token(core: Installation) -> None:
    cause, correlation = uuid4(), uuid4()
    asked = Origin("user:ann", "lhcb", fact(Job.Checked()).at, cause, correlation, token="t-17")
    async with core.store.transaction() as connection:
        from infra.decider import Ask

        await core.decider.decide(connection, [Ask(submit(1), asked)])
    row = await core.pool.fetchrow("select * from log_jobs")
    assert (row["actor"], row["cause_id"], row["correlation_id"], row["token"]) == (
        "user:ann",
        cause,
        correlation,
        "t-17",
    )


async def test_rows_are_read_in_order_of_position_between_bounds_and_of_some_partitions(core: Installation) -> None:
    await core.append(*(fact(submitted(job), job=job) for job in range(1, 40)))
    async with core.pool.acquire() as connection:
        rows = await core.store.read(connection, "jobs", 10, 30, 5)
        assert [row["position"] for row in rows] == [11, 12, 13, 14, 15]
        some = await core.store.read(connection, "jobs", 0, partitions=(16, (1, 2)))
    assert [core.store.recorded(row).event.job for row in some] == [1, 2, 17, 18, 33, 34]  # type: ignore[attr-defined]


async def test_logs_do_not_share_positions_and_their_names_are_no_input(core: Installation) -> None:
    await core.append(fact(submitted(1)))
    await core.ask(RequestPilot("lhcb", "p1", "s"))
    assert await core.pool.fetchval("select max(position) from log_pilots") == 1
    with pytest.raises(ValueError, match="no name of a log"):
        table("jobs; drop table log_jobs")


async def test_bodies_are_kept_once_and_an_unknown_one_is_refused(core: Installation) -> None:
    await core.store.keep_bodies({"d1": "first"})
    await core.store.keep_bodies({"d1": "second", "d2": "other"})
    await core.store.keep_bodies({})
    assert await core.store.body("d1") == "first"
    with pytest.raises(Refused) as refusal:
        await core.store.body("d3")
    assert refusal.value.code is Code.NOT_FOUND


async def test_nothing_to_append_is_nothing(core: Installation) -> None:
    none: list[Event] = []
    await core.append(*map(fact, none))
    assert await core.count("log_jobs") == 0
