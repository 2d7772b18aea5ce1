"""Debian's Glewlwyd as a second real OpenID provider: another program, another language, other manners."""

import json
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from joserfc.jwk import RSAKey
from private import Missing, Server, Servers, ports
from providers_site import follow, parameters

TABLES = Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
MODULES = Path("/usr/lib/glewlwyd")
CONFIG = """
port={port}
bind_address="127.0.0.1"
external_url="{url}"
login_url="login.html"
static_files_path="{home}"
api_prefix="api"
log_mode="console"
log_level="WARNING"
cookie_secure=0
session_expiration=3600
session_key="GLEWLWYD2_SESSION_ID"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="{modules}/user"
client_module_path="{modules}/client"
user_auth_scheme_module_path="{modules}/scheme"
plugin_module_path="{modules}/plugin"
hash_algorithm="SHA512"
database = {{ type = "sqlite3"; path = "{home}/glewlwyd.db"; }};
static_files_mime_types = ( {{ extension = ".html"; mime_type = "text/html"; }} )
"""
Json = dict[str, Any]


class Glewlwyd(Server):
    """`users`: sub -> {password, claims}, as for npm's; but Glewlwyd gives everybody a `sub` of its own making."""

    def __init__(self, servers: Servers, name: str, redirects: Sequence[str], users: Json) -> None:
        self.program = shutil.which("glewlwyd") or ""
        if not self.program or not TABLES.exists():
            raise Missing("Debian's glewlwyd is not on this machine: tests/run --prepare, as root")
        super().__init__(servers, name)
        (self.port,) = ports(1)
        self.redirects, self.users = list(redirects), users
        settings = CONFIG.format(port=self.port, url=self.root, home=self.home, modules=MODULES)
        (self.home / "glewlwyd.conf").write_text(settings)
        with sqlite3.connect(self.home / "glewlwyd.db") as database:
            database.executescript(TABLES.read_text())

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The issuer."""
        return f"{self.root}/api/oidc"

    def command(self) -> list[str]:
        return [self.program, f"--config-file={self.home}/glewlwyd.conf"]

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.root}/config").status_code == 200
        except httpx.HTTPError:
            return False

    def start(self) -> "Glewlwyd":
        super().start()
        with httpx.Client(base_url=f"{self.root}/api", timeout=30) as admin:
            said(admin.post("/auth/", json={"username": "admin", "password": "password"}))
            self._furnish(admin)
        return self

    def _furnish(self, admin: httpx.Client) -> None:
        text = {"multiple": False, "read": True, "write": True, "profile-read": True, "profile-write": False}
        fields = {"preferred_username": text, "groups": text | {"multiple": True}}
        module = said(admin.get("/mod/user/database")).json()
        module["parameters"]["data-format"] |= fields
        said(admin.put("/mod/user/database", json=module))
        said(admin.put("/mod/user/database/reset"))
        said(admin.post("/mod/plugin/", json=self._plugin()))
        said(admin.post("/scope/", json={"name": "profile", "display_name": "profile", "password_required": False}))
        said(admin.post("/client/", json={
            "client_id": "spinor", "name": "spinor", "enabled": True, "confidential": False, "scope": [],
            "redirect_uri": self.redirects, "authorization_type": ["code"], "token_endpoint_auth_method": ["none"],
        }))  # fmt: skip
        for user in self.users.values():
            claims = user["claims"]
            said(admin.post("/user/", json={
                "username": claims["preferred_username"], "password": user["password"], "enabled": True,
                "scope": ["openid", "profile", "g_profile"], **claims,
            }))  # fmt: skip

    def _plugin(self) -> Json:
        key = RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"}).as_dict(private=True)
        claims = [
            {"name": name, "user-property": name, "type": "string", "mandatory": True, "on-demand": False, "scope": []}
            for name in ("preferred_username", "groups")
        ]
        wanted: Json = {
            "iss": self.url, "subject-type": "public", "jwks-private": json.dumps({"keys": [key]}),
            "default-kid": "one", "jwt-type": "rsa", "jwt-key-size": "256",
            "access-token-duration": 3600, "refresh-token-duration": 3600,
            "code-duration": 600, "refresh-token-rolling": True, "allow-non-oidc": False,
            "auth-type-code-enabled": True,
            "auth-type-refresh-enabled": True, "pkce-allowed": True, "pkce-required": True, "jwks-show": True,
            "claims": claims, "scope": [], "additional-parameters": [], "name-claim": "no", "email-claim": "no",
            "address-claim": {"type": "no"}, "request-parameter-allow": False,
        }  # fmt: skip
        return {"module": "oidc", "name": "oidc", "display_name": "OpenID", "enabled": True, "parameters": wanted}

    def log_in(self, browser: httpx.Client, url: str, name: str, password: str) -> httpx.Response:
        """Go there, log in and consent by what the provider's own page calls; the first answer of somebody else."""
        page = follow(browser, url, lambda at: at.startswith(f"{self.root}/login.html"))
        asked = parameters(str(page.url))
        told = browser.post(f"{self.root}/api/auth/", json={"username": name, "password": password})
        if told.status_code != 200:
            return told
        said(browser.put(f"{self.root}/api/auth/grant/spinor", json={"scope": asked["scope"]}))
        back = f"{asked['callback_url']}&g_continue"
        return follow(browser, back, lambda at: not at.startswith(self.root))


def said(answer: httpx.Response) -> httpx.Response:
    """An answer that is no refusal."""
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    return answer
