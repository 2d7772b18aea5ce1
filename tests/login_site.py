"""A gateway whose VOs have real OpenID providers, and people who log in there."""

import asyncio
import base64
import hashlib
import json
import os
import re
import secrets
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from conftest import not_run
from private import Missing, Servers, ports
from providers_glewlwyd import Glewlwyd
from providers_site import NodeProvider, parameters
from servers import PostgreSQL

from domain.configuration import ChangeConfiguration
from gateway.ports import Principal
from infra.app import CORE
from infra.serve import Running, running
from infra.settings import settings

Json = dict[str, Any]
CLIENT = "myDIRACClientID"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
PASSWORD = "correct horse battery"
PROGRAM = "from infra.entry import main; main()"
LEGACY = "the key of a trusted server"
SERVICE = "s3cret of a service, long enough"
PEOPLE = {
    "sub-ann": {"preferred_username": "ann", "groups": ["lhcb", "lhcb/prod"]},
    "sub-bob": {"preferred_username": "bob", "groups": ["lhcb"]},
    "sub-eve": {"preferred_username": "eve", "groups": ["atlas"]},
    "sub-typed": {"preferred_username": "typed-elsewhere"},
}

OTHERS = {
    "ann": {"preferred_username": "ann", "groups": ["atlas"]},  # the same name as somebody of the other VO
    "kim": {"preferred_username": "kim", "groups": ["atlas", "atlas/boss"]},
}


def lhcb(provider: NodeProvider | Glewlwyd) -> Json:
    """What is configured for the VO of npm's provider: groups by claims, one person by hand."""
    return {
        "idp": {"issuer": provider.url, "client_id": "spinor"},
        "support": {"message": "ask Zoe", "email": "zoe@lhcb.example"},
        "default_group": "lhcb_user",
        "groups": {
            "lhcb_user": {"properties": ["NormalUser", "PrivateLimitedDelegation"]},
            "lhcb_prod": {"properties": ["NormalUser", "ProductionManagement", "JobAdministrator"]},
            "lhcb_admin": {"properties": ["NormalUser", "ProxyManagement", "CSAdministrator", "Operator"]},
            "lhcb_pilot": {"properties": ["Operator"]},
        },
        "users": {"sub-typed": {"preferred_username": "tim", "groups": ["lhcb_user", "lhcb_admin"]}},
        "rules": [
            {"claim": "groups", "value": "lhcb", "group": "lhcb_user"},
            {"claim": "groups", "value": "lhcb/prod*", "group": "lhcb_prod"},
        ],
    }


@pytest.fixture(scope="session")
def gateway_port() -> int:
    """Where the gateway of these tests listens: a provider must know it beforehand."""
    return ports(1)[0]


@pytest.fixture(scope="session")
def node_provider(servers: Servers, gateway_port: int) -> Iterator[NodeProvider]:
    """npm's certified provider, which knows PEOPLE."""
    at = f"http://127.0.0.1:{gateway_port}/api/auth"
    client = {"client_id": "spinor", "redirect_uris": [f"{at}/device/complete", f"{at}/authorize/complete"]}
    users = {sub: {"password": PASSWORD, "claims": claims} for sub, claims in PEOPLE.items()}
    try:
        provider = NodeProvider(servers, "oidc-provider", [client], users)
    except Missing as missing:
        not_run(str(missing))
    yield provider.start()
    provider.close()


@pytest.fixture(scope="session")
def glewlwyd(servers: Servers, gateway_port: int) -> Iterator[Glewlwyd]:
    """Debian's provider, which knows OTHERS."""
    at = f"http://127.0.0.1:{gateway_port}/api/auth"
    users = {name: {"password": PASSWORD, "claims": claims} for name, claims in OTHERS.items()}
    try:
        provider = Glewlwyd(servers, "glewlwyd", [f"{at}/device/complete", f"{at}/authorize/complete"], users)
    except Missing as missing:
        not_run(str(missing))
    yield provider.start()
    provider.close()


