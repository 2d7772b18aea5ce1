"""One part of the system as a process of its own: what `spinor PART …` runs, marked as a process of these tests."""

import os
import sys
from datetime import timedelta

os.environ.pop("SPINOR_TEST_SERVERS", None)  # stays in /proc, where the guard of the tests looks for it

from handlers import deadlines
from infra.cli import main

# A match whose answer died with a gateway is given back after a minute; the tests cannot wait that long.
within = deadlines.within
deadlines.within = lambda times, name: timedelta(seconds=8) if name == "confirmed_within" else within(times, name)

if __name__ == "__main__":
    sys.argv[0] = "spinor"
    main()
