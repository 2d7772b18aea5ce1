"""Two VOs at two real providers on one installation: whoever is of one sees and changes nothing of the other."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from data_files import put
from gateway_site import Pilot, Site, stored, submitted
from login_site import CLIENT, Json, LoginSite, Terminal, lhcb
from providers_glewlwyd import Glewlwyd
from walk_cases import CASES, INSIDE, NAME, filled

from domain.configuration import STREAM, Installation
from domain.messages import Origin
from gateway.app import create
from gateway.rights import walk
from infra.bus.messages import now
from infra.store import record

pytestmark = pytest.mark.asyncio(loop_scope="module")
WEB = "http://localhost/#authentication-callback"
EVERY = ("NormalUser", "JobAdministrator", "Operator", "ServiceAdministrator", "CSAdministrator", "UserManager",
         "SiteManager", "ProxyManagement", "FileCatalogManagement", "JobMonitor")  # fmt: skip
OURS = {"resident", "user", "administrator", "manager", "keeper", "operator", "configurer"}


def atlas(provider: Glewlwyd) -> Json:
    """What is configured for the VO of Debian's provider."""
    return {
        "idp": {"issuer": provider.url, "client_id": "spinor"},
        "default_group": "atlas_user",
        "groups": {"atlas_user": {"properties": ["NormalUser"]}, "atlas_boss": {"properties": list(EVERY)}},
        "rules": [
            {"claim": "groups", "value": "atlas", "group": "atlas_user"},
            {"claim": "groups", "value": "atlas/boss", "group": "atlas_boss"},
        ],
    }


class Both:
    """Two VOs, and what belongs to the first one."""

    def __init__(self, site: LoginSite, other: LoginSite) -> None:
        self.site, self.other = site, other
        self.people = Site(site.work, site.stack)

    async def boss(self, vo: str) -> httpx.AsyncClient:
        return await self.people.user("boss", *EVERY, vo=vo, group=f"{vo}_boss")

    async def furnished(self) -> Json:
        """Something of every kind in the first VO; its ids."""
        boss = await self.boss("lhcb")
        ann = await self.people.user("ann", vo="lhcb", group=NAME)
        await self.site.log_in("ann")
        job, waits = await submitted(
            ann,
            {"executable": f"/bin/{INSIDE}", "name": NAME},
            {"executable": "/bin/x", "name": NAME, "memory_mb": 9999},
        )
        pilot = await self.people.pilot(NAME, announced=INSIDE)
        await self._run(pilot, job)
        lfn = f"/lhcb/user/{NAME}/{INSIDE}"
        await put(ann, lfn)
        facts = {
            "job": job, "stamp": NAME, "lfn": lfn, "name": NAME, "directory": f"/lhcb/user/{NAME}", "verb": "drop",
            "se": "LOCAL-DISK", "letter": str(await self._letter()), "pfn": await stored(ann, b"theirs"),
        }  # fmt: skip
        asked: list[tuple[str, Json]] = [
            ("jobs/kill", {"jobs": [10**9]}),
            ("transformations", {"name": NAME, "job": {"executable": f"/bin/{INSIDE}"}}),
            (f"transformations/{NAME}/inputs", {"lfns": [lfn]}),
            ("data/fields", {"name": NAME, "type": "string"}),
            ("data/describe", {"paths": [lfn], "values": {NAME: INSIDE}}),
            ("data/quotas", {"scope": "group", "name": NAME, "most_files": 100}),
            ("suspensions", {"kind": "group", "name": "lhcb_old", "reason": INSIDE}),
            ("resources", {"resources": [{"kind": "site", "name": "LCG.Quokka.au"}], "status": "Banned",
                           "reason": f"{NAME} {INSIDE}", "vo": "lhcb"}),
        ]  # fmt: skip
        for path, body in asked:
            answer = await boss.post(f"/api/v1/{path}", json=body)
            assert answer.is_success, (path, answer.text)
        facts["action"] = await made(boss, "bulk", "action", verb="hold", where={"name": NAME}, reason=INSIDE)
        facts["removal"] = await made(boss, "data/removals", "removal", lfns=[lfn], reason=INSIDE)
        copy = [{"verb": "replicate", "se": "LOCAL-DISK"}]
        facts["request"] = await made(boss, "data/requests", "request", lfns=[lfn], operations=copy, reason=INSIDE)
        facts["check"] = await made(boss, "data/elements/LOCAL-DISK/check", "check", path=facts["directory"])
        facts["token"] = (await boss.get("/api/auth/refresh-tokens")).json()[0]["JTI"]
        facts["session"] = facts["token"]
        async with asyncio.timeout(60):
            while not (queues := (await boss.get("/api/v1/queues")).json()["queues"]):
                await asyncio.sleep(0.1)
        return facts | {"queue": queues[0]["queue"], "waits": waits}

    async def _run(self, pilot: Pilot, job: int) -> None:
        match = await pilot.offer()
        assert match["job"] == job
        await pilot.report(job, "started", 1, host="n1")
        await pilot.report(job, "parameters", 2, values={INSIDE: "1"})

    async def _letter(self) -> Any:
        return await self.site.work.runtime.pool.fetchval(
            "insert into dead_letters (id, source, topic, vo, actor, body, reason, detail, attempts, first_at, at) "
            "values ($1, 'commands', 'job.kill', 'lhcb', 'user:x', '{}', $2, '', 1, now(), now()) returning id",
            uuid4(), INSIDE,
        )  # fmt: skip


