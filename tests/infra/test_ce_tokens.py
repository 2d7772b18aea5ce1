"""Tokens towards computing elements, from the certified OpenID provider of npm."""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from conftest import not_run
from private import Missing, Server, Servers, listening, ports
from providers_site import HERE, cached

from domain.errors import Code, Refused
from domain.schema import Configuration, read
from infra.ce_tokens import COMPUTE, ComputeTokens

CE = "https://ce1.example.org:443"
SECRET = "the secret of the compute client"
Changed = Callable[..., None]


class ComputeProvider(Server):
    """npm's certified `oidc-provider`, for programs."""

    def __init__(self, servers: Servers) -> None:
        node = shutil.which("node")
        if not node or not (cached() / "installed").exists():
            raise Missing("npm's oidc-provider is not on this machine: tests/run --prepare")
        super().__init__(servers, "compute-provider")
        (self.port,) = ports(1)
        self.node = node
        clients = [
            {"client_id": "spinor", "client_secret": SECRET, "scope": " ".join(COMPUTE)},
            {"client_id": "reader", "client_secret": SECRET, "scope": "compute.read"},
        ]
        told = {"port": self.port, "clients": clients, "lasts": 300}
        self.environment |= {"PROVIDER": json.dumps(told), "PROVIDER_HOME": str(cached())}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [self.node, str(HERE / "compute.mjs")]

    def ready(self) -> bool:
        return listening(self.port)


@pytest.fixture(scope="module")
def provider(servers: Servers) -> Iterator[ComputeProvider]:
    try:
        found = ComputeProvider(servers)
    except Missing as missing:
        not_run(str(missing))
    yield found.start()
    found.close()


class Client:
    """The installation, with a configuration and an environment that a test may change."""

    def __init__(self, issuer: str) -> None:
        self.idp: dict[str, Any] = {"issuer": issuer, "client_id": "web", "client_secret_env": "WEB",
                                    "compute_client_id": "spinor", "compute_secret_env": "COMPUTE"}  # fmt: skip
        self.environment = {"COMPUTE": SECRET, "WEB": "another one"}
        self.tokens = ComputeTokens(self.configuration, self.environment)

    def configuration(self) -> Configuration:
        groups = {"users": {"properties": ["NormalUser"]}}
        return read({"registry": {"lhcb": {"idp": self.idp, "default_group": "users", "groups": groups}}})

    async def refused(self, audience: str = CE, vo: str = "lhcb", scopes: tuple[str, ...] = COMPUTE) -> str:
        with pytest.raises(Refused) as refused:
            await self.tokens.token(vo, audience, scopes)
        assert refused.value.code is Code.COMPUTE_TOKEN
        assert SECRET not in repr(refused.value.args)
        return str(refused.value.parameters["problem"])


@pytest.fixture
async def client(provider: ComputeProvider) -> AsyncIterator[Client]:
    if not provider.alive:
        provider.start()
    found = Client(provider.url)
    yield found
    await found.tokens.close()


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


async def test_a_token_is_for_one_computing_element_and_for_computing_only(client: Client, provider: Server) -> None:
    one, other = [claims(await client.tokens.token("lhcb", CE.replace("ce1", name))) for name in ("ce1", "ce2")]
    assert (one["aud"], other["aud"]) == (CE, CE.replace("ce1", "ce2"))
    assert set(one["scope"].split()) == set(COMPUTE)
    assert one["client_id"] == "spinor"


async def test_a_token_is_kept_until_shortly_before_its_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from infra import ce_tokens

    now = [1000.0]
    monkeypatch.setattr(ce_tokens.time, "monotonic", lambda: now[0])
    first = await client.tokens.token("lhcb", CE)
    now[0] += 239
    assert await client.tokens.token("lhcb", CE) == first
    now[0] += 2  # 59 s before its end
    assert await client.tokens.token("lhcb", CE) != first


async def test_a_token_that_a_computing_element_did_not_take_is_asked_for_anew(client: Client) -> None:
    first = await client.tokens.token("lhcb", CE)
    client.tokens.forget("lhcb", CE)
    assert await client.tokens.token("lhcb", CE) != first


async def test_many_who_want_the_same_token_ask_once(client: Client) -> None:
    assert len(set(await asyncio.gather(*(client.tokens.token("lhcb", CE) for _ in range(20))))) == 1


async def test_another_client_means_another_token(client: Client) -> None:
    reading = ("compute.read",)
    first = await client.tokens.token("lhcb", CE, reading)
    client.idp["compute_client_id"] = "reader"
    second = await client.tokens.token("lhcb", CE, reading)
    assert (claims(first)["client_id"], claims(second)["client_id"]) == ("spinor", "reader")


async def test_what_the_provider_refuses_is_told_without_the_secret(client: Client) -> None:
    assert "invalid_target" in await client.refused("https://elsewhere.example.org")
    client.idp["compute_client_id"] = "reader"
    assert "invalid_scope" in await client.refused()
    client.idp["compute_client_id"] = "nobody"
    assert "invalid_client" in await client.refused()
    client.environment["COMPUTE"] = "wrong"
    client.idp["compute_client_id"] = "spinor"
    assert "invalid_client" in await client.refused()


async def test_what_is_not_configured_is_told(client: Client) -> None:
    assert "no identity provider" in await client.refused(vo="belle")
    client.environment.clear()
    assert await client.refused() == "the variable COMPUTE is not set in this process"
    client.idp["compute_secret_env"] = ""
    assert "no variable is named" in await client.refused()


async def test_a_provider_that_is_away_is_told_and_asked_again_later(client: Client, provider: Server) -> None:
    kept = await client.tokens.token("lhcb", CE)
    provider.kill()
    assert await client.tokens.token("lhcb", CE) == kept
    assert "cannot be reached" in await client.refused("https://ce9.example.org")
    provider.start()
    assert claims(await client.tokens.token("lhcb", "https://ce9.example.org"))["aud"] == "https://ce9.example.org"


async def test_a_discovery_document_of_somebody_else_is_not_believed(client: Client, provider: Any) -> None:
    client.idp["issuer"] = provider.url.replace("127.0.0.1", "localhost")
    assert "another issuer" in await client.refused()
