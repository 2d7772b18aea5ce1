"""A storm of bad input over HTTP and AMQP: each piece gets an error with a code or a dead letter with its reason."""

import asyncio
import json
from collections import Counter
from typing import Any
from uuid import uuid4

import aio_pika
import asyncpg
import pytest
from servers import RabbitMQ
from system.fleet import Fleet, connected
from system.inquest import everything_is_right
from system.people import User, crew, done
from system.storms import quiet, settled, somebody

from infra.bus import topology
from infra.bus.messages import Envelope, Request, Requests, encode

pytestmark = [pytest.mark.servers, pytest.mark.slow]
Json = dict[str, Any]
HTTP: list[tuple[str, str, Json, int, str]] = [
    ("POST", "/api/v1/jobs", {"content": 'Executable = ";', "headers": {"content-type": "text/plain"}}, 422,
     "jdl-syntax"),
    ("POST", "/api/v1/jobs", {"json": {"jobs": [{"executable": "/bin/true", "cpu_time": "soon"}]}}, 422, "description"),
    ("POST", "/api/v1/jobs", {"json": {"jobs": [{"executable": "/bin/true", "nonsense": 1}]}}, 422, "description"),
    ("POST", "/api/v1/jobs", {"json": {"work": []}}, 400, "malformed"),
    ("POST", "/api/v1/jobs", {"content": "{"}, 400, "malformed"),
    ("POST", "/api/v1/jobs", {"content": b"\xff\xfe\x00"}, 400, "malformed"),
    ("POST", "/api/v1/jobs", {"content": "[" * 100_000}, 400, "malformed"),
    ("POST", "/api/v1/jobs", {"content": b" " * (65 << 20)}, 413, "too-large"),
    ("POST", "/api/v1/jobs", {"content": "<a/>", "headers": {"content-type": "application/xml"}}, 415, "media-type"),
    ("POST", "/api/v1/jobs/kill", {"json": {"jobs": "all"}}, 422, "malformed"),
    ("POST", "/api/v1/jobs/kill", {"content": b"x" * (2 << 20)}, 413, "too-large"),
    ("POST", "/api/v1/jobs/999999/kill", {"json": {}}, 404, "job-unknown"),
    ("POST", "/api/v1/jobs/-5/kill", {"json": {}}, 422, "malformed"),
    ("GET", "/api/v1/jobs/99999999999999999999", {}, 422, "malformed"),
    ("GET", "/api/v1/nowhere", {}, 404, "not-found"),
    ("PUT", "/api/v1/jobs", {"json": {}}, 405, "method"),
    ("GET", "/api/v1/jobs", {"headers": {"authorization": "Bearer " + "x" * 5000}}, 401, "no-token"),
    ("GET", "/api/v1/jobs", {"headers": {"authorization": "Basic b:c"}}, 401, "no-token"),
    ("POST", "/api/v1/pilot/offer", {"json": {"offer": str(uuid4())}}, 403, "forbidden"),
    ("POST", "/api/v1/pilot/token", {"json": {"vo": "lhcb", "stamp": "x", "secret": "s" * 20,
                                             "incarnation": str(uuid4())}}, 403, "pilot-secret"),
]  # fmt: skip
HEADERS: list[list[tuple[bytes, bytes]]] = [
    [(b"idempotency-key", b"k" * 10_000)],
    [(b"x-ms-client-request-id", bytes(range(128, 256)))],
    [(b"content-length", b"7"), (b"transfer-encoding", b"chunked")],
    [(b"x-%d" % n, b"y" * 100) for n in range(500)],
    [(b"accept", b"\x80\xff"), (b"prefer", b";;;,,,==")],
]


async def over_http(user: User) -> None:
    """Every request is answered with its code, and with nothing that looks like a fault of ours."""
    for method, path, more, status, code in HTTP:
        answer = await user.client.request(method, path, **more)
        found = answer.json()
        assert (answer.status_code, found["code"]) == (status, code), (path, found)
        assert found["detail"], found
        assert found["next"], found


async def with_headers(fleet: Fleet) -> None:
    """Absurd headers are refused or passed over; the connection may be closed, the gateway lives."""
    host, port = "127.0.0.1", fleet.port
    for headers in HEADERS:
        reader, writer = await asyncio.open_connection(host, port)
        lines = [b"%s: %s\r\n" % header for header in headers]
        writer.write(b"GET /api/v1/jobs HTTP/1.1\r\nhost: x\r\n" + b"".join(lines) + b"\r\n")
        async with asyncio.timeout(20):
            status = (await reader.readline()).split()[1]
        assert status in (b"400", b"401", b"431"), (headers[0], status)
        writer.close()
        await writer.wait_closed()


