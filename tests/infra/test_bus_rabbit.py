"""What only a broker can do to us, and what only other programs do: crashes, deleted queues, strangers."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError
from bus_stubs import QUICK, Listener, Server, World, envelope, event, request, until, world
from msgspec import Raw
from msgspec.structs import replace
from servers import RabbitMQ

from domain.errors import Code, Refused
from infra.bus import topology
from infra.bus.messages import Envelope, Outcome, Request, read_outcomes
from infra.bus.rabbit import RabbitBus

pytestmark = pytest.mark.servers
PROGRAM = Path(__file__).parents[1] / "extension" / "publish_and_listen.py"
AWAY = 60.0


@pytest.fixture
async def bus_world(rabbitmq: str) -> AsyncIterator[World]:
    async with world(rabbitmq) as made:
        yield made


async def insist(publish: Any, item: Any) -> None:
    """Publish as the relay does: again until it is confirmed."""
    while True:
        try:
            return await publish([item])
        except Refused as refusal:
            assert refusal.code is Code.BUS_AWAY
            await asyncio.sleep(0.1)


async def post(url: str, body: bytes, key: str, **properties: Any) -> None:
    """Publish on the inbox, as a program does."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(on_return_raises=True)
        inbox = await channel.get_exchange("spinor.inbox", ensure=False)
        await inbox.publish(aio_pika.Message(body, **properties), key)


def followed(listener: Listener, partition: int) -> tuple[list[int], set[int]]:
    """As a follower does it: the positions that came, and those it would have read from the log, a gap showing them."""
    mine, received, gaps = 0, [], set()
    for one in (one for batch in listener.batches for one in batch if one.partition == partition):
        if one.last > mine:
            gaps.update(k for k in range(mine + 1, one.previous + 1) if k % 2 != partition)
            received += [event.position for event in one.events]
            mine = one.last
    return received, gaps


async def consumed(url: str, name: str) -> None:
    """Wait until somebody consumes this queue."""
    async with await aio_pika.connect(url) as connection, asyncio.timeout(20):
        channel = await connection.channel()
        while not (await channel.declare_queue(name, passive=True)).declaration_result.consumer_count:
            await asyncio.sleep(0.05)


def program(rabbitmq_server: RabbitMQ, url: str, name: str) -> str:
    """The URL of a bus user who is not us."""
    vhost = url.rpartition("/")[2]
    rabbitmq_server.call("PUT", f"users/{name}", {"password": "secret", "tags": ""})
    own = rf"amq\.gen.*|{name}\..*"
    few = {"configure": f"^({own})$", "write": rf"^(spinor\.inbox|{own})$", "read": rf"^(spinor\.events|{own})$"}
    rabbitmq_server.call("PUT", f"permissions/{vhost}/{name}", few)
    return f"amqp://{name}:secret@127.0.0.1:{rabbitmq_server.port}/{vhost}"


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_broker_killed_in_mid_flow_loses_nothing_that_it_confirmed(
    bus_world: World, rabbitmq_server: RabbitMQ, rabbitmq: str
) -> None:
    server, listener = Server(), Listener()
    serving, publisher = bus_world.member(), bus_world.member(replace(QUICK, patience=1.0))
    await serving.serve(server)
    await serving.subscribe("view", "job", 2, listener)
    commands, confirmed = [request(number=k) for k in range(400)], []

    async def flow() -> None:
        for k, command in enumerate(commands):
            await insist(publisher.send, command)
            confirmed.append(command.id)
            await insist(publisher.publish, envelope(k % 2, max(k - 1, 0), k + 1))

    flowing = asyncio.create_task(flow())
    await until(lambda: len(confirmed) > 100)
    rabbitmq_server.kill()
    with pytest.raises(Refused) as caught:
        await publisher.request([request()], 3)
    assert caught.value.code is Code.BUS_AWAY
    assert not (await publisher.health()).up
    assert len(confirmed) < 400
    await asyncio.to_thread(rabbitmq_server.start)
    await asyncio.wait_for(flowing, AWAY)
    await until(lambda: set(confirmed) <= set(server.received), AWAY)
    await until(lambda: {399, 400} <= {*listener.positions(0), *listener.positions(1)}, AWAY)
    for partition in (0, 1):
        received, gaps = followed(listener, partition)
        assert received == sorted(received)
        assert sorted({*received, *gaps}) == list(range(partition + 1, 401, 2))
    assert listener.wakes >= 2  # told to look into the log again
    assert (await publisher.request([request(number=5)], 10))[0].ok
    command = json.dumps({"id": str(uuid4()), "data": {"number": 77}}).encode()
    await post(rabbitmq, command, "lhcb.job.submit", user_id="spinor")
    await until(lambda: 77 in server.numbers(), AWAY)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_members_that_start_before_the_broker_work_when_it_comes(
    bus_world: World, rabbitmq_server: RabbitMQ
) -> None:
    rabbitmq_server.kill()
    member, server, listener = bus_world.member(replace(QUICK, patience=0.5)), Server(), Listener()
    await member.serve(server)
    await member.subscribe("view", "job", 1, listener)
    with pytest.raises(Refused) as caught:
        await member.publish([envelope(0, 0, 1)])
    assert caught.value.code is Code.BUS_AWAY
    await asyncio.to_thread(rabbitmq_server.start)
    await until(lambda: listener.wakes, AWAY)
    await insist(member.publish, envelope(0, 0, 1))
    await insist(member.send, request(number=4))
    await until(lambda: listener.seen() == 1 and server.received, AWAY)


