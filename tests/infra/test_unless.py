"""A signal during any step stops that step, and nothing is left half done or running."""

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Code, Refused
from infra import laptop
from infra.postgres import unhurried
from infra.serve import unless
from infra.settings import Settings


async def test_work_that_is_stopped_is_cancelled_and_waited_for() -> None:
    stop, trace = asyncio.Event(), []

    async def work() -> None:
        try:
            stop.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            trace.append("tidied")

    assert not await unless(stop, work())
    assert trace == ["tidied"]


async def test_work_that_ends_by_itself_hands_on_its_fault() -> None:
    async def work() -> None:
        raise Refused(Code.BUS_AWAY)

    with pytest.raises(Refused):
        await unless(asyncio.Event(), work())


async def test_who_is_cancelled_waits_for_the_thread() -> None:
    begun, may_end, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow() -> None:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(30)
        ended.set()

    task = asyncio.create_task(unhurried(slow))
    await begun.wait()
    task.cancel()
    loop.call_soon(may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_pilots_that_cannot_be_started_at_all_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As where the interpreter lies in a directory that this account may not enter."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    nothing: Any = None
    with pytest.raises(Refused) as refusal:
        async with laptop.local_pilots(nothing, Settings(data=tmp_path), 1):
            pass
    assert refusal.value.what == f"{sys.executable}: this account may not run it"
