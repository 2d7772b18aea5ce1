"""Commands for later: kept in PostgreSQL, fired when they are due, once as far as anybody can see."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from installation import Installation, fact, installed, on_18, submit, submitted  # noqa: F401
from servers import PostgreSQL

from domain.errors import Code, Refused
from domain.job import Job, KillJob, QueueJob
from domain.messages import Command, Event, Later, Recorded
from domain.values import job_stream
from infra.bus.messages import Outcome, Request
from infra.dispatch import Dispatcher
from infra.liveness import Liveness
from infra.store import Connection
from infra.timers import BATCH, PUT_OFF, Timers, set_timers

SOON, LONG_AGO = timedelta(minutes=5), timedelta(days=-1)
STREAM = job_stream(1)


class Desk:
    """The command side behind a bus that keeps what passes."""

    def __init__(self, core: Installation) -> None:
        self.dispatcher = Dispatcher(core.decider, lambda log: None)
        self.asked: list[Request] = []
        self.answered: list[Outcome] = []
        self.codes: dict[str, str] = {}  # topics that are answered with a code, undecided
        self.away = 0

    async def request(self, requests: Sequence[Request], timeout: float) -> list[Outcome]:
        self.asked += requests
        if self.away:
            self.away -= 1
            raise Refused(Code.BUS_AWAY)
        outcomes = [
            Outcome(one.id, False, self.codes[one.topic])
            if one.topic in self.codes
            else (await self.dispatcher([one]))[0]
            for one in requests
        ]
        self.answered += outcomes
        return outcomes


@pytest.fixture
def desk(core: Installation) -> Desk:
    return Desk(core)


def timers(core: Installation, desk: Desk) -> Timers:
    return Timers(core.store, desk, core.wakes)  # type: ignore[arg-type]


async def set_(core: Installation, *laters: Later, cause: Recorded[Event] | None = None) -> None:
    async with core.store.transaction() as connection:
        await set_timers(connection, [(cause or fact(submitted(1)), later) for later in laters], core.store)


async def fire(core: Installation, desk: Desk) -> datetime | None:
    async with core.pool.acquire() as connection:
        return await timers(core, desk).fire(connection)


def later(command: Command | None = None, name: str = "state", after: timedelta = LONG_AGO, job: int = 1) -> Later:
    return Later(job_stream(job), name, command or QueueJob(job), datetime.now(UTC) + after)


async def pending(core: Installation) -> list[tuple[UUID, str, str]]:
    rows = await core.pool.fetch("select stream_id, name, topic from timers order by stream_id, name")
    return [tuple(row) for row in rows]


async def test_a_timer_that_is_due_is_decided_and_gone(core: Installation, desk: Desk) -> None:
    await core.ask(submit(1))
    cause = fact(submitted(1))
    await set_(core, later(), cause=cause)
    assert await fire(core, desk) is None
    (asked,) = desk.asked
    assert (asked.actor, asked.vo, asked.cause, asked.correlation) == ("timer", "lhcb", cause.id, cause.id)
    assert await core.pool.fetchval("select status from jobs") == "Waiting"
    assert await pending(core) == []


async def test_a_timer_that_is_not_due_stays_and_its_time_is_told(core: Installation, desk: Desk) -> None:
    one = later(after=SOON)
    await set_(core, one, later(after=SOON * 2, job=2))
    assert await fire(core, desk) == one.at
    assert (len(await pending(core)), desk.asked) == (2, [])


async def test_a_second_timer_of_the_same_name_replaces_the_first(core: Installation, desk: Desk) -> None:
    await set_(core, later(QueueJob(1)))
    await set_(core, later(KillJob(1), after=SOON), later(QueueJob(1), name="other", after=SOON))
    assert await pending(core) == [(STREAM, "other", "job.queue"), (STREAM, "state", "job.kill")]
    assert await fire(core, desk) is not None
    assert desk.asked == []


async def test_the_last_word_on_a_timer_counts(core: Installation) -> None:
    await set_(core, later(), Later(STREAM, "state"))
    assert await pending(core) == []
    await set_(core, Later(STREAM, "state"), later())
    assert await pending(core) == [(STREAM, "state", "job.queue")]


async def test_a_dropped_timer_is_gone_with_the_signs_of_life_of_its_stream(core: Installation, desk: Desk) -> None:
    liveness = Liveness(core.pool)
    liveness.heard(STREAM)
    liveness.heard(job_stream(2))
    await liveness.flush()
    await set_(core, later(), later(job=2))
    await set_(core, Later(STREAM, "state"), Later(job_stream(9), "state"))
    assert await pending(core) == [(job_stream(2), "state", "job.queue")]
    assert await core.pool.fetchval("select array_agg(stream_id) from liveness") == [job_stream(2)]


async def test_a_voided_transaction_sets_no_timer(core: Installation) -> None:
    with pytest.raises(ZeroDivisionError):
        async with core.store.transaction() as connection:
            await set_timers(connection, [(fact(submitted(1)), later())], core.store)
            raise ZeroDivisionError
    assert await pending(core) == []


async def test_a_timer_survives_the_process_that_set_it_and_a_crash_of_the_database(
    postgres_server: PostgreSQL, database: str
) -> None:
    async with installed(database) as core:
        await core.ask(submit(1))
        await set_(core, later())
    postgres_server.kill()
    postgres_server.start()
    async with installed(database) as core:
        desk = Desk(core)
        await fire(core, desk)
        assert [outcome.ok for outcome in desk.answered] == [True]


class Forgetful:
    """A connection that dies between the answer and the note of it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    async def execute(self, query: str, *arguments: Any) -> Any:
        if query.startswith("delete"):
            raise OSError
        return await self.connection.execute(query, *arguments)