async def test_a_deleted_queue_is_there_again_and_its_consumer_looks_into_the_log(
    bus_world: World, rabbitmq_server: RabbitMQ, rabbitmq: str
) -> None:
    member, listener = bus_world.member(), Listener()
    await member.subscribe("view", "job", 2, listener)
    await until(lambda: listener.wakes == 1)
    vhost = rabbitmq.rpartition("/")[2]
    for partition in (0, 1):
        queue = topology.envelope_queue("job", "view", partition)
        await asyncio.to_thread(rabbitmq_server.call, "DELETE", f"queues/{vhost}/{queue}")
    await until(lambda: listener.wakes >= 2)
    await member.publish([envelope(0, 0, 1), envelope(1, 0, 2)])
    await until(lambda: listener.seen() == 2)


@pytest.mark.parametrize("queue", [topology.COMMANDS, topology.REQUESTS, topology.INBOX])
async def test_deleted_queues_of_commands_are_there_again(
    bus_world: World, rabbitmq_server: RabbitMQ, rabbitmq: str, queue: str
) -> None:
    member, server = bus_world.member(), Server()
    await member.serve(server)
    await member.send([request(number=1)])
    await member.request([request(number=2)], 10)
    vhost = rabbitmq.rpartition("/")[2]
    await consumed(rabbitmq, queue)
    await asyncio.to_thread(rabbitmq_server.call, "DELETE", f"queues/{vhost}/{queue}")
    await insist(member.send, request(number=3))
    async with asyncio.timeout(20):
        while True:
            try:
                await member.request([request(number=4)], 2)
                await post(rabbitmq, b'{"id": "%s", "data": {"number": 5}}' % str(uuid4()).encode(),
                           "lhcb.job.submit", user_id="spinor")  # fmt: skip
                break
            except (Refused, AMQPError):
                await asyncio.sleep(0.1)
    await until(lambda: {3, 4, 5} <= set(server.numbers()))


async def test_a_message_whose_consumer_dies_each_time_becomes_a_dead_letter(bus_world: World, rabbitmq: str) -> None:
    member = bus_world.member()
    fatal = request(number=9)
    await member.send([fatal])
    async with await aio_pika.connect(rabbitmq) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(topology.COMMANDS, ensure=False)
        async with asyncio.timeout(30):
            for _ in range(topology.DELIVERIES + 1):
                while not (message := await queue.get(fail=False)):
                    await asyncio.sleep(0.02)
                await message.nack()
    await member.serve(Server())
    await until(lambda: bus_world.cemetery.letters)
    [letter] = bus_world.cemetery.letters
    assert (letter.id, letter.source, letter.reason, letter.detail) == (
        fatal.id, "commands", "broken", "delivery_limit")  # fmt: skip
    assert letter.request() == fatal


