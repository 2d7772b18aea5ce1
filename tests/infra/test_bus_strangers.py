"""A program that may speak for one VO and tries to speak for another, to be heard by others, or to stop the inbox."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection
from bus_stubs import Server, World, until, world
from servers import RabbitMQ

from infra.bus import topology
from infra.bus.messages import LIMIT

pytestmark = pytest.mark.servers
NAME, VO, OTHER = "robot", "atlas", "lhcb"
FEW = rf"amq\.gen.*|{NAME}\..*"


def command(number: int = 1, **more: Any) -> bytes:
    return json.dumps({"id": str(uuid4()), "data": {"number": number, **more}}).encode()


def spoken(body: bytes, **more: Any) -> aio_pika.Message:
    return aio_pika.Message(body, user_id=NAME, **more)


@pytest.fixture
async def bus_world(rabbitmq: str) -> AsyncIterator[World]:
    async with world(rabbitmq) as made:
        yield made


@pytest.fixture
async def server(bus_world: World) -> Server:
    """The command side, at work."""
    serving = Server()
    await bus_world.member().serve(serving)
    return serving


@pytest.fixture
async def stranger(server: Server, rabbitmq_server: RabbitMQ, rabbitmq: str) -> AsyncIterator[AbstractConnection]:
    """The connection of a program that the broker lets publish for ATLAS only."""
    vhost = rabbitmq.rpartition("/")[2]
    rabbitmq_server.call("PUT", f"users/{NAME}", {"password": "secret", "tags": ""})
    rights = {"configure": f"^({FEW})$", "write": rf"^(spinor\.inbox|{FEW})$", "read": rf"^(spinor\.events|{FEW})$"}
    rabbitmq_server.call("PUT", f"permissions/{vhost}/{NAME}", rights)
    topics = {"exchange": topology.INBOX, "write": rf"^{VO}\.", "read": rf"^{VO}\."}
    rabbitmq_server.call("PUT", f"topic-permissions/{vhost}/{NAME}", topics)
    url = f"amqp://{NAME}:secret@127.0.0.1:{rabbitmq_server.port}/{vhost}"
    async with await aio_pika.connect(url) as connection:
        yield connection


async def publish(stranger: AbstractConnection, body: bytes, key: str, **more: Any) -> None:
    inbox = await (await stranger.channel()).get_exchange(topology.INBOX, ensure=False)
    await inbox.publish(spoken(body, **more), key)


async def refused(bus_world: World, server: Server) -> None:
    """One letter says that it was not published where it had to be, and nothing was decided."""
    await until(lambda: bus_world.cemetery.letters)
    [letter] = bus_world.cemetery.letters
    assert (letter.source, letter.actor, letter.reason, letter.vo) == ("inbox", NAME, "forbidden", "")
    assert not server.received


async def test_a_binding_between_exchanges_does_not_carry_commands_into_another_vo(
    bus_world: World, server: Server, stranger: AbstractConnection
) -> None:
    channel = await stranger.channel()
    own = await channel.declare_exchange(f"{NAME}.x", "fanout")
    await (await channel.get_exchange(topology.INBOX, ensure=False)).bind(own, "#")
    await own.publish(spoken(command()), f"{OTHER}.job.submit")
    await refused(bus_world, server)


async def test_an_alternate_exchange_does_not_carry_commands_into_another_vo(
    bus_world: World, server: Server, stranger: AbstractConnection
) -> None:
    arguments = {"alternate-exchange": topology.INBOX}
    own = await (await stranger.channel()).declare_exchange(f"{NAME}.x", "fanout", arguments=arguments)
    await own.publish(spoken(command()), f"{OTHER}.job.submit", mandatory=False)
    await refused(bus_world, server)


async def test_a_dead_letter_exchange_does_not_carry_commands_into_another_vo(
    bus_world: World, server: Server, stranger: AbstractConnection
) -> None:
    channel = await stranger.channel()
    arguments = {"x-dead-letter-exchange": topology.INBOX, "x-message-ttl": 1,
                 "x-dead-letter-routing-key": f"{OTHER}.job.submit"}  # fmt: skip
    queue = await channel.declare_queue(f"{NAME}.q", arguments=arguments)
    own = await channel.declare_exchange(f"{NAME}.x", "fanout")
    await queue.bind(own)
    await own.publish(spoken(command()), "any")
    await refused(bus_world, server)


async def test_answers_do_not_go_into_the_queue_of_another_program(
    server: Server, stranger: AbstractConnection, rabbitmq: str
) -> None:
    async with await aio_pika.connect(rabbitmq) as victim:
        queue = await (await victim.channel()).declare_queue("victim.answers")
        await publish(stranger, command(), f"{VO}.job.submit", reply_to="victim.answers")
        await publish(stranger, command(), f"{VO}.job.submit", reply_to=f"{NAME}.answers")
        await until(lambda: len(server.received) == 2)
        await asyncio.sleep(0.3)
        assert await queue.get(fail=False) is None


async def test_bodies_nested_without_end_are_buried_and_do_not_stop_the_inbox(
    bus_world: World, server: Server, stranger: AbstractConnection
) -> None:
    deep = b'{"id":"%b","data":%b1%b}' % (str(uuid4()).encode(), b"[" * 50_000, b"]" * 50_000)
    for _ in range(101):  # one more than the inbox takes into its hands
        await publish(stranger, deep, f"{VO}.job.submit")
    await publish(stranger, command(7), f"{VO}.job.submit")
    await until(lambda: 7 in server.numbers())
    assert {letter.reason for letter in bus_world.cemetery.letters} == {"malformed"}


async def test_a_command_too_large_for_any_message_is_buried_and_not_dropped(
    bus_world: World, server: Server, stranger: AbstractConnection
) -> None:
    await publish(stranger, command(1, reason="x" * LIMIT), f"{VO}.job.submit")
    await until(lambda: bus_world.cemetery.letters)
    assert bus_world.cemetery.letters[0].reason == "too-large"


async def test_a_message_that_dies_in_the_inbox_is_never_taken_for_a_command_of_ours(
    bus_world: World, stranger: AbstractConnection, rabbitmq: str
) -> None:
    request = {"id": str(uuid4()), "topic": "job.kill", "data": {}, "vo": OTHER, "actor": "user:boss"}
    forged = json.dumps({"requests": [request | {"rights": ["JobAdministrator"]}]}).encode()
    async with await aio_pika.connect(rabbitmq) as broker:
        dead = (await broker.channel()).default_exchange
        headers: Any = {"x-death": [{"queue": topology.INBOX, "reason": "expired"}]}
        await dead.publish(aio_pika.Message(forged, headers=headers), topology.DEAD)
        await dead.publish(aio_pika.Message(forged, headers={"x-death": "?"}, user_id="spinor"), topology.DEAD)
    await until(lambda: len(bus_world.cemetery.letters) == 2)
    assert {(letter.source, letter.vo, letter.topic) for letter in bus_world.cemetery.letters} == {("inbox", "", "")}
