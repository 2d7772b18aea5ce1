"""What a pilot held when it went silent, retired or was replaced is failed, so that it can run elsewhere."""

from collections.abc import Iterator

from domain.job import LoseJob
from domain.messages import Command, Recorded
from domain.pilot import Pilot
from handlers.policy import Policy, Rows

policy = Policy("lost-pilots", log="pilots")


@policy
def fail_what_it_held(
    event: Recorded[Pilot.Lost | Pilot.Retired | Pilot.Revoked], jobs_of_pilot: Rows
) -> Iterator[Command]:
    for row in jobs_of_pilot:
        yield LoseJob(row["job"], row["attempt"], "pilot-lost", event.event.stamp)


@policy
def fail_what_the_former_process_held(event: Recorded[Pilot.Admitted], jobs_of_pilot: Rows) -> Iterator[Command]:
    if event.event.incarnation > 1:
        for row in jobs_of_pilot:
            yield LoseJob(row["job"], row["attempt"], "pilot-restarted", event.event.stamp)
