"""The system on one machine: a development identity, its credentials, and pilots that run here."""

import asyncio
import hashlib
import json
import os
import secrets
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import structlog
import typer
from rich.console import Console

from domain.errors import Code, Refused
from domain.pilot import RequestPilot
from domain.values import subject
from gateway.cli.output import as_json, asked, called
from gateway.cli.session import data_directory
from gateway.ports import Principal
from infra.serve import Running, running, stopping, unless
from infra.settings import Settings
from infra.system import System
from pilot.build import build

MONTH = 30 * 86400  # seconds
SITE = "Laptop"
RIGHTS = frozenset({"NormalUser", "JobAdministrator", "Operator", "ServiceAdministrator", "CSAdministrator"})
AGAIN = 2.0  # seconds before a pilot that ended is replaced
LEASH = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()  # pilots end with us, however we end
SHORT = 20.0  # seconds that a healthy pilot lives at least
LONGEST = 60.0  # seconds between two pilots that cannot live
log = structlog.get_logger("spinor")


def developer(vo: str) -> Principal:
    """The built-in user of a laptop; the gateway only offers it on loopback."""
    name = os.environ.get("USER") or os.environ.get("LOGNAME") or "you"
    return Principal("user", subject(vo, "spinor", name), vo, name, "developers", RIGHTS)


def write_credentials(work: Running, settings: Settings) -> str:
    """Keep a token for the commands of this account (0600); the link that opens the web page with it.

    Where the VO has an identity provider there is no development identity: nothing is kept, and people log in.
    """
    assert work.world is not None
    if logs_in(work, settings):
        return work.url
    who = developer(settings.vo)
    token = work.world.issue(who, MONTH)
    path = settings.data / "credentials.json"
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"url": work.url, "token": token, "vo": who.vo, "name": who.name}, file)
    fresh.replace(path)
    return f"{work.url}/#token={token}"


def logs_in(work: Running, settings: Settings) -> bool:
    """Whether people of the laptop's VO log in at an identity provider."""
    registry = work.runtime.configuration.current.registry.get(settings.vo)
    return registry is not None and registry.idp is not None


@asynccontextmanager
async def local_pilots(work: Running, settings: Settings, count: int) -> AsyncIterator[None]:
    """Keep `count` pilots running on this machine, each a process of its own that knows nothing but the URL.

    Raises:
        Refused: FILE, they cannot be started at all.
    """
    if count and not os.access(sys.executable, os.X_OK):
        raise Refused(Code.FILE, path=sys.executable, problem="this account may not run it")
    program = Path(build(str(settings.data / "pilot.pyz")))
    keepers: list[asyncio.Task[None]] = []
    try:
        for _ in range(count):
            process = await _launch(work, settings, program)
            keepers.append(asyncio.create_task(_keep(work, settings, program, process)))
        await asyncio.sleep(0)  # each keeper has its process in hand before it can be cancelled
        yield
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)


async def _keep(work: Running, settings: Settings, program: Path, process: asyncio.subprocess.Process) -> None:
    """Replace the pilot whenever it ends; ever more slowly while it does not live for long."""
    pause, clock = AGAIN, asyncio.get_running_loop().time
    while True:
        began = clock()
        try:
            status = await process.wait()
        finally:
            await _end(process)
        pause = AGAIN if clock() - began > SHORT else min(pause * 2, LONGEST)
        if pause > AGAIN:
            log.warning("pilot ended early", status=status, logs=str(settings.data / "logs"), again_in=pause)
        process = await _another(work, settings, program, pause)


async def _another(work: Running, settings: Settings, program: Path, pause: float) -> asyncio.subprocess.Process:
    """The next pilot, after a pause; whatever hinders it may pass."""
    while True:
        await asyncio.sleep(pause)
        try:
            return await _launch(work, settings, program)
        except (OSError, Refused) as fault:
            log.warning("pilot not started", reason=str(fault), again_in=LONGEST)
            pause = LONGEST


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
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPINOR_")}
    with (logs / f"pilot-{stamp}.log").open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *LEASH, sys.executable, program, "--url", work.url, "--vo", settings.vo, "--stamp", stamp, "--site", SITE,
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

    async def work() -> None:
        with Console(stderr=True).status("starting PostgreSQL, gateway, policies, views and matcher …"):
            context = AsyncExitStack()
            work, link = await context.enter_async_context(laptop(system, settings, pilots))
        async with context:
            _greet(work, link, settings)
            await work.until_fault()

    async with stopping() as stop:
        await unless(stop, work(), "stopping …")


def _greet(work: Running, link: str, settings: Settings) -> None:
    """Where everything is, and what to do first; one object when JSON is asked for."""
    if asked.json:
        as_json({"url": work.url, "page": link, "data": str(settings.data)})
        return
    own = "people log in at their provider" if logs_in(work, settings) else "development identity, this machine only"
    typer.echo(f"Spinor is up at {work.url}  ({own})")
    typer.echo(f"  page   {link}")
    typer.echo(f"  data   {settings.data}")
    typer.echo(f"  next   {elsewhere(settings)}{called('spinor job submit FILE, spinor status, spinor job list')}")
    typer.echo("         Ctrl-C stops it")


def elsewhere(settings: Settings) -> str:
    """What the shell of other commands needs first, when the data lie where they would not look."""
    if settings.data.absolute() == data_directory().absolute():
        return ""
    return f"export SPINOR_DATA={shlex.quote(str(settings.data.absolute()))}; "
