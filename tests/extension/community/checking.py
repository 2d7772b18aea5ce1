"""Jobs of this community that calibrate say which run, or do not run at all."""

import re
from collections.abc import Iterator

from domain.job import RejectJob
from domain.messages import Command
from domain.values import job_number
from handlers.checks import Submitted, check

NO_RUN = "calibration-without-run"


@check(lambda event: event.event.name.startswith("calibrate"))
def names_its_run(event: Submitted) -> Iterator[Command]:
    if not re.search(r"run\d+", event.event.name):
        yield RejectJob(job_number(event.stream), NO_RUN, event.event.name)
