"""Waiting that can be ended: for an event within a time, and for tasks that were told to end."""

import asyncio
from collections.abc import Sequence
from typing import Any


async def within(seconds: float, event: asyncio.Event) -> bool:
    """Whether the event comes within so many seconds. Not `wait_for`: that of Python 3.11 may swallow a cancellation
    that comes with the event, and a loop that waits in it would never end."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """End the tasks; again after a second, for a library may swallow a cancellation while its connection dies."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1)