async def test_a_timer_that_fires_twice_has_one_effect(core: Installation, desk: Desk) -> None:
    await core.ask(submit(1))
    await set_(core, later())
    async with core.pool.acquire() as connection:
        for _ in range(2):
            with pytest.raises(OSError):
                await timers(core, desk).fire(Forgetful(connection))
    await fire(core, desk)
    assert [(outcome.ok, outcome.received) for outcome in desk.answered] == [(True, 1), (True, 2), (True, 3)]
    assert await core.count("log_jobs") == 3  # submitted, checked, queued
    assert await pending(core) == []


async def test_a_bus_that_is_away_leaves_the_timer_where_it_is(core: Installation, desk: Desk) -> None:
    await core.ask(submit(1))
    await set_(core, later())
    desk.away = 1
    with pytest.raises(Refused):
        await fire(core, desk)
    await fire(core, desk)
    assert [outcome.ok for outcome in desk.answered] == [True]
    assert len({one.id for one in desk.asked}) == 1


@pytest.mark.parametrize("code", [Code.BROKEN, Code.BUSY, Code.DATABASE_AWAY, Code.DEADLINE, Code.TOPIC_UNKNOWN])
async def test_a_timer_nobody_decided_stays_behind_the_others(core: Installation, desk: Desk, code: Code) -> None:
    """A state whose timer is gone would never end."""
    await core.ask(submit(1), submit(2))
    await set_(core, later(KillJob(1)), later(job=2))
    desk.codes = {"job.kill": code.slug}
    due = await fire(core, desk)
    assert due is not None
    assert due > datetime.now(UTC)
    assert await pending(core) == [(STREAM, "state", "job.kill")]
    assert await core.pool.fetchval("select status from jobs where job = 2") == "Waiting"


async def test_a_timer_that_is_refused_has_been_decided(core: Installation, desk: Desk) -> None:
    await set_(core, later())
    await fire(core, desk)
    assert [outcome.code for outcome in desk.answered] == ["job-unknown"]
    assert await pending(core) == []


async def test_a_timer_that_is_replaced_while_it_fires_is_not_lost(core: Installation, desk: Desk) -> None:
    await core.ask(submit(1))
    await set_(core, later())
    sound = desk.request

    async def slow(requests: Sequence[Request], timeout: float) -> list[Outcome]:
        outcomes = await sound(requests, timeout)
        await set_(core, later(KillJob(1), after=SOON))
        return outcomes

    desk.request = slow  # type: ignore[method-assign]
    await fire(core, desk)
    assert await pending(core) == [(STREAM, "state", "job.kill")]


