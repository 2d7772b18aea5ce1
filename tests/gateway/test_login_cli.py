"""The command line logs in at a real provider: the address is shown, tokens are kept, refreshed and given back."""

import asyncio
import json
import stat
from pathlib import Path

import pytest
from login_site import LoginSite, Terminal

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def terminal(login_site: LoginSite, tmp_path: Path) -> Terminal:
    return Terminal(login_site, tmp_path / "account")


async def test_somebody_logs_in_is_known_and_logs_out(login_site: LoginSite, terminal: Terminal) -> None:
    status, told = await terminal.log_in("ann", "lhcb", "--group", "lhcb_prod")
    assert status == 0, told
    assert stat.S_IMODE(terminal.file.stat().st_mode) == 0o600
    status, told = await terminal.run("whoami", "--json")
    assert (status, json.loads(told)["group"]) == (0, "lhcb_prod")
    status, told = await terminal.run("sessions", "list", "--json")
    assert [(each["how"], each["current"]) for each in json.loads(told)] == [("device", True)]
    refresh = terminal.kept["refresh"]
    assert (await terminal.run("logout"))[0] == 0
    assert not terminal.file.exists()
    assert (await login_site.token(grant_type="refresh_token", refresh_token=refresh)).status_code == 401


async def test_two_commands_at_once_refresh_once(login_site: LoginSite, terminal: Terminal) -> None:
    await terminal.log_in("ann", "lhcb")
    before = terminal.kept
    terminal.file.write_text(json.dumps(before | {"expires": 0}))
    answers = await asyncio.gather(*(terminal.run("whoami") for _ in range(4)))
    assert [status for status, _ in answers] == [0] * 4
    refreshed = [topic for topic, _ in await login_site.audit() if topic == "session.refreshed"]
    assert len(refreshed) == 1
    assert terminal.kept["refresh"] != before["refresh"]


async def test_who_may_not_is_told_why_and_nothing_is_kept(terminal: Terminal) -> None:
    status, told = await terminal.log_in("eve", "lhcb")
    assert status == 1
    assert "belongs to no group of lhcb" in told and not terminal.file.exists()


async def test_a_picture_and_an_address_are_shown_and_nothing_is_opened(terminal: Terminal) -> None:
    process = await terminal.start("login", "lhcb", "--url", terminal.site.url)
    assert process.stderr
    shown = b""
    while b"waiting for you" not in shown:
        line = await process.stderr.readline()
        assert line, shown
        shown += line
    process.kill()
    await process.communicate()
    text = shown.decode()
    assert "▀" in text or "█" in text
    assert f"Open {terminal.site.url}/api/auth/device?user_code=" in text
