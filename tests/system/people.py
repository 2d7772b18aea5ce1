"""Users and pilots that speak HTTP as real ones do: what got no answer is asked again, under the same id or number."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx

from domain.values import subject
from gateway.ports import Principal
from infra.tokens import Tokens

VO = "lhcb"
SITE = "LCG.Test.org"
ALL = frozenset({"NormalUser", "JobAdministrator", "Operator", "ServiceAdministrator"})
LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
PAUSE = 0.3  # seconds before the same is asked again
Json = dict[str, Any]


class Told(Exception):
    """The gateway understood and said no."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status, self.code = status, code


async def insist(client: httpx.AsyncClient, path: str, body: Any, sent: Counter[str], **more: Any) -> Json:
    """Post until there is an answer; raises Told for a refusal. `sent` counts the tries that may have arrived."""
    while True:
        sent[path] += 1
        try:
            answer = await client.post(path, json=body, **more)
        except httpx.HTTPError:
            sent["lost"] += 1
            await asyncio.sleep(PAUSE)
            continue
        if answer.status_code in LATER:
            sent[f"{answer.status_code} {answer.json()['code']}"] += 1
            await asyncio.sleep(PAUSE)
            continue
        found: Json = answer.json()
        if answer.is_error:
            raise Told(answer.status_code, found["code"])
        return found


