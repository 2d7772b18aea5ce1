"""What every bus must do, run against each implementation."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from uuid import uuid4

import pytest
from bus_stubs import QUICK, Listener, Server, World, envelope, number, request, until, world
from msgspec import Raw
from msgspec.structs import replace

from domain.errors import Code, Refused
from infra.bus.interface import Bus
from infra.bus.messages import LIMIT


@pytest.fixture(params=["local", pytest.param("rabbit", marks=pytest.mark.servers)])
async def bus_world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """The same tests, both ways."""
    url = request.getfixturevalue("rabbitmq") if request.param == "rabbit" else None
    async with world(url) as made:
        yield made


@pytest.fixture
def bus(bus_world: World) -> Bus:
    """One member."""
    return bus_world.member()


async def test_a_partition_arrives_in_order_and_with_the_very_bytes_of_the_events(bus: Bus) -> None:
    listener = Listener()
    await bus.subscribe("view", "job", 2, listener)
    sent = [envelope(number % 2, 2 * number, 2 * number + 1, 2 * number + 2) for number in range(50)]
    for part in (sent[:10], sent[10:11], sent[11:]):
        await bus.publish(part)
    await until(lambda: listener.seen() == 100)
    for partition in (0, 1):
        ours = [position for one in sent if one.partition == partition for position in (one.first, one.last)]
        assert listener.positions(partition) == ours
    first = next(one for batch in listener.batches for one in batch if one == sent[0])
    assert bytes(first.events[0].data) == b'{"name":  "as it is stored"}'


async def test_each_consumer_gets_everything_of_its_log_and_nothing_of_others(bus: Bus) -> None:
    one, other, stranger = Listener(), Listener(), Listener()
    await bus.subscribe("one", "job", 1, one)
    await bus.subscribe("other", "job", 1, other)
    await bus.subscribe("one", "pilot", 1, stranger)
    await bus.publish([envelope(0, 0, 1), envelope(0, 1, 2), envelope(0, 0, 7, log="pilot")])
    await until(lambda: one.seen() == other.seen() == 2 and stranger.seen() == 1)
    assert one.positions(0) == other.positions(0) == [1, 2]
    assert stranger.positions(0) == [7]


async def test_a_consumer_is_told_to_look_into_the_log_when_it_comes(bus: Bus) -> None:
    listener = Listener()
    await bus.subscribe("view", "job", 1, listener)
    await until(lambda: listener.wakes == 1)


async def test_what_arrives_while_a_consumer_works_comes_as_one_batch(bus: Bus) -> None:
    listener = Listener(slow=0.2)
    await bus.subscribe("view", "job", 4, listener)
    await bus.publish([envelope(0, 0, 1)])
    await until(lambda: listener.calls)
    for k in range(8):
        await bus.publish([envelope(k % 4, 1, k + 2)])
    await until(lambda: listener.seen() == 9)
    assert len(listener.batches) <= 3


async def test_a_batch_stays_within_a_few_thousand_events(bus: Bus) -> None:
    listener = Listener(slow=0.05)
    await bus.subscribe("view", "job", 2, listener)
    many = [envelope(k % 2, 200 * k, *range(200 * k + 1, 200 * k + 201)) for k in range(40)]
    await bus.publish(many)
    await until(lambda: listener.seen() == 8_000)
    assert max(sum(len(one.events) for one in batch) for batch in listener.batches) <= 2_200


async def test_a_batch_that_failed_comes_again_before_anything_else_of_its_partition(bus: Bus) -> None:
    listener = Listener(failures=4)
    await bus.subscribe("view", "job", 1, listener)
    await bus.publish([envelope(0, position, position + 1) for position in range(5)])
    await until(lambda: listener.calls > 1)
    await bus.publish([envelope(0, position, position + 1) for position in range(5, 10)])
    await until(lambda: listener.seen() == 10)
    assert listener.positions(0) == list(range(1, 11))
    assert listener.calls >= 5


async def test_a_partition_in_trouble_does_not_hold_up_the_others(bus: Bus) -> None:
    listener = Listener()

    async def picky(envelopes: list) -> None:  # type: ignore[type-arg]
        if any(one.partition == 1 for one in envelopes):
            raise RuntimeError("poison")
        await listener(envelopes)

    await bus.subscribe("view", "job", 3, picky)
    for position in range(5):
        await bus.publish([envelope(partition, position, position + 1) for partition in range(3)])
    await until(lambda: listener.seen() == 10)
    assert listener.positions(0) == listener.positions(2) == [1, 2, 3, 4, 5]


async def test_a_storm_of_repetitions_arrives_without_harm(bus: Bus) -> None:
    listener = Listener()
    await bus.subscribe("view", "job", 1, listener)
    again = envelope(0, 0, 1, 2, 3)
    await bus.publish([again] * 100 + [envelope(0, 3, 4)])
    await until(lambda: listener.seen() == 301)
    assert listener.positions(0) == [1, 2, 3] * 100 + [4]


async def test_one_of_two_members_gets_a_partition_and_the_other_takes_over_in_order(bus_world: World) -> None:
    publisher, active, standby = (bus_world.member() for _ in range(3))
    first, second = Listener(), Listener()
    await active.subscribe("view", "job", 2, first)
    await standby.subscribe("view", "job", 2, second)
    await publisher.publish([envelope(k % 2, k, k + 1) for k in range(20)])
    await until(lambda: first.seen() == 20)
    assert second.seen() == 0
    await active.close()
    await publisher.publish([envelope(k % 2, k, k + 1) for k in range(20, 40)])
    await until(lambda: second.seen() >= 20)
    for partition in (0, 1):
        both = first.positions(partition) + second.positions(partition)
        assert list(dict.fromkeys(both)) == list(range(partition + 1, 41, 2))


async def test_what_a_member_had_in_hand_goes_to_the_other_when_it_breaks_off(bus_world: World) -> None:
    publisher, stuck, standby = bus_world.member(), bus_world.member(replace(QUICK, grace=0.1)), bus_world.member()
    hopeless, second = Listener(slow=60), Listener()
    await stuck.subscribe("view", "job", 1, hopeless)
    await standby.subscribe("view", "job", 1, second)
    await publisher.publish([envelope(0, k, k + 1) for k in range(5)])
    await asyncio.sleep(0.1)
    await stuck.close()
    await until(lambda: second.seen() == 5)
    assert second.positions(0) == [1, 2, 3, 4, 5]


async def test_answers_and_refusals_come_back_in_the_order_of_the_questions(bus: Bus) -> None:
    server = Server()
    await bus.serve(server)
    asked = [request("job.kill" if k % 3 == 0 else "job.submit", k) for k in range(30)]
    outcomes = await bus.request(asked, 10)
    assert [one.id for one in outcomes] == [one.id for one in asked]
    refused, accepted = outcomes[0], outcomes[1]
    assert (refused.ok, refused.code, refused.parameters) == (False, "job-state", {"job": 5, "status": "done"})
    assert (accepted.ok, accepted.version, accepted.received) == (True, 3, 1)
    assert (await bus.request(asked[1:2], 10))[0].received == 2


async def test_everything_about_a_command_reaches_the_other_side(bus: Bus) -> None:
    server = Server()
    await bus.serve(server)
    sent = request(correlation=uuid4(), cause=uuid4(), rights=["JobAdministrator"], token="t-1", data=Raw(b'{"a" : 1}'))
    server.broken, sent_number = set(), replace(sent, data=Raw(b'{"number" : 1}'))
    await bus.request([sent_number], 10)
    assert replace(server.batches[0][0], deadline=None) == sent_number
    assert server.batches[0][0].deadline


async def test_many_askers_each_get_their_own_answers(bus_world: World) -> None:
    server = Server()
    await bus_world.member().serve(server)
    askers = [bus_world.member() for _ in range(3)]

    async def ask(k: int) -> None:
        asked = [request(number=100 * k + n) for n in range(5)]
        outcomes = await askers[k % 3].request(asked, 15)
        assert [(one.id, one.stream.int) for one in outcomes if one.stream] == [(q.id, number(q)) for q in asked]

    await asyncio.gather(*(ask(k) for k in range(60)))
    assert len(server.batches) < 60  # gathered


async def test_one_message_carries_thousands_of_commands(bus: Bus) -> None:
    server = Server()
    await bus.serve(server)
    outcomes = await bus.request([request(number=k) for k in range(5_000)], 15)
    assert [one.stream.int for one in outcomes if one.stream] == list(range(5_000))
    assert max(map(len, server.batches)) <= 4_000


async def test_no_answer_in_time_is_a_refusal_and_the_command_is_not_done_later(bus: Bus) -> None:
    server = Server()
    late = request(number=2)
    with pytest.raises(Refused) as caught:
        await bus.request([late], 0.2)
    assert (caught.value.code, caught.value.parameters) == (Code.DEADLINE, {"seconds": 0.2})
    await bus.serve(server)
    assert (await bus.request([request(number=3)], 10))[0].ok
    assert server.numbers() == [3]


async def test_a_command_that_breaks_is_answered_and_its_neighbours_are_not_hurt(bus_world: World, bus: Bus) -> None:
    server = Server()
    server.broken = {3}
    await bus.serve(server)
    asked = [request(number=k) for k in range(8)]
    outcomes = await bus.request(asked, 10)
    assert [one.ok for one in outcomes] == [k != 3 for k in range(8)]
    assert (outcomes[3].code, outcomes[3].parameters) == ("broken", {"reference": str(asked[3].id)})
    [letter] = bus_world.cemetery.letters
    assert (letter.id, letter.source, letter.reason) == (asked[3].id, "requests", "broken")


async def test_a_sent_command_is_handled_though_nobody_served_when_it_was_sent(bus: Bus) -> None:
    await bus.send([request(number=k) for k in range(5)])
    server = Server()
    await bus.serve(server)
    await until(lambda: len(server.received) == 5)
    assert server.numbers() == [0, 1, 2, 3, 4]


async def test_a_sent_command_that_breaks_is_tried_again_later_and_later_and_then_works(bus: Bus) -> None:
    server, times = Server(), []
    server.broken = {1}

    async def timed(requests: list) -> list:  # type: ignore[type-arg]
        times.extend(asyncio.get_running_loop().time() for one in requests if number(one) == 1 and len(requests) == 1)
        server.broken = {1} if len(times) < 3 else set()
        return await server(requests)

    await bus.serve(timed)
    await bus.send([request(number=1)])
    await until(lambda: server.received)
    pauses = [after - before for before, after in pairwise(times)]
    assert all(pause >= delay * 0.9 for pause, delay in zip(pauses, QUICK.delays, strict=False))
    assert server.numbers() == [1, 1, 1]


async def test_a_sent_command_that_always_breaks_becomes_a_dead_letter_and_can_be_sent_again(
    bus_world: World, bus: Bus
) -> None:
    server = Server()
    server.broken = {7}
    await bus.serve(server)
    sent = [request(number=k) for k in (6, 7, 8)]
    await bus.send(sent)
    await until(lambda: bus_world.cemetery.letters)
    [letter] = bus_world.cemetery.letters
    assert (letter.id, letter.source, letter.topic, letter.vo) == (sent[1].id, "commands", "job.submit", "lhcb")
    assert (letter.reason, letter.attempts, letter.actor) == ("broken", 4, "user:ada")
    assert "ZeroDivisionError" in letter.detail and letter.first_at < letter.at
    assert server.numbers().count(6) <= 3  # once in the broken batch, once in its half, and never again
    server.broken = set()
    await bus.send([letter.request()])
    await until(lambda: sent[1].id in server.received)
    assert letter.request() == sent[1]


async def test_without_the_database_sent_commands_wait_and_askers_are_told(bus_world: World, bus: Bus) -> None:
    server = Server()
    server.away = True
    await bus.serve(server)
    await bus.send([request(number=1)])
    [outcome] = await bus.request([request(number=2)], 10)
    assert (outcome.ok, outcome.code) == (False, "database-away")
    await asyncio.sleep(sum(QUICK.delays) + 0.5)
    assert not bus_world.cemetery.letters
    server.away = False
    await until(lambda: 1 in [number(one) for batch in server.batches for one in batch if one.id in server.received])


async def test_a_dead_letter_that_cannot_be_written_is_not_lost(bus_world: World) -> None:
    written = bus_world.cemetery.bury
    tries = []

    async def moody(letter: object) -> None:
        tries.append(letter)
        if len(tries) < 3:
            raise Refused(Code.DATABASE_AWAY)
        await written(letter)  # type: ignore[arg-type]

    bus_world.cemetery.bury = moody  # type: ignore[method-assign, assignment]
    member, server = bus_world.member(), Server()
    server.broken = {1}
    await member.serve(server)
    await member.send([request(number=1)])
    await until(lambda: bus_world.cemetery.letters)
    assert len(tries) == 3


async def test_a_command_too_large_for_any_message_is_refused_and_large_batches_are_split(bus: Bus) -> None:
    server = Server()
    await bus.serve(server)
    big = Raw(b'{"number": 1, "text": "' + b"x" * (LIMIT // 2) + b'"}')
    with pytest.raises(Refused) as caught:
        await bus.send([request(data=Raw(b'"' + b"x" * LIMIT + b'"'))])
    assert caught.value.code is Code.TOO_LARGE
    with pytest.raises(Refused):
        await bus.request([request(data=Raw(b'"' + b"x" * LIMIT + b'"'))], 5)
    assert all(one.ok for one in await bus.request([request(data=big) for _ in range(3)], 15))


async def test_a_handler_may_publish_and_send_itself(bus: Bus) -> None:
    server, listener = Server(), Listener()

    async def busy(envelopes: list) -> None:  # type: ignore[type-arg]
        await bus.send([request(number=one.last) for one in envelopes])
        if any(one.last < 20 for one in envelopes):
            await bus.publish([envelope(0, one.last, one.last + 1) for one in envelopes])
        await listener(envelopes)

    await bus.serve(server)
    await bus.subscribe("echo", "job", 1, busy)
    await bus.publish([envelope(0, 0, 1)])
    await until(lambda: len(server.received) == 20)
    assert listener.positions(0) == list(range(1, 21))


async def test_the_bus_says_how_it_is_and_how_much_waits(bus_world: World) -> None:
    bus, gone = bus_world.member(), bus_world.member()
    assert (await bus.health()).up
    assert await bus.lag("view", "job", 2) == 0
    await gone.subscribe("view", "job", 2, Listener())
    await gone.close()
    await bus.publish([envelope(0, 0, 1), envelope(1, 0, 2), envelope(0, 1, 3)])
    await bus.send([request()])
    async with asyncio.timeout(10):
        while await bus.lag("view", "job", 2) < 3 or not sum((await bus.health()).waiting.values()):
            await asyncio.sleep(0.05)


async def test_after_close_nothing_is_handled_any_more(bus_world: World) -> None:
    publisher, closing, listener = bus_world.member(), bus_world.member(), Listener()
    await closing.subscribe("view", "job", 1, listener)
    await publisher.publish([envelope(0, 0, 1)])
    await until(lambda: listener.seen() == 1)
    await closing.close()
    await publisher.publish([envelope(0, 1, 2)])
    await asyncio.sleep(0.3)
    assert listener.positions(0) == [1]