async def test_whatever_is_heard_of_a_stream_puts_its_timer_off(core: Installation, desk: Desk) -> None:
    silent = timedelta(minutes=30)
    quiet, noisy = fact(Job.Started(1, 1)), fact(Job.Started(1, 1), job=2)
    at = datetime.now(UTC) + LONG_AGO
    await set_(core, Later(STREAM, "state", KillJob(1), at, silent), cause=quiet)
    await set_(core, Later(job_stream(2), "state", KillJob(2), at, silent), cause=noisy)
    await set_(core, Later(job_stream(3), "state", KillJob(3), at), cause=noisy)  # it does not listen
    liveness = Liveness(core.pool)
    liveness.heard(job_stream(2))
    liveness.heard(job_stream(3))
    await liveness.flush()
    seen = await core.pool.fetchval("select seen from liveness where stream_id = $1", job_stream(2))
    assert await fire(core, desk) == seen + silent
    assert sorted(bytes(one.data) for one in desk.asked) == [b'{"job":1}', b'{"job":3}']


async def test_what_was_heard_before_the_silence_began_does_not_matter(core: Installation, desk: Desk) -> None:
    await core.pool.execute("insert into liveness values ($1, now() - interval '2 hours', null)", STREAM)
    at = datetime.now(UTC) + LONG_AGO
    await set_(core, Later(STREAM, "state", KillJob(1), at, timedelta(minutes=30)))
    await fire(core, desk)
    assert len(desk.asked) == 1


async def test_more_timers_than_one_look_takes_are_fired_in_the_order_they_are_due(
    core: Installation, desk: Desk
) -> None:
    count = BATCH + 50
    await set_(
        core, *(later(KillJob(job), after=LONG_AGO - timedelta(seconds=job), job=job) for job in range(1, count))
    )
    await fire(core, desk)
    jobs = [int(bytes(one.data)[7:-1]) for one in desk.asked]
    assert jobs == list(range(count - 1, 0, -1))
    assert await pending(core) == []


async def until_gone(core: Installation) -> None:
    async with asyncio.timeout(30):
        while await pending(core):
            await asyncio.sleep(0.02)


async def test_a_running_keeper_is_woken_by_a_new_timer(core: Installation, desk: Desk) -> None:
    keeper = timers(core, desk)
    running = asyncio.create_task(keeper.run())
    await core.ask(submit(1))
    await set_(core, later(after=timedelta(milliseconds=300)))
    core.wakes.wake("timers")
    await until_gone(core)
    running.cancel()
    assert [outcome.ok for outcome in desk.answered] == [True]


class Spy:
    """A connection that keeps the statements it is given."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.statements: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        async def call(query: str, *arguments: Any) -> Any:
            self.statements.append((query, arguments))
            return await getattr(self.connection, name)(query, *arguments)

        return call


async def indexed(connection: Connection, query: str, *arguments: Any) -> str:
    """How the database goes about this query, which is not by reading a whole table."""
    plan = "\n".join(row[0] for row in await connection.fetch(f"explain {query}", *arguments))
    assert "Seq Scan" not in plan, plan
    return plan


async def test_a_hundred_thousand_pending_timers_are_found_through_the_index(core: Installation, desk: Desk) -> None:
    await core.pool.execute(
        "insert into timers select gen_random_uuid(), 'state', now() + n * interval '1 minute', 'job.kill', "
        "'{\"job\":1}', 'lhcb', null, null, case when n % 2 = 0 then interval '1 hour' end "
        "from generate_series(1, 100000) n"
    )
    await core.pool.execute("insert into liveness select stream_id, now(), null from timers where silence is not null")
    await core.pool.execute("analyze timers; analyze liveness")
    await set_(core, later(KillJob(7), job=7))
    async with core.pool.acquire() as connection:
        spy = Spy(connection)
        await timers(core, desk).fire(spy)
        looks = [(query, arguments) for query, arguments in spy.statements if not query.startswith("delete")]
        assert len(looks) == 3  # what is due, twice; then when the next one is
        for query, arguments in looks:
            assert "timers_by_due" in await indexed(connection, query, *arguments)
        silent = await connection.fetch("select * from timers where silence is not null order by due limit 500")
        keys = [[row[name] for row in silent] for name in ("stream_id", "name", "due")]
        assert "liveness_pkey" in await indexed(connection, PUT_OFF, *keys)
    assert len(desk.asked) == 1
