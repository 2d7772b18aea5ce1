"""The command side: each command once, counted, whatever happens to its neighbours."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from installation import Installation, fact, installed, on_18, request, submit  # noqa: F401
from servers import PostgreSQL

from domain.errors import Code, Refused
from domain.job import CheckJob, Job, KillJob, QueueJob, StartJob
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.values import job_stream
from infra.app import CORE
from infra.bus.local import LocalBus
from infra.bus.messages import DeadLetter, Request, now
from infra.dispatch import Dispatcher
from infra.store import Conflict
from infra.system import System


@pytest.fixture
def dispatcher(core: Installation) -> Dispatcher:
    return Dispatcher(core.decider, lambda log: None)


async def test_outcomes_come_in_the_order_of_the_commands(core: Installation, dispatcher: Dispatcher) -> None:
    requests = [request(submit(2)), request(KillJob(9)), request(submit(1)), request(CheckJob(1))]
    outcomes = await dispatcher(requests)
    assert [outcome.id for outcome in outcomes] == [one.id for one in requests]
    assert [(outcome.ok, outcome.code, outcome.version) for outcome in outcomes] == [
        (True, None, 1), (False, "job-unknown", 0), (True, None, 1), (True, None, 2),
    ]  # fmt: skip


async def test_a_command_that_comes_again_has_no_second_effect_and_is_counted(
    core: Installation, dispatcher: Dispatcher
) -> None:
    await dispatcher([request(submit(1))])
    kill = request(KillJob(1))
    outcomes = [(await dispatcher([kill]))[0] for _ in range(3)]
    assert [(o.ok, o.version, o.stream, o.received) for o in outcomes] == [
        (True, 2, job_stream(1), 1), (True, 2, job_stream(1), 2), (True, 2, job_stream(1), 3),
    ]  # fmt: skip
    assert await core.count("log_jobs") == 2


async def test_a_command_that_is_twice_in_one_batch_is_decided_once_and_counted_twice(
    core: Installation, dispatcher: Dispatcher
) -> None:
    await dispatcher([request(submit(1))])
    kill = request(KillJob(1))
    first, second = await dispatcher([kill, kill])
    assert first == second
    assert (await dispatcher([kill, kill]))[0].received == 4
    assert await core.count("log_jobs") == 2


async def test_a_refusal_is_remembered_even_when_the_command_would_be_possible_now(dispatcher: Dispatcher) -> None:
    kill = request(KillJob(1))
    (before,) = await dispatcher([kill])
    await dispatcher([request(submit(1))])
    (after,) = await dispatcher([kill])
    assert (before.code, after.code, after.received) == ("job-unknown", "job-unknown", 2)
    assert before.parameters == after.parameters


async def test_commands_that_carry_their_own_number_are_not_remembered(
    core: Installation, dispatcher: Dispatcher
) -> None:
    again = request(submit(1))
    assert [(await dispatcher([again]))[0].code for _ in range(2)] == [None, "job-exists"]
    assert await core.count("commands") == 0


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"topic": "job.dance"}, Code.TOPIC_UNKNOWN),
        ({"data": msgspec.Raw(b'{"job":"x"}')}, Code.MALFORMED),
        ({"data": msgspec.Raw(b'{"job":0}')}, Code.MALFORMED),
        ({"data": msgspec.Raw(b'{"job":281474976710656}')}, Code.MALFORMED),
        ({"data": msgspec.Raw(b'{"job":1,"reason":"\\u0000"}')}, Code.MALFORMED),
        ({"deadline": now() - timedelta(seconds=1)}, Code.DEADLINE),
    ],
)
async def test_what_cannot_be_decided_is_refused_to_its_asker_alone(
    dispatcher: Dispatcher, bad: dict[str, Any], code: Code
) -> None:
    wrong = msgspec.structs.replace(request(KillJob(1)), **bad)
    good, refused, other = await dispatcher([request(submit(1)), wrong, request(submit(2))])
    assert (good.ok, refused.code, other.ok) == (True, code.slug, True)


async def test_an_event_names_the_command_as_its_cause(core: Installation, dispatcher: Dispatcher) -> None:
    first, second = request(submit(1)), msgspec.structs.replace(request(KillJob(1)), cause=UUID(int=7))
    await dispatcher([first, second])
    rows = await core.pool.fetch("select cause_id, correlation_id from log_jobs order by version")
    assert [tuple(row) for row in rows] == [(first.id, first.id), (UUID(int=7), second.id)]


async def test_dispatchers_that_get_the_same_commands_at_once_decide_each_once(core: Installation) -> None:
    """Eight processes, the same thirty commands in different orders on the same ten jobs."""
    dispatchers = [Dispatcher(core.decider, lambda log: None) for _ in range(8)]
    await dispatchers[0]([request(submit(job)) for job in range(1, 11)])
    commands = [request(kind(job)) for job in range(1, 11) for kind in (CheckJob, QueueJob, KillJob)]
    batches = [commands[n:] + commands[:n] for n in range(0, 24, 3)]
    done = await asyncio.gather(*(one(batch) for one, batch in zip(dispatchers, batches, strict=True)))
    for batch, outcomes in zip(batches, done, strict=True):
        assert [outcome.id for outcome in outcomes] == [one.id for one in batch]
    verdicts = {(o.id, o.ok, o.code, o.version) for outcomes in done for o in outcomes}
    assert len(verdicts) == 30
    assert await core.pool.fetchval("select min(received) = 8 and max(received) = 8 from commands")
    histories = await core.pool.fetch("select array_agg(topic order by version) from log_jobs group by stream_id")
    assert {tuple(row[0]) for row in histories} == {("job.submitted", "job.checked", "job.queued", "job.killed")}


async def test_dispatchers_on_the_same_streams_with_different_commands_lose_none(core: Installation) -> None:
    dispatchers = [Dispatcher(core.decider, lambda log: None) for _ in range(6)]
    await dispatchers[0]([request(submit(1)), request(QueueJob(1))])
    match = Job.Matched("p1", uuid4(), 1)
    async with core.store.transaction() as connection:
        await core.decider.write(connection, "jobs", [fact(match, version=4)])
    outcomes = await asyncio.gather(*(one([request(StartJob(1, 1, n, "p1"))]) for n, one in enumerate(dispatchers, 1)))
    assert all(outcome.ok for (outcome,) in outcomes)
    versions = await core.pool.fetchval("select array_agg(version order by position) from log_jobs")
    assert versions == list(range(1, len(versions) + 1))


class Quarrel(Dispatcher):
    """Decides as always, but some job always has a faster writer."""

    async def _decide(self, connection: Any, requests: Any) -> Any:
        if any(b'"job":13' in bytes(one.data) for one in requests):
            raise Conflict
        return await super()._decide(connection, requests)


async def test_a_stream_that_everybody_quarrels_about_does_not_hold_up_its_neighbours(core: Installation) -> None:
    quarrel = Quarrel(core.decider, lambda log: None)
    outcomes = await quarrel([request(submit(job)) for job in (12, 13, 14)])
    assert [outcome.code for outcome in outcomes] == [None, "busy", None]
    with pytest.raises(Refused) as refusal:
        await quarrel([request(submit(13))])
    assert refusal.value.code is Code.BUSY


class PokeThing(Command, frozen=True):
    """Breaks its aggregate when told to."""

    TOPIC = "thing.poke"
    hard: bool = False

    @property
    def stream(self) -> UUID:
        return UUID(int=1)


class Thing(Aggregate, frozen=True):
    """An aggregate with a fault in it."""

    TOPIC = "thing"
    LOG = "things"

    class Poked(Event, frozen=True):
        """It was poked."""

        TOPIC = "thing.poked"

    def poke(self, command: PokeThing, origin: Origin) -> Decision:
        """Break, or not."""
        if command.hard:
            raise ZeroDivisionError
        yield Thing.Poked()

    def evolve(self, event: Recorded[Event]) -> "Thing":
        """Stay."""
        return self


@pytest.fixture
async def served(database: str) -> AsyncIterator[tuple[LocalBus, Installation, list[DeadLetter]]]:
    letters: list[DeadLetter] = []

    async def keep(letter: DeadLetter) -> None:
        letters.append(letter)

    async with installed(database, CORE | System(aggregates=(Thing,))) as core:
        bus = LocalBus(keep)
        await bus.serve(Dispatcher(core.decider, lambda log: None))
        yield bus, core, letters
        await bus.close()


async def test_a_command_that_breaks_its_aggregate_is_answered_broken_and_buried_alone(
    served: tuple[LocalBus, Installation, list[DeadLetter]],
) -> None:
    bus, core, letters = served
    requests = [request(submit(job)) for job in range(1, 20)]
    requests.insert(7, request(PokeThing(True)))
    requests.insert(13, request(PokeThing()))
    outcomes = await bus.request(requests, 30)
    assert [outcome.code for outcome in outcomes].count(None) == 20
    assert outcomes[7].code == "broken"
    assert [letter.id for letter in letters] == [requests[7].id]
    assert (await core.count("log_jobs"), await core.count("log_things")) == (19, 1)


async def test_a_database_that_is_away_is_said_and_used_again_when_it_is_back(
    postgres_server: PostgreSQL, database: str
) -> None:
    async with installed(database) as core:
        dispatcher = Dispatcher(core.decider, lambda log: None)
        await dispatcher([request(submit(1))])
        kill = request(KillJob(1))
        postgres_server.kill()
        with pytest.raises(Refused) as refusal:
            await dispatcher([kill])
        assert refusal.value.code is Code.DATABASE_AWAY
        postgres_server.start()
        assert await again(dispatcher, [kill]) == [True]
        assert await core.count("log_jobs") == 2


async def again(dispatcher: Dispatcher, requests: list[Request]) -> list[bool]:
    """As a bus does: the same until it works."""
    async with asyncio.timeout(60):
        while True:
            try:
                return [outcome.ok for outcome in await dispatcher(requests)]
            except Refused:
                await asyncio.sleep(0.05)


async def test_a_program_that_takes_the_id_of_another_command_neither_learns_of_it_nor_stops_it(
    core: Installation, dispatcher: Dispatcher
) -> None:
    await dispatcher([request(submit(1)), request(submit(2))])
    mine = request(KillJob(1))
    [before] = await dispatcher([request(KillJob(99), actor="program:evil", id_=mine.id)])
    assert before.code == "job-unknown"
    [kill, again] = await dispatcher([mine, request(KillJob(2), actor="program:evil", vo="other", id_=mine.id)])
    assert (kill.ok, kill.version, kill.received) == (True, 2, 1)
    assert (again.id, again.ok, again.code) == (mine.id, False, "job-unknown")
    [third] = await dispatcher([request(KillJob(99), actor="program:evil", id_=mine.id)])
    assert (third.id, third.received) == (mine.id, 2)