async def made(client: httpx.AsyncClient, route: str, key: str, **body: Any) -> str:
    answer = await client.post(f"/api/v1/{route}", json=body)
    assert answer.is_success, answer.text
    return str(answer.json()[key])


async def asked(client: httpx.AsyncClient, route: str, given: Json, facts: Json) -> tuple[int, str]:
    """Status and text of an answer; of a stream, what it has told until it says that nothing more is there."""
    method, _, path = route.partition(" ")
    path, given = path.format_map(facts), filled(given, facts)
    if path == "/api/v1/events":
        return await listened(client, path, given)
    sent = {"params": given} if method != "POST" else {"json": given}
    answer = await client.request(method, path, **sent)
    return answer.status_code, answer.text


async def listened(client: httpx.AsyncClient, path: str, given: Json) -> tuple[int, str]:
    told = ""
    async with client.stream("GET", path, params=given) as stream:
        async for part in stream.aiter_text():
            told += part
            if "still here" in told:
                break
        return stream.status_code, told


async def furnished_with(site: LoginSite, other: Glewlwyd) -> Both:
    """Both VOs configured, with places that only the first one may use."""
    registry = lhcb(site.provider)
    registry["groups"] |= {NAME: {"properties": ["NormalUser"]}, "lhcb_boss": {"properties": list(EVERY)},
                           "lhcb_old": {"properties": ["NormalUser"]}}  # fmt: skip
    registry["support"] = {"message": INSIDE}
    await site.configure(registry, "lhcb")
    await site.configure(atlas(other), "atlas")
    ces = {f"{NAME}.example.org": {"type": "SLURM", "queues": {"q": {"extra": {"why": INSIDE}}}}}
    place = "/resources/sites/LCG.Quokka.au"
    await site.configure_at(place, {"vos": ["lhcb"], "description": INSIDE, "ces": ces})
    await site.configure_at("/resources/storage_elements/QUOKKA-DISK", {"vos": ["lhcb"], "description": INSIDE})
    await site.configure_at("/operations/lhcb", {
        "data_management": {"sandbox_bytes": 1000}, "times": {"silent_for": 4321},
    })  # fmt: skip
    return Both(site, replace(site, provider=other))


@pytest_asyncio.fixture(loop_scope="module")
async def both(login_site: LoginSite, glewlwyd: Glewlwyd) -> Both:
    return await furnished_with(login_site, glewlwyd)


async def test_people_of_both_log_in_at_their_own_provider_by_terminal_and_by_browser(
    both: Both, tmp_path: Path
) -> None:  # fmt: skip
    for site, vo, name, group in ((both.site, "lhcb", "ann", "lhcb_prod"), (both.other, "atlas", "kim", "atlas_boss")):
        terminal = Terminal(site, tmp_path / vo)
        status, told = await terminal.log_in(name, vo, "--group", group)
        assert status == 0, told
        told = json.loads((await terminal.run("whoami", "--json"))[1])
        assert (told["vo"], told["name"], told["group"]) == (vo, name, group)
        came, verifier = await site.authorize(name, f"vo:{vo} group:{group}", WEB)
        right = {"grant_type": "authorization_code", "redirect_uri": WEB, "code_verifier": verifier}
        tokens = (await site.token(**right, code=came["code"])).json()
        told = (await site.get("/api/auth/userinfo", tokens["access_token"])).json()
        assert (told["vo"], told["preferred_username"], told["dirac_group"]) == (vo, name, group)
    subjects = {facts["subject"] for topic, facts in await both.site.audit() if topic == "session.opened"}
    assert len(subjects) == 2
    for site, vo in ((both.site, "lhcb"), (both.other, "atlas")):  # nobody is sent to the provider of another VO
        begun = await site.http.get((await site.device(f"vo:{vo}"))["verification_uri_complete"])
        assert begun.headers["location"].startswith(f"{site.provider.url}/auth")


def routes(both: Both) -> dict[str, str]:
    """Every route that people may use, and its rule."""
    app = create(both.people.world, both.site.work.runtime.system.routers)
    walked = [route for route in walk(app) if route.rules[0] in OURS]
    assert {route.rules[0] for route in walk(app)} == OURS | {"public", "signed", "pilot", "job"}
    return {f"{route.methods} {route.path}": route.rules[0] for route in walked}


