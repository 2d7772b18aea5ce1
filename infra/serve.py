"""Running parts of the system as one process: started in order, stopped by a signal, ended by the first fault."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
import typer

from domain.errors import Code, Refused
from infra import app, reachability
from infra.renew import renew
from infra.runtime import Runtime, opened
from infra.settings import Settings
from infra.store import TROUBLE
from infra.system import System
from infra.waiting import end
from infra.web import gateway, listen, permitted
from infra.world import RuntimeWorld

PARTS = ("gateway", "dispatch", "consume", "project", "relay", "timers", "match")
log = structlog.get_logger("spinor")


@dataclass
class Running:
    """A process at work: what it opened, where its gateway is, and its tasks."""

    runtime: Runtime
    url: str = ""
    world: RuntimeWorld | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def until_fault(self) -> None:
        """Wait for the first task that ends; none ends by itself."""
        done, _ = await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled() and (fault := task.exception()):
                log.error("a part broke", part=repr(task.get_coro()), exc_info=fault)
            task.result()


@asynccontextmanager
async def running(
    system: System, settings: Settings, parts: Sequence[str] = PARTS, names: Sequence[str] = ()
) -> AsyncIterator[Running]:
    """Run these parts as long as the context lasts; `names` chooses among policies or views."""
    async with AsyncExitStack() as stack:
        listener: tuple[socket.socket, str] | None = listen(settings) if "gateway" in parts else None
        if listener:
            stack.callback(listener[0].close)
        runtime = await stack.enter_async_context(opened(system, settings))
        if listener:
            permitted(runtime)
        await _renewed(runtime)
        work = Running(runtime, listener[1] if listener else "")
        stack.push_async_callback(end, work.tasks)
        await _start(work, parts, names)
        if listener:
            work.world = await stack.enter_async_context(gateway(runtime, *listener))
            stack.push_async_callback(runtime.liveness.flush)
            stack.push_async_callback(runtime.proofs.flush)
        yield work


async def _renewed(runtime: Runtime) -> None:
    try:
        await renew(runtime)
    except TROUBLE as fault:
        raise Refused(Code.DATABASE_CONNECT, problem=str(fault) or repr(fault)) from fault


async def _start(work: Running, parts: Sequence[str], names: Sequence[str]) -> None:
    runtime = work.runtime
    if "relay" in parts:
        await app.sentinel(runtime).first()  # before that nobody may write
    await runtime.suspensions.read()  # nobody is served before it is known who must not be
    await runtime.resources.read()
    if "dispatch" in parts:
        await app.dispatch(runtime)
    if "consume" in parts:
        await app.consume(runtime, names)
    if "project" in parts:
        await app.project(runtime, names)
    loops = [
        runtime.wakes.listen(),
        runtime.liveness.run(),
        runtime.suspensions.run(),
        runtime.proofs.run(),
        runtime.configuration.run(),
        runtime.resources.run(),
    ]
    loops += [reachability.run(runtime.pool)] if work.url else []
    loops += app.relay(runtime) if "relay" in parts else []
    loops += [app.timers(runtime)] if "timers" in parts else []
    loops += [app.match(runtime)] if "match" in parts else []
    work.tasks += [asyncio.create_task(loop) for loop in loops]


@asynccontextmanager
async def stopping() -> AsyncIterator[asyncio.Event]:
    """An event that is set by SIGINT or SIGTERM; a second signal has the usual, rude effect."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def first() -> None:
        stop.set()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, first)
    try:
        yield stop
    finally:
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, None], told: str = "") -> bool:
    """Do the work unless it is stopped, and then cancel it and wait for it: whether it came to its own end."""
    doing, halt = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait([doing, halt], return_when=asyncio.FIRST_COMPLETED)
    halt.cancel()
    if not doing.done():
        if told:
            typer.echo(told, err=True)
        doing.cancel()
        with suppress(asyncio.CancelledError):
            await doing
        return False
    doing.result()
    return True


async def serve(
    system: System,
    settings: Settings,
    parts: Sequence[str],
    names: Sequence[str] = (),
    ready: Callable[[Running], None] = lambda work: None,
) -> None:
    """Run these parts until a signal comes or one of them breaks; `ready` is told when they do."""

    async def work() -> None:
        async with running(system, settings, parts, names) as work:
            ready(work)
            log.info("running", parts=list(parts), names=list(names), url=work.url)
            await work.until_fault()

    async with stopping() as stop:
        await unless(stop, work())
