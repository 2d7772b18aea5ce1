"""Where the command `spinor` begins: Ctrl-C is answered quietly even while the program is still being read."""

import os
import signal


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))
    from infra.cli import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