@dataclass
class LoginSite:
    """The running system, and its people at their terminals and browsers."""

    work: Running
    stack: AsyncExitStack
    provider: NodeProvider | Glewlwyd
    http: httpx.AsyncClient
    since: int = 0  # the position of the log when the test began

    @property
    def url(self) -> str:
        return self.work.url

    async def configure(self, registry: Json, vo: str) -> None:
        """Write a VO's registry, and wait until it is in force."""
        await self.configure_at(f"/registry/{vo}", registry)

    async def configure_at(self, place: str, value: Json) -> None:
        """Write one section, and wait until it is in force."""
        assert self.work.world
        configuration = self.work.runtime.configuration
        root = Principal("user", "root", "", rights=frozenset({"CSAdministrator"}))
        await configuration.load()
        change = ChangeConfiguration(configuration.revision, {place: value, "/systems/administrators": ["lhcb"]})
        (answer,) = await self.work.world.ask(root, [(uuid4(), change)])
        assert answer.refusal is None, answer.refusal.parameters
        await configuration.load()

    async def forget(self) -> None:
        """Nothing is left of the test before but the log."""
        pool = self.work.runtime.pool
        for view in ("sessions", "flows", "guesses", "suspensions"):
            await pool.execute(f"delete from {view}")
        await self.work.runtime.suspensions.read()
        self.since = await pool.fetchval("select coalesce(max(position), 0) from log_identity")

    async def post(self, path: str, **form: Any) -> httpx.Response:
        return await self.http.post(f"/api/auth/{path}", data=form)

    async def token(self, **form: Any) -> httpx.Response:
        return await self.post("token", client_id=CLIENT, **form)

    async def get(self, path: str, token: str = "", **parameters: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.http.get(path, headers=headers, params=parameters)

    async def device(self, scope: str) -> Json:
        answer = await self.http.post("/api/auth/device", params={"client_id": CLIENT, "scope": scope})
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def poll(self, flow: Json) -> httpx.Response:
        return await self.token(grant_type=DEVICE, device_code=flow["device_code"])

    async def approve(
        self, flow: Json, name: str, password: str = PASSWORD, *, confirm: bool = True
    ) -> httpx.Response:  # fmt: skip
        """Somebody opens the address in a browser, logs in, and says that the terminal is theirs; the last page."""
        return await asyncio.to_thread(self._approve, flow["verification_uri_complete"], name, password, confirm)

    def _approve(self, url: str, name: str, password: str, confirm: bool) -> httpx.Response:
        with httpx.Client(timeout=60, headers={"Accept": "text/html"}) as browser:
            page = self.provider.log_in(browser, url, name, password)
            fields = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)
            if not confirm or not fields:
                return page
            typed = {field: unescape(value) for field, value in fields}
            return browser.post(str(page.url.join("/api/auth/device/complete")), data=typed, follow_redirects=True)

    async def log_in(self, name: str, scope: str = "vo:lhcb") -> Json:
        """Tokens of somebody, by the device flow."""
        flow = await self.device(scope)
        page = await self.approve(flow, name)
        assert page.status_code == 200, page.text
        answer = await self.poll(flow)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def authorize(self, name: str, scope: str, redirect: str) -> tuple[dict[str, str], str]:
        """Somebody logs in for a web application: what comes to its address, and the verifier that it kept."""
        verifier = secrets.token_urlsafe(48)
        asked = {
            "response_type": "code", "code_challenge": challenge(verifier), "code_challenge_method": "S256",
            "client_id": CLIENT, "redirect_uri": redirect, "scope": scope, "state": "of the application",
        }  # fmt: skip
        url = str(httpx.URL(f"{self.url}/api/auth/authorize", params=asked))
        return await asyncio.to_thread(self._authorize, url, name), verifier

    def _authorize(self, url: str, name: str) -> dict[str, str]:
        with httpx.Client(timeout=60) as browser:
            answer = self.provider.log_in(browser, url, name, PASSWORD)
            return parameters(answer.headers["location"])

    async def audit(self) -> list[tuple[str, Json]]:
        """Every event of the log of identities since the test began, as it is stored."""
        query = "select topic, data from log_identity where position > $1 order by position"
        rows = await self.work.runtime.pool.fetch(query, self.since)
        return [(row["topic"], json.loads(row["data"])) for row in rows]


class Terminal:
    """A shell of one account."""

    def __init__(self, site: LoginSite, data: Path) -> None:
        self.site = site
        self.file = data / "credentials.json"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SPINOR_")}
        self.environment = kept | {"SPINOR_DATA": str(data)}

    async def start(self, *args: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, *args, env=self.environment, stdout=PIPE, stderr=PIPE
        )  # fmt: skip

    async def run(self, *args: str) -> tuple[int, str]:
        process = await self.start(*args)
        out, err = await process.communicate()
        return process.returncode or 0, (out + err).decode()

    async def log_in(self, name: str, *args: str) -> tuple[int, str]:
        process = await self.start("login", *args, "--url", self.site.url, "--json")
        assert process.stderr
        address = (await process.stderr.readline()).decode().strip()
        await self.site.approve({"verification_uri_complete": address}, name)
        out, err = await process.communicate()
        return process.returncode or 0, (out + err).decode()

    @property
    def kept(self) -> Any:
        return json.loads(self.file.read_text())


def challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def login_system(
    postgres_server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory, node_provider: NodeProvider,
    gateway_port: int,
) -> AsyncIterator[LoginSite]:  # fmt: skip
    """One system for the tests of a file."""
    name = f"login_{uuid4().hex[:12]}"
    awake(postgres_server).sql(f"CREATE DATABASE {name}")
    services = {"submitter": {"vo": "lhcb", "group": "lhcb_pilot", "secret_sha256": sha256(SERVICE)}}
    async with AsyncExitStack() as stack:
        given = settings(
            database=postgres_server.database(name), data=tmp_path_factory.mktemp("data"), port=gateway_port, vo="lhcb",
            secret="s" * 40, refresh_grace=0, redirects="http://localhost/#authentication-callback", services=services,
            legacy_key=sha256(LEGACY),
        )  # fmt: skip
        work = await stack.enter_async_context(running(CORE, given))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=work.url, timeout=60))
        yield LoginSite(work, stack, node_provider, http)
    awake(postgres_server).sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest_asyncio.fixture(loop_scope="module")
async def login_site(login_system: LoginSite) -> LoginSite:
    """The system with nobody logged in, nobody suspended, and the VO lhcb as it is at first."""
    await login_system.forget()
    await login_system.configure(lhcb(login_system.provider), "lhcb")
    return login_system


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def awake(server: PostgreSQL) -> PostgreSQL:
    return server if server.alive else server.start()