INBOX: list[tuple[bytes, str, str, str]] = [  # body, routing key, user, what becomes of it
    (b"not json", "lhcb.job.kill", "spinor", "malformed"),
    (b'{"id": "no uuid", "data": {}}', "lhcb.job.kill", "spinor", "malformed"),
    (b"[1, 2, 3]", "lhcb.job.kill", "spinor", "malformed"),
    (b'{"id": "%s"}' % str(uuid4()).encode(), "lhcb.job.frobnicate", "spinor", "topic-unknown"),
    (b'{"id": "%s"}' % str(uuid4()).encode(), "lhcb.job.submit", "spinor", "topic-unknown"),
    (b'{"id": "%s"}' % str(uuid4()).encode(), "nothing", "spinor", "topic-unknown"),
    (b'{"id": "%s"}' % str(uuid4()).encode(), "lhcb.job.kill", "", "no-token"),
    (b'{"id": "%s", "data": {"job": "all of them"}}' % str(uuid4()).encode(), "lhcb.job.kill", "spinor", "malformed"),
    (b'{"id": "%s", "data": {"job": -1}}' % str(uuid4()).encode(), "lhcb.job.kill", "spinor", "malformed"),
    (b'{"id": "%s", "data": {"job": 1, "reason": "\\u0000"}}' % str(uuid4()).encode(), "lhcb.job.kill", "spinor",
     "malformed"),
]  # fmt: skip


async def over_amqp(bus: str) -> Counter[str]:
    """The reasons of the dead letters that must follow."""
    expected = Counter(reason for *_, reason in INBOX)
    async with await aio_pika.connect(bus) as connection:
        channel = await connection.channel()
        inbox = await channel.get_exchange(topology.INBOX, ensure=False)
        for body, key, user, _ in INBOX:
            await inbox.publish(aio_pika.Message(body, user_id=user or None), key)
        for queue, body, reason in direct():
            await channel.default_exchange.publish(aio_pika.Message(body), queue)
            expected[reason] += bool(reason)
    return expected


def direct() -> list[tuple[str, bytes, str]]:
    """What somebody with all rights on the broker may put into our own queues; and what becomes of it."""
    view = topology.envelope_queue("jobs", "activity", 3)
    policy = topology.envelope_queue("jobs", "scheduling", 5)
    future = json.dumps({"format": 99, "envelope": "of the future"}).encode()
    unknown = Request(id=uuid4(), topic="job.frobnicate", vo="lhcb", actor="user:x")
    return [
        (view, b"\x00\xff rubbish", "malformed"),
        (view, b'{"log": "jobs", "epoch": "old"}', "malformed"),
        (policy, future, "version-unknown"),
        (policy, encode(Envelope("pilots", 1, 3, 0, 1, 1)), ""),  # of another database: means nothing
        *((view, encode(Envelope("jobs", 1, partition, 0, 1, 1)), "") for partition in (3, 99)),
        (topology.COMMANDS, b'{"requests": 5}', "malformed"),
        (topology.COMMANDS, future, "version-unknown"),
        (topology.COMMANDS, encode(Requests([unknown])), "topic-unknown"),
        (topology.REQUESTS, b"rubbish", "malformed"),
    ]


@pytest.mark.timeout(180)
async def test_bad_input_is_told_apart_and_harms_nobody(fleet: Fleet, rabbitmq: str, rabbitmq_server: RabbitMQ) -> None:
    async with somebody(fleet) as user, connected(fleet.database) as pool:
        jobs = await user.submit([{"executable": "/bin/true", "name": "before"}])
        await quiet(pool)  # every consumer has its queues
        await over_http(user)
        await with_headers(fleet)
        expected = await over_amqp(rabbitmq)
        strays = [Envelope("jobs", await epoch(pool), partition, 0, 10, 10) for partition in (99, -1)]
        strays += [Envelope("jobs", await epoch(pool), 3, 0, 10**9, 10**9)]  # beyond whatever the log has
        async with await aio_pika.connect(rabbitmq) as connection:
            channel = await connection.channel()
            for stray in strays * 20:
                queue = topology.envelope_queue("jobs", "activity", 3)
                await channel.default_exchange.publish(aio_pika.Message(encode(stray)), queue)
        async with asyncio.timeout(30):
            while await reasons(pool) != expected:
                await asyncio.sleep(0.2)
        jobs += await user.submit([{"executable": "/bin/true", "name": f"after{n}"} for n in range(64)])
        pilots = await crew(fleet.url, user, 2, done)
        await settled(fleet)
        await pilots.end()
        await quiet(pool)
        await everything_is_right(pool, letters=expected.total())
        rows = await pool.fetch("select job, status from jobs order by job")
        assert [(row["job"], row["status"]) for row in rows] == [(job, "Done") for job in jobs]
        async with asyncio.timeout(30):  # the broker counts now and then only
            while await asyncio.to_thread(left, rabbitmq_server, rabbitmq):
                await asyncio.sleep(0.5)
        letters = await pool.fetch("select * from dead_letters")
        assert all(letter["body"] is not None and letter["source"] for letter in letters)


async def reasons(pool: asyncpg.Pool) -> Counter[str]:
    """Why there are dead letters."""
    return Counter(row["reason"] for row in await pool.fetch("select reason from dead_letters"))


def left(server: RabbitMQ, bus: str) -> dict[str, int]:
    """Messages that somebody should have taken, by queue."""
    queues = server.call("GET", f"queues/{bus.rpartition('/')[2]}")
    return {q["name"]: q["messages"] for q in queues if q.get("messages") and q["name"] != "spinor.witness"}


async def epoch(pool: asyncpg.Pool) -> int:
    return int(await pool.fetchval("select epoch from installation"))
