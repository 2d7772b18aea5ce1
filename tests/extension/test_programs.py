"""Other programs on the bus of the real system: what they publish is done, answered or kept; they hear what happens."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from gateway_site import JOB, VO, Site, submitted, with_few_partitions

from infra.app import CORE
from infra.serve import running
from infra.settings import settings

Json = dict[str, Any]
PROGRAM = Path(__file__).with_name("publish_and_listen.py")
MAKE = "submission.make"


class Program:
    """A program that waits for its answers."""

    def __init__(self, channel: aio_pika.abc.AbstractChannel, inbox: aio_pika.abc.AbstractExchange) -> None:
        self.channel, self.inbox = channel, inbox

    async def say(self, topic: str, data: Any, id_: str = "", reply_to: str | None = None, vo: str = VO) -> str:
        body = json.dumps({"id": id_ or str(uuid4()), "data": data}).encode()
        message = aio_pika.Message(body, user_id="spinor", delivery_mode=2, reply_to=reply_to)
        await self.inbox.publish(message, f"{vo}.{topic}")
        return id_

    async def ask(self, topic: str, data: Any, id_: str = "", vo: str = VO) -> Json:
        answers = await self.channel.declare_queue(exclusive=True)
        await self.say(topic, data, id_, answers.name, vo)
        async with answers.iterator() as messages:
            async for message in messages:
                await message.ack()
                return dict(json.loads(message.body)["outcomes"][0])
        raise AssertionError("no answer")


@pytest.fixture
async def site(database: str, rabbitmq: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        await with_few_partitions(database)
        given = settings(database=database, bus=rabbitmq, data=tmp_path, port=0, vo=VO, secret="s" * 40, max_jobs=50)
        yield Site(await stack.enter_async_context(running(CORE, given)), stack)


@pytest.fixture
async def program(site: Site, rabbitmq: str) -> AsyncIterator[Program]:
    async with await aio_pika.connect(rabbitmq) as connection:
        channel = await connection.channel()
        yield Program(channel, await channel.get_exchange("spinor.inbox"))


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    while not (found := await look()):
        await asyncio.sleep(0.05)
    return found


async def listed(site: Site, *right: str, vo: str = VO) -> list[Json]:
    client = await site.user("boss", *(right or ("JobAdministrator",)), vo=vo)
    return list((await client.get("/api/v1/jobs")).json()["jobs"])


@asynccontextmanager
async def example(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), *words, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_example_submits_a_job_and_hears_what_becomes_of_it(site: Site, rabbitmq: str) -> None:
    stranger = await site.user("ann")
    await submitted(stranger, JOB)  # not what the program asked for: it hears of it and does not tell
    data = json.dumps({"jobs": [{"executable": "/bin/true", "tags": ["ours"]}]})
    async with example(rabbitmq, VO, MAKE, data, "6") as program:
        assert program.stdout
        first = [(await program.stdout.readline()).decode().split()[1] for _ in range(3)]
        assert first == ["job.submitted", "job.checked", "job.queued"]
        pilot = await site.pilot()
        assert (await pilot.offer())["job"] == 1
        match = await pilot.offer(tags=["ours"])
        assert (match["job"], match["owner"]) == (2, "spinor")
        for seq, kind in enumerate(("started", "done"), 1):
            await pilot.report(2, kind, seq, **({"exit_code": 0} if kind == "done" else {}))
        out, errors = await program.communicate()
    assert [line.split()[1] for line in out.decode().splitlines()] == ["job.matched", "job.started", "job.done"]
    assert (program.returncode, errors) == (0, b"")


async def test_the_example_kills_a_job(site: Site, rabbitmq: str) -> None:
    ann = await site.user("ann")
    (job,) = await submitted(ann, JOB)
    await until(lambda: _waiting(site))
    async with example(rabbitmq, VO, "job.kill", json.dumps({"job": job, "reason": "no more"})) as program:
        out, _ = await program.communicate()
    assert "job.killed" in out.decode()
    (row,) = await listed(site)
    assert row["status"] == "Killed"


async def _waiting(site: Site) -> bool:
    return [row["status"] for row in await listed(site)] == ["Waiting"]


async def test_descriptions_and_jdl_become_jobs_of_the_program_in_the_vo_of_the_key(
    site: Site, program: Program
) -> None:
    jdl = '[Executable = "/bin/echo"; Arguments = "%n"; Parameters = 3;]'
    one = await program.ask(MAKE, {"jobs": [JOB, '[Executable = "/bin/date";]']})
    many = await program.ask(MAKE, {"jdl": jdl})
    other = await program.ask(MAKE, {"jobs": [JOB]}, vo="belle2")
    assert [answer["parameters"]["jobs"] for answer in (one, many, other)] == [[1, 2], [3, 4, 5], [6]]
    rows = await listed(site)
    assert {row["job"] for row in rows} == {1, 2, 3, 4, 5}
    assert {(row["owner_name"], row["owner_group"]) for row in rows} == {("spinor", "programs")}
    (theirs,) = await listed(site, vo="belle2")
    assert theirs["owner"] != rows[0]["owner"]  # another pseudonym in every VO
    boss = await site.user("boss", "JobAdministrator")
    told = (await boss.get("/api/v1/jobs/4/history")).json()["lines"][0]
    assert (told["actor"], told["what"]) == (
        "program spinor",
        "spinor submitted the job “Unknown” for group programs",
    )
    assert (await boss.get("/api/v1/jobs/4/description")).json()["arguments"] == "1"


async def test_the_same_id_gives_the_same_jobs_and_other_content_is_refused(site: Site, program: Program) -> None:
    id_ = str(uuid4())
    first = await program.ask(MAKE, {"jobs": [JOB, JOB]}, id_)
    for _ in range(3):
        await program.say(MAKE, {"jobs": [JOB, JOB]}, id_)
    again = await program.ask(MAKE, {"jobs": [JOB, JOB]}, id_)
    assert first["parameters"] == again["parameters"] == {"jobs": [1, 2]}
    other = await program.ask(MAKE, {"jobs": [JOB]}, id_)
    assert (other["ok"], other["code"]) == (False, "key-reused")
    assert (await program.ask(MAKE, {"jobs": [JOB]}, id_, vo="belle2"))["ok"]  # an id is one of a VO
    assert len(await listed(site)) == 2


STRANGE = "SB:SandboxSE|/S3/sandboxes/lhcb/lhcb_user/somebody/sha256:" + "0" * 64 + ".tar.bz2"
WRONG: list[tuple[Json, set[str]]] = [
    ({"jobs": [JOB, {"executable": "/bin/true", "cpu_time": -1}]}, {"description"}),
    ({"jobs": [{"executable": "x", "input_sandbox": [STRANGE]}]}, {"sandbox-unknown"}),
    ({"jobs": [{"executable": "x", "owner": "ann"}]}, {"description"}),
    ({"jdl": "[Executable = "}, {"jdl-syntax"}),
    ({"jobs": [JOB] * 51}, {"too-many"}),
    ({}, {"malformed"}),
    ({"jobs": [JOB], "jdl": "[]"}, {"malformed"}),
    ({"jobs": 7}, {"malformed"}),
]


async def test_what_is_wrong_is_answered_with_its_code_and_nothing_is_submitted(site: Site, program: Program) -> None:
    for data, codes in WRONG:
        answer = await program.ask(MAKE, data)
        assert (answer["ok"], answer["code"] in codes) == (False, True), answer
    assert await listed(site) == []
    assert await site.work.runtime.pool.fetchval("select last from job_numbers") == 0  # no number was burned


async def test_a_refusal_that_nobody_waits_for_is_a_dead_letter_with_the_reason(site: Site, program: Program) -> None:
    wrong, late = str(uuid4()), str(uuid4())
    await program.say(MAKE, {"jobs": [JOB, {"executable": "/bin/true", "cpu_time": -1}]}, wrong)
    await program.say("job.kill", {"job": 77}, late)
    await program.say("job.fail", {"job": 77})
    operator = await site.user("op", "Operator")

    async def letters() -> Any:
        found = (await operator.get("/api/v1/dead-letters")).json()["dead_letters"]
        return len(found) >= 2 and {letter["id"]: letter for letter in found}

    found = await until(letters)
    assert (found[wrong]["reason"], found[wrong]["actor"]) == ("description", "program:spinor")
    assert "cpu_time" in found[wrong]["detail"]
    assert found[late]["reason"] == "job-unknown"
    unreadable = await until(lambda: site.work.runtime.pool.fetch("select * from dead_letters where source = 'inbox'"))
    assert [row["reason"] for row in unreadable] == ["topic-unknown"]


async def test_a_good_submission_beside_bad_ones_in_one_message_is_done(site: Site, program: Program) -> None:
    messages = [({"jobs": [JOB]}, True), ({"jobs": []}, False), ({"jobs": [JOB, JOB]}, True)]
    body = json.dumps([{"id": str(uuid4()), "data": data} for data, _ in messages]).encode()
    answers = await program.channel.declare_queue(exclusive=True)
    message = aio_pika.Message(body, user_id="spinor", reply_to=answers.name)
    await program.inbox.publish(message, f"{VO}.{MAKE}")
    reply = await until(lambda: answers.get(fail=False))
    await reply.ack()
    assert [one["ok"] for one in json.loads(reply.body)["outcomes"]] == [good for _, good in messages]
    assert len(await listed(site)) == 3


async def test_the_documents_name_every_event_and_every_command_for_programs(site: Site) -> None:
    anybody = await site.client()
    answer = await anybody.get("/asyncapi.json")
    written = answer.json()
    said = {c.TOPIC for c in (*CORE.commands, *CORE.services) if c.OUTSIDE}
    assert {"job.kill", "job.reschedule", "job.delete", MAKE} <= said
    assert set(written["channels"]) == said | set(CORE.events)
    assert {f"publish.{topic}" for topic in said} | {f"listen.{topic}" for topic in CORE.events} == set(
        written["operations"]
    )
    for reference in re.findall(r'"\$ref": ?"#/([^"]+)"', answer.text):
        place: Any = written
        for step in reference.split("/"):
            place = place[step]
    assert "spinor:spinor" not in answer.text  # the password of the bus
    page = await anybody.get("/asyncapi")
    assert page.headers["content-type"].startswith("text/html")
    assert all(topic in page.text for topic in written["channels"])
    assert not re.search(r"(?:src|href)=[\"'](?!#)|<script|@import|url\(", page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_in_one_process_the_inbox_takes_the_same(database: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        given = settings(database=database, data=tmp_path, port=0, vo=VO, secret="s" * 40)
        site = Site(await stack.enter_async_context(running(CORE, given)), stack)
        bus: Any = site.work.runtime.bus
        body = json.dumps({"id": str(uuid4()), "data": {"jobs": [JOB]}}).encode()
        await bus.inbox("portal", f"{VO}.{MAKE}", body)
        (row,) = await until(lambda: listed(site))
        assert row["owner_name"] == "portal"
        assert "started with <code>--bus</code>" in (await (await site.client()).get("/asyncapi")).text
