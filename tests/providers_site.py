"""Real OpenID providers, and somebody without a browser who logs in at them: fills in forms, follows redirects."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
from private import Missing, Server, Servers, listening, ports

HERE = Path(__file__).parent / "providers"
Json = dict[str, Any]


def cached() -> Path:
    """Where tests/run puts the provider of npm."""
    pinned = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "spinor-tests" / f"provider-{pinned}"


class NodeProvider(Server):
    """npm's certified `oidc-provider`. `users`: sub -> {password, claims}."""

    def __init__(self, servers: Servers, name: str, clients: Sequence[Json], users: Json) -> None:
        node = shutil.which("node")
        if not node or not (cached() / "installed").exists():
            raise Missing("npm's oidc-provider is not on this machine: tests/run --prepare")
        super().__init__(servers, name)
        (self.port,) = ports(1)
        self.node = node
        self.users = users
        self.environment |= {
            "PROVIDER": json.dumps({"port": self.port, "clients": clients, "users": users}),
            "PROVIDER_HOME": str(cached()),
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [self.node, str(HERE / "provider.mjs")]

    def ready(self) -> bool:
        return listening(self.port)

    def log_in(self, browser: httpx.Client, url: str, name: str, password: str) -> httpx.Response:
        """Go there, fill in the form; the first answer that is not this provider's."""
        page = follow(browser, url, lambda at: at.startswith(f"{self.url}/login/"))
        assert "<form" in page.text, page.text
        return follow(browser, str(page.url), self._elsewhere, data={"login": name, "password": password})

    def _elsewhere(self, url: str) -> bool:
        return not url.startswith(self.url)


def follow(
    browser: httpx.Client, url: str, until: Callable[[str], bool], data: Mapping[str, str] | None = None
) -> httpx.Response:
    """Follow redirects as a browser does, to the first page that `until` knows, or to the last on this machine."""
    answer = browser.post(url, data=data) if data else browser.get(url)
    for _ in range(20):
        if not answer.is_redirect:
            return answer
        url = urljoin(str(answer.url), answer.headers["location"])
        if not url.startswith("http://127.0.0.1"):
            return answer
        answer = browser.get(url)
        if until(url) and not answer.is_redirect:
            return answer
    raise AssertionError(f"too many redirects, last to {url}")


def parameters(url: str) -> dict[str, str]:
    """What an address says behind its question mark, also within its fragment."""
    parts = urlsplit(url)
    text = parts.query or parts.fragment.partition("?")[2]
    return {name: values[0] for name, values in parse_qs(text).items()}