async def test_unreadable_messages_become_dead_letters_and_do_not_stop_what_follows(
    bus_world: World, rabbitmq: str
) -> None:
    member, server, listener = bus_world.member(), Server(), Listener()
    await member.serve(server)
    await member.subscribe("view", "job", 1, listener)
    async with await aio_pika.connect(rabbitmq) as connection:
        channel = await connection.channel()
        envelopes = await channel.get_exchange(topology.ENVELOPES)
        await envelopes.publish(aio_pika.Message(b"\xff\x00 rubbish"), "job.0")
        await envelopes.publish(aio_pika.Message(b'{"format": 9, "envelope": "of the future"}'), "job.0")
        await channel.default_exchange.publish(aio_pika.Message(b'{"requests": 5}'), topology.COMMANDS)
    await member.publish([envelope(0, 0, 1)])
    await member.send([request(number=1)])
    await until(lambda: len(bus_world.cemetery.letters) == 3 and listener.seen() and server.received)
    found = sorted((letter.source, letter.reason) for letter in bus_world.cemetery.letters)
    assert found == [("commands", "malformed"), ("view", "malformed"), ("view", "version-unknown")]
    assert listener.wakes >= 2  # what it held is in the log
    with pytest.raises(Refused):
        bus_world.cemetery.letters[0].request()


async def test_other_programs_publish_commands_and_get_outcomes_where_they_ask_for_them(
    bus_world: World, rabbitmq_server: RabbitMQ, rabbitmq: str
) -> None:
    server = Server()
    await bus_world.member().serve(server)
    url = program(rabbitmq_server, rabbitmq, "robot")
    one, two = uuid4(), uuid4()
    several = json.dumps([{"id": str(one), "data": {"number": 1}}, {"id": str(two), "data": {"number": 2}}])
    await post(url, several.encode(), "lhcb.job.submit", user_id="robot")
    await until(lambda: {one, two} <= set(server.received))
    [first] = [command for batch in server.batches for command in batch if command.id == one]
    assert (first.vo, first.topic, first.actor, first.rights) == ("lhcb", "job.submit", "program:robot", [])
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        replies = await channel.declare_queue(exclusive=True)
        inbox = await channel.get_exchange("spinor.inbox")
        question = aio_pika.Message(several.encode(), user_id="robot", reply_to=replies.name, correlation_id="q1")
        await inbox.publish(question, "vo.example.org.job.kill")
        async with asyncio.timeout(20):
            while not (reply := await replies.get(fail=False)):
                await asyncio.sleep(0.02)
        assert [outcome.code for outcome in read_outcomes(reply.body)] == ["job-state", "job-state"]
        assert reply.correlation_id == "q1"
    assert server.batches[-1][0].vo == "vo.example.org"


async def test_the_inbox_takes_no_word_from_nobody_in_particular(
    bus_world: World, rabbitmq_server: RabbitMQ, rabbitmq: str
) -> None:
    server = Server()
    await bus_world.member().serve(server)
    url = program(rabbitmq_server, rabbitmq, "robot")
    good = json.dumps({"id": str(uuid4()), "data": {"number": 1}}).encode()
    with pytest.raises(AMQPError):
        await post(url, good, "lhcb.job.submit", user_id="somebody-else")
    await post(url, good, "lhcb.job.submit")
    await post(url, good, "lhcb.job.frobnicate", user_id="robot")
    await post(url, b'{"data": {}}', "lhcb.job.submit", user_id="robot")
    await post(url, b"\xff\xfe", "lhcb.job.submit", user_id="robot")
    await until(lambda: len(bus_world.cemetery.letters) == 4)
    found = {(letter.source, letter.actor, letter.reason) for letter in bus_world.cemetery.letters}
    assert found == {("inbox", "", "no-token"), ("inbox", "robot", "topic-unknown"), ("inbox", "robot", "malformed")}
    assert not server.received


