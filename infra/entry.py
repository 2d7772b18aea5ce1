"""Where the command `spinor` begins: Ctrl-C is answered quietly even while the program is still being read."""

import os
import signal
import sys


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))
    try:
        from gateway.cli import ascii

        ascii.prepare()
        from infra.cli import main as run
    except ModuleNotFoundError as fault:
        sys.exit(
            f"error: the package {fault.name} is missing\n  who:  you\n"
            "  next: pip install -r .requirements.lock in the environment of this command"
        )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
