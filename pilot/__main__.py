"""Starts the pilot: reads what it was told, hides its secret, claims its directory, and lives."""

import ctypes
import fcntl
import os
import resource
import signal
import sys
import threading
from typing import IO, List, Optional
from uuid import uuid4

from pilot import options
from pilot.agent import Agent
from pilot.calls import Away, Gateway, Refused
from pilot.log import say

NOT_DUMPABLE = 4  # PR_SET_DUMPABLE: with 0, others of the same user read neither our memory nor our first environment


def main(arguments: Optional[List[str]] = None) -> int:
    """Exit codes: 0 left in good order, 1 the gateway could not be used, 2 wrong arguments, 3 reports left on disk."""
    told = options.read(arguments)
    _hide()
    os.makedirs(told.home, mode=0o700, exist_ok=True)
    claimed = _claim(os.path.join(told.home, "lock"))
    if claimed is None:
        say("already-running", directory=told.home)
        return 1
    with claimed:
        name = _incarnation(os.path.join(told.home, "incarnation"))
        agent = Agent(told, Gateway(told.url, told.vo, told.stamp, told.secret, name, told.ca_file))
        _listen(agent)
        try:
            return agent.run()
        except (Away, Refused) as error:
            say("no-gateway", kind=type(error).__name__, detail=error)
            return 1


def _listen(agent: Agent) -> None:
    """Signals reach a thread through a pipe: a handler that interrupts the main thread must not take its locks."""
    inlet, outlet = os.pipe()
    os.set_blocking(outlet, False)
    signal.set_wakeup_fd(outlet)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        os.read(inlet, 1)
        agent.stop("stopped")

    threading.Thread(target=wait, daemon=True).start()


def _hide() -> None:
    try:
        ctypes.CDLL(None).prctl(NOT_DUMPABLE, 0, 0, 0, 0)
    except (OSError, AttributeError):
        say("not-hidden")
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _claim(path: str) -> "Optional[IO[str]]":
    """The lock of the directory: two pilots with one stamp would run each job twice."""
    file = open(path, "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file
    except OSError:
        file.close()
        return None


def _incarnation(path: str) -> str:
    """Our id, the same after a restart in the same directory: the gateway fences off other holders of the secret."""
    try:
        with open(path) as file:
            name = file.read().strip()
    except OSError:
        name = ""
    if not name:
        name = str(uuid4())
        with open(path, "w") as file:
            file.write(name)
    return name


if __name__ == "__main__":
    sys.exit(main())
