"""The system on one machine: a development identity, its credentials, and pilots that run here."""

import asyncio
import hashlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import structlog
import typer

from domain.pilot import RequestPilot
from domain.values import subject
from gateway.ports import Principal
from infra.serve import Running, running, stopping
from infra.settings import Settings
from infra.system import System
from pilot.build import build

MONTH = 30 * 86400  # seconds
SITE = "Laptop"
RIGHTS = frozenset({"NormalUser", "JobAdministrator", "Operator", "ServiceAdministrator"})
AGAIN = 2.0  # seconds before a pilot that ended is replaced
log = structlog.get_logger("spinor")


def developer(vo: str) -> Principal:
    """The built-in user of a laptop; the gateway only offers it on loopback."""
    name = os.environ.get("USER") or os.environ.get("LOGNAME") or "you"
    return Principal("user", subject(vo, "spinor", name), vo, name, "developers", RIGHTS)


def write_credentials(work: Running, settings: Settings) -> str:
    """Keep a token for the commands of this account (0600); the link that opens the web page with it."""
    assert work.world is not None
    who = developer(settings.vo)
    token = work.world.issue(who, MONTH)
    path = settings.data / "credentials.json"
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"url": work.url, "token": token, "vo": who.vo, "name": who.name}, file)
    fresh.replace(path)
    return f"{work.url}/#token={token}"


@asynccontextmanager
async def local_pilots(work: Running, settings: Settings, count: int) -> AsyncIterator[None]:
    """Keep `count` pilots running on this machine, each a process of its own that knows nothing but the URL."""
    program = Path(build(str(settings.data / "pilot.pyz")))
    keepers = [asyncio.create_task(_keep(work, settings, program)) for _ in range(count)]
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)


async def _keep(work: Running, settings: Settings, program: Path) -> None:
    while True:
        process = await _launch(work, settings, program)
        try:
            await process.wait()
        finally:
            await _end(process)
        await asyncio.sleep(AGAIN)


async def _launch(work: Running, settings: Settings, program: Path) -> asyncio.subprocess.Process:
    """Announce a pilot, then start it with the secret that only it and its announcement know."""
    assert work.world is not None
    stamp, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    announced = RequestPilot(settings.vo, stamp, digest, SITE, "localhost", "fork")
    (answer,) = await work.world.ask(developer(settings.vo), [(uuid4(), announced)])
    if answer.refusal:
        raise answer.refusal
    logs, jobs = settings.data / "logs", settings.data / "work"
    for folder in (logs, jobs):
        folder.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPINOR_")}
    with (logs / f"pilot-{stamp}.log").open("ab") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable, program, "--url", work.url, "--vo", settings.vo, "--stamp", stamp, "--site", SITE,
            "--ce", "localhost", "--queue", "fork", "--work-dir", str(jobs), "--idle-exit", str(86400),
            env=environment | {"SPINOR_PILOT_SECRET": secret}, stdout=output, stderr=output,
            stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask the pilot to drain; it says goodbye, and what it ran is reported."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(asyncio.shield(process.wait()), 15)
    except (TimeoutError, asyncio.CancelledError):
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def laptop(system: System, settings: Settings, pilots: int) -> AsyncIterator[tuple[Running, str]]:
    """Everything running with pilots; the link to the web page."""
    async with AsyncExitStack() as stack:
        work = await stack.enter_async_context(running(system, settings))
        link = write_credentials(work, settings)
        await stack.enter_async_context(local_pilots(work, settings, pilots))
        yield work, link


async def stay_up(system: System, settings: Settings, pilots: int) -> None:
    """Run until a signal comes."""
    async with stopping() as stop, laptop(system, settings, pilots) as (work, link):
        typer.echo(f"Spinor is up at {work.url}  (development identity, this machine only)")
        typer.echo(f"  page   {link}")
        typer.echo(f"  data   {settings.data}")
        typer.echo("  next   spinor job submit FILE, spinor status, spinor job list; Ctrl-C stops it")
        fault = asyncio.create_task(work.until_fault())
        await asyncio.wait([asyncio.create_task(stop.wait()), fault], return_when=asyncio.FIRST_COMPLETED)
        if fault.done():
            fault.result()
        fault.cancel()
        typer.echo("stopping …")