async def fetched(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """Get until there is an answer that says more than "later"."""
    while True:
        with suppress(httpx.HTTPError):
            answer = await client.get(path, follow_redirects=True)
            if answer.status_code not in LATER:
                return answer
        await asyncio.sleep(PAUSE)


def person(tokens: Tokens, name: str = "ann", rights: frozenset[str] = ALL) -> str:
    """An access token of a user."""
    return tokens.issue(Principal("user", subject(VO, "test", name), VO, name, "lhcb_user", rights), 3600)


@dataclass
class User:
    """Submits, in small requests at a steady rate, and remembers what was promised."""

    client: httpx.AsyncClient
    acknowledged: list[int] = field(default_factory=list)
    tries: dict[str, int] = field(default_factory=dict)  # of each submission
    killed: set[int] = field(default_factory=set)  # jobs whose kill was acknowledged
    sent: Counter[str] = field(default_factory=Counter)

    async def flood(self, rate: int, seconds: float, describe: Callable[[int], Json], at_once: int = 20) -> None:
        """`rate` jobs a second; requests that get no answer are repeated while the next ones go out."""
        loop = asyncio.get_running_loop()
        begin, count = loop.time(), int(rate * seconds) // at_once
        requests = []
        for number in range(count):
            await asyncio.sleep(max(0.0, begin + number * at_once / rate - loop.time()))
            jobs = [describe(number * at_once + k) for k in range(at_once)]
            requests.append(asyncio.create_task(self.submit(jobs)))
        await asyncio.gather(*requests)

    async def submit(self, jobs: Sequence[Json]) -> list[int]:
        """Their numbers, once they were promised."""
        key, sent = str(uuid4()), Counter[str]()
        answer = await insist(self.client, "/api/v1/jobs", {"jobs": jobs}, sent, headers={"Idempotency-Key": key})
        self.tries[answer["submission"]] = sent["/api/v1/jobs"]
        self.sent += sent
        numbers = [each["job"] for each in answer["jobs"]]
        self.acknowledged += numbers
        return numbers

    async def kill(self, jobs: Sequence[int]) -> None:
        """Kill what can be killed."""
        body = {"jobs": list(jobs)}
        headers = {"Idempotency-Key": str(uuid4())}
        answer = await insist(self.client, "/api/v1/jobs/kill", body, self.sent, headers=headers)
        self.killed |= {each["job"] for each in answer["jobs"] if "error" not in each}


@dataclass
class Pilot:
    """One pilot: offers, starts what it gets, reports in numbered reports; `verdict` says how a job ends."""

    client: httpx.AsyncClient
    stamp: str
    secret: str
    verdict: Callable[[Json], Json]
    wait: float = 3.0
    most: int = 10  # jobs at once
    sent: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    begun: set[tuple[int, int]] = field(default_factory=set)
    again: int = 0  # matches that came a second time
    gone: str = ""
    pending: list[Json] = field(default_factory=list)
    seqs: Counter[tuple[int, int]] = field(default_factory=Counter)
    dropped: dict[tuple[int, int], str] = field(default_factory=dict)  # attempts that are not ours any more, and why

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop, then say goodbye."""
        try:
            await self.introduce()
            while not stop.is_set():
                await self.round()
            await self.call("bye", {"reason": "stopped", "jobs_run": len(self.begun)})
        except Told as told:
            self.gone = told.code

    async def introduce(self) -> None:
        """Show the secret and say hello."""
        await self.prove()
        node = {"hostname": "n1", "platform": "Linux", "processors": 8, "memory_mb": 16000}
        await self.call("hello", {"site": SITE, "ce": "ce1", "version": "1", "node": node})

    async def prove(self) -> None:
        """A token; the same process proves itself again as the same incarnation."""
        self.claim = getattr(self, "claim", None) or {
            "vo": VO, "stamp": self.stamp, "secret": self.secret, "incarnation": str(uuid4()),
        }  # fmt: skip
        answer = await insist(self.client, "/api/v1/pilot/token", self.claim, self.sent)
        self.client.headers["Authorization"] = f"Bearer {answer['access_token']}"

    async def call(self, name: str, body: Json) -> Json:
        """An answer, with a fresh token if the old one is not accepted any more."""
        try:
            return await insist(self.client, f"/api/v1/pilot/{name}", body, self.sent)
        except Told as told:
            if told.status != 401:
                raise
        await self.prove()
        return await insist(self.client, f"/api/v1/pilot/{name}", body, self.sent)

    async def round(self) -> None:
        """Take some jobs, say that they run, say how they ended."""
        taken: list[Json] = []
        while len(taken) < self.most:
            match = await self.offer(0.0 if taken else self.wait)
            if match is None:
                break
            taken.append(match)
        await self.report(taken, [{"kind": "started", "host": "n1", "pid": 1}])
        await self.finish(taken)

    async def finish(self, taken: Sequence[Json]) -> None:
        """Report the end of each, as its verdict says."""
        for match in taken:
            await self.report([match], [{"kind": "completing"}, self.verdict(match)], flush=False)
        await self.flush([])

    async def offer(self, wait: float) -> Json | None:
        """A match we did not have yet."""
        body = {"offer": str(uuid4()), "processors": 8, "memory_mb": 16000, "cpu_seconds": 1_000_000, "wait": wait}
        match: Json | None = (await self.call("offer", body))["match"]
        if match is None:
            return None
        key = (match["job"], match["attempt"])
        if key in self.begun:
            self.again += 1
        self.begun.add(key)
        return match

    async def report(self, matches: Sequence[Json], reports: Sequence[Json], *, flush: bool = True) -> None:
        """Write reports down; they go out together."""
        for match in matches:
            key = (match["job"], match["attempt"])
            for report in reports:
                self.seqs[key] += 1
                at = datetime.now(UTC).isoformat()
                head = {"job": key[0], "attempt": key[1], "seq": self.seqs[key], "at": at}
                self.pending.append(head | report)
        if flush:
            await self.flush([{"job": match["job"], "attempt": match["attempt"]} for match in matches])

    async def flush(self, alive: Sequence[Json]) -> None:
        """Send what is pending until every report has its answer."""
        while self.pending or alive:
            answer = await self.call("reports", {"reports": self.pending, "alive": list(alive)})
            alive = []
            answered = set()
            for result in answer["results"]:
                key = (result["job"], result["attempt"])
                answered.add((*key, result["seq"]))
                if not result["ok"]:
                    self.refused[result["code"]] += 1
                    self.dropped[key] = result["code"]
            for command in answer["commands"]:
                self.dropped[command["job"], command["attempt"]] = command["command"]
            self.pending = [
                each for each in self.pending
                if (each["job"], each["attempt"], each["seq"]) not in answered
                and (each["job"], each["attempt"]) not in self.dropped
            ]  # fmt: skip


def done(match: Json) -> Json:
    """Every job ends well."""
    return {"kind": "done", "exit_code": 0, "cpu_seconds": 1.0, "wall_seconds": 1.0, "max_rss_mb": 1.0}


def mixed(match: Json) -> Json:
    """What each job is to become is in its arguments: well, badly, or only at the second attempt."""
    wanted, attempt = match["description"].get("arguments", ""), match["attempt"]
    if wanted == "fails":
        return {"kind": "failed", "code": "exit-code", "exit_code": 3, "detail": "as wanted"}
    if wanted == "again" and attempt == 1:
        return {"kind": "failed", "code": "payload-lost", "detail": "as wanted"}
    return done(match)


def described(number: int) -> Json:
    """Jobs of all kinds: most end well, some fail, some fail once, some fit nowhere."""
    job: Json = {"executable": "/bin/true", "name": f"n{number}"}
    if number % 41 == 0:
        return job | {"arguments": "fails"}
    if number % 13 == 0:
        return job | {"arguments": "again"}
    if number % 97 == 5:
        return job | {"arguments": "waits", "sites": ["LCG.Nowhere.org"]}
    return job


@dataclass
class Crew:
    """Pilots at work."""

    pilots: list[Pilot]
    stop: asyncio.Event
    tasks: list[asyncio.Task[None]]

    async def end(self) -> None:
        """Every pilot finishes its round and says goodbye."""
        self.stop.set()
        await asyncio.gather(*self.tasks)
        for pilot in self.pilots:
            await pilot.client.aclose()

    def total(self, what: str) -> Counter[str]:
        """The counters of all pilots together."""
        return sum((getattr(pilot, what) for pilot in self.pilots), Counter[str]())


async def crew(url: str, user: User, count: int, verdict: Callable[[Json], Json] = mixed) -> Crew:
    """Announce pilots and set them to work."""
    pilots = []
    for number in range(count):
        announced = await insist(user.client, "/api/v1/pilots", {"stamp": f"p{number}", "site": SITE}, user.sent)
        client = httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(30))
        pilots.append(Pilot(client, announced["pilot"], announced["secret"], verdict))
    stop = asyncio.Event()
    return Crew(pilots, stop, [asyncio.create_task(pilot.run(stop)) for pilot in pilots])