async def test_a_program_reaches_no_queue_of_ours_neither_itself_nor_through_our_answers(
    bus_world: World, rabbitmq_server: RabbitMQ, rabbitmq: str
) -> None:
    server = Server()
    await bus_world.member().serve(server)
    url = program(rabbitmq_server, rabbitmq, "robot")
    with pytest.raises(AMQPError):
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            await channel.default_exchange.publish(aio_pika.Message(b"{}"), topology.COMMANDS)
    with pytest.raises(AMQPError):
        async with await aio_pika.connect(url) as connection:
            await (await (await connection.channel()).get_queue(topology.COMMANDS, ensure=False)).get()
    body = json.dumps({"id": str(uuid4()), "data": {"number": 1}}).encode()
    await post(url, body, "lhcb.job.submit", user_id="robot", reply_to=topology.COMMANDS)
    await until(lambda: server.received)
    await asyncio.sleep(0.3)
    assert not bus_world.cemetery.letters  # an answer among the commands would be unreadable


async def test_a_program_that_knows_nothing_of_us_publishes_a_command_and_hears_what_happens(
    bus_world: World, rabbitmq_server: RabbitMQ, rabbitmq: str
) -> None:
    member, killed = bus_world.member(), []

    async def handle(requests: list[Request]) -> list[Outcome]:
        killed.extend(json.loads(bytes(one.data))["job"] for one in requests)
        because = requests[0].id
        await member.announce(
            [replace(event(1, topic="job.killed"), data=Raw(b'{"by": "robot"}'), correlation=because)]
        )
        return [Outcome(one.id, True) for one in requests]

    await member.serve(handle)  # type: ignore[arg-type]
    url = program(rabbitmq_server, rabbitmq, "robot")
    words = (str(PROGRAM), url, "lhcb", "job.kill", '{"job": 123}')
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, killed) == (0, [123])
    assert b"job.killed" in output and b"'by': 'robot'" in output


async def test_events_are_announced_by_vo_and_topic_in_the_order_of_each_stream(
    bus_world: World, rabbitmq: str
) -> None:
    member, stream = bus_world.member(), uuid4()
    await member.send([])
    await member.health()
    await member.send([request()])
    async with await aio_pika.connect(rabbitmq) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("spinor.events", "lhcb.job.#")
        topics = ["job.submitted", "job.matched", "job.rescheduled", "job.matched"]
        ours = [event(k, stream, topic) for k, topic in enumerate(topics)]
        await member.announce([*ours, event(9, vo="atlas"), event(10, topic="pilot.started")])
        heard: list[dict[str, Any]] = []
        async with asyncio.timeout(20):
            while len(heard) < 4:
                message = await queue.get(fail=False)
                heard += json.loads(message.body) if message else []
    assert [one["topic"] for one in heard] == topics
    assert set(heard[0]) == {"id", "topic", "vo", "stream", "version", "schema", "at", "actor", "correlation", "data"}


async def test_the_broker_keeps_the_newest_envelopes_when_nobody_takes_them(
    bus_world: World, rabbitmq: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(topology.SINGLE, "x-max-length-bytes", 20_000)
    gone, member, listener = bus_world.member(), bus_world.member(), Listener()
    await gone.subscribe("view", "job", 1, Listener())
    await gone.close()
    await member.publish([envelope(0, k, k + 1) for k in range(500)])
    await member.subscribe("view", "job", 1, listener)
    await until(lambda: 500 in listener.positions(0))
    [first, *_] = [one for batch in listener.batches for one in batch]
    assert first.previous > 0  # the gap is visible
    assert isinstance(first, Envelope) and isinstance(member, RabbitBus)
