"""What is particular to the bus inside one process: bounded buffers, and programs that are Python calls."""

import json
from itertools import pairwise
from uuid import uuid4

import pytest
from bus_stubs import QUICK, TOPICS, Cemetery, Listener, Server, envelope, event, request, until

from domain.errors import Code, Refused
from infra.bus.inbox import Programs
from infra.bus.local import Hub, LocalBus


async def test_a_consumer_that_is_too_slow_sees_a_gap_and_always_the_newest() -> None:
    bus, listener = LocalBus(Cemetery().bury, Hub(room=30), tuning=QUICK), Listener(slow=0.02)
    await bus.subscribe("view", "job", 1, listener)
    for k in range(500):
        await bus.publish([envelope(0, 2 * k, 2 * k + 1, 2 * k + 2)])
    await until(lambda: 1_000 in listener.positions(0))
    await bus.close()
    envelopes = [one for batch in listener.batches for one in batch]
    gaps = [after for before, after in pairwise(envelopes) if after.previous > before.last]
    assert listener.seen() < 200
    assert gaps
    assert listener.positions(0) == sorted(listener.positions(0))


async def test_a_full_bus_refuses_and_does_not_block() -> None:
    bus = LocalBus(Cemetery().bury, Hub(most_waiting=2), tuning=QUICK)
    for _ in range(3):
        await bus.send([request()])
    with pytest.raises(Refused) as caught:
        await bus.send([request()])
    assert caught.value.code is Code.BUS_AWAY


async def test_programs_post_and_listen_through_calls() -> None:
    cemetery, server = Cemetery(), Server()
    bus = LocalBus(cemetery.bury, programs=Programs(TOPICS), tuning=QUICK)
    await bus.serve(server)
    heard, all_of_it = bus.listen("*.job.*"), bus.listen("#", room=1)
    await bus.inbox("robot", "lhcb.job.submit", json.dumps({"id": str(uuid4()), "data": {"number": 4}}).encode())
    await bus.inbox("robot", "lhcb.job.frobnicate", b"{}")
    await bus.inbox("robot", "lhcb.job.submit", b"{}")
    await bus.announce([event(1), event(2, topic="pilot.started"), event(3, vo="atlas")])
    await until(lambda: server.received)
    await bus.close()
    assert server.batches[0][0].actor == "program:robot"
    assert [letter.reason for letter in cemetery.letters] == ["topic-unknown", "malformed"]
    assert [heard.get_nowait()[0] for _ in range(heard.qsize())] == ["lhcb.job.submitted", "atlas.job.submitted"]
    assert all_of_it.get_nowait()[0] == "atlas.job.submitted"