async def test_nobody_sees_or_changes_anything_of_another_vo_by_any_route(both: Both) -> None:
    facts = await both.furnished()
    mine, theirs = await both.boss("lhcb"), await both.boss("atlas")
    assert set(routes(both)) == set(CASES), "a route without a case in tests/walk_cases.py, or a case without a route"
    shown = await asyncio.gather(*(until(mine, route, facts) for route, (_, sign) in CASES.items() if sign))
    assert not (wrong := [told for told in shown if told]), f"who may see it is not shown it: {wrong}"
    before = await snapshot(mine, facts)
    leaks = []
    for route, (given, sign) in CASES.items():
        status, told = await asked(theirs, route, given, facts)
        told = told.replace(facts["lfn"], "")  # what was asked for is repeated in refusals
        if status >= 500 or INSIDE in told or (sign and status == 200 and sign in told):
            leaks.append((route, status, told[:300]))
    assert not leaks, "\n".join(map(str, leaks))
    assert await snapshot(mine, facts) == before
    await numbers_are_its_own(both, mine, theirs)


async def numbers_are_its_own(both: Both, mine: httpx.AsyncClient, theirs: httpx.AsyncClient) -> None:
    """What a VO's operations say is obeyed, and concerns no other VO."""
    announced = {"checksum": "1" * 64, "size": 1001, "format": "tar.bz2"}
    answers = [(await client.post("/api/jobs/sandbox", json=announced)).status_code for client in (mine, theirs)]
    assert answers == [413, 200]
    silence = "select distinct extract(epoch from silence)::int from timers where topic = 'job.stall'"
    assert await both.site.work.runtime.pool.fetchval(silence) == 4321


async def until(client: httpx.AsyncClient, route: str, facts: Json) -> Any:
    """Nothing, once the route shows the sign of its case (some views follow within a second); or what it says."""
    given, sign = CASES[route]
    for _ in range(100):
        status, told = await asked(client, route, given, facts)
        if status != 200 or sign in told:
            break
        await asyncio.sleep(0.1)
    return None if status == 200 and sign in told else (route, status, told[:300])


LASTING = ("GET /api/v1/config", "GET /api/v1/transformations/{name}",
           "GET /api/auth/refresh-tokens", "GET /api/v1/jobs", "GET /api/v1/bulk",
           "GET /api/v1/suspensions", "GET /api/v1/data/quotas", "GET /api/v1/data/list", "GET /api/v1/data/fields",
           "GET /api/v1/data/meta", "GET /api/v1/data/removals", "GET /api/v1/resources",
           "GET /api/v1/dead-letters", "GET /api/v1/pilots/{stamp}/history")  # fmt: skip


async def snapshot(client: httpx.AsyncClient, facts: Json) -> dict[str, str]:
    return {route: (await asked(client, route, CASES[route][0], facts))[1] for route in LASTING}


async def test_a_vo_whose_configuration_cannot_be_read_is_refused_everywhere_and_named_and_the_other_works(
    both: Both,
) -> None:
    flow = await both.other.device("vo:atlas")
    mine, theirs = await both.boss("lhcb"), await both.boss("atlas")
    tokens = await both.other.log_in("kim", "vo:atlas group:atlas_boss")
    await break_(both.site, "atlas")
    assert (await mine.get("/api/v1/health/ready")).json() == {"ok": True, "broken": ["atlas"]}
    ids = dict.fromkeys(("action", "removal", "request", "check", "token", "session", "letter"), str(uuid4()))
    names = {
        "stamp": "p",
        "name": "t",
        "se": "SE",
        "verb": "drop",
        "lfn": "/atlas/x",
        "directory": "/atlas",
        "pfn": "x",
    }
    facts = {"job": 1, "queue": 1, **ids, **names}
    for route, rule in routes(both).items():
        status, told = await asked(theirs, route, CASES[route][0], facts)
        open_ = rule in ("resident", "configurer")
        assert open_ or status == 422 or (status, json.loads(told)["code"]) == (503, "vo-broken"), (route, status, told)
    assert "/registry/atlas" in (await theirs.get("/api/v1/config/health")).text
    beginning = await both.site.http.post("/api/auth/device", params={"client_id": CLIENT, "scope": "vo:atlas"})
    refresh = await both.site.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    for answer in (beginning, refresh, await both.site.http.get(flow["verification_uri_complete"])):
        assert (answer.status_code, answer.json()["code"]) == (503, "vo-broken")
    await both.site.log_in("ann")
    await submitted(mine)
    assert (await mine.get("/api/config/")).status_code == 200


async def break_(site: LoginSite, vo: str) -> None:
    """A newer release has written something about this VO that ours cannot read."""
    runtime = site.work.runtime
    number = runtime.configuration.revision + 1
    future = Installation.Changed(number, {f"/registry/{vo}/groups/{vo}_user/properties": ["FromTheFuture"]})
    async with runtime.store.transaction() as connection:
        event = record(future, STREAM, number, Origin("user:x", "root", now()))
        await runtime.store.append(connection, "system", [event])
    await runtime.configuration.load()
