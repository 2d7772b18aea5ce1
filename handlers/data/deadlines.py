"""No state of a file or removal without a timer: intents to be confirmed, bytes that must go, plans."""

from collections.abc import Iterator
from datetime import timedelta

from domain.data.clearing import ClearStorage
from domain.data.consistency import LONGEST, Check, EndCheck
from domain.data.file import File, OverdueReplica
from domain.data.removal import (
    GRACE,
    CarryOutRemoval,
    ForgetRemoval,
    PurgeRemoval,
    Removal,
    UndoRemoval,
)
from domain.messages import Later, Recorded
from handlers.policy import Policy

CONFIRMED_WITHIN = timedelta(days=1)
CARRIED_OUT_WITHIN = timedelta(days=1)
GOES_ON_AFTER = timedelta(minutes=5)  # when the process that worked at it has died
TRIED_AGAIN_WITHIN = (timedelta(minutes=1), timedelta(days=1))

policy = Policy("data-deadlines", log="files")


@policy
def confirmed_in_time(event: Recorded[File.Announced | File.ReplicaIntended]) -> Iterator[Later]:
    facts = event.event
    overdue = OverdueReplica(event.vo, facts.lfn, facts.se)
    yield Later.after(event, CONFIRMED_WITHIN, f"receipt/{facts.se}", overdue)


@policy
def confirmed(event: Recorded[File.Stored]) -> Iterator[Later]:
    yield Later(event.stream, f"receipt/{event.event.se}")


@policy
def bytes_follow(event: Recorded[File.ReplicaDropped]) -> Iterator[Later]:
    facts = event.event
    yield Later(event.stream, f"receipt/{facts.se}")
    yield Later.after(event, timedelta(0), f"clear/{facts.se}", ClearStorage(event.vo, facts.lfn, facts.se))


@policy
def bytes_tried_again(event: Recorded[File.NotCleared]) -> Iterator[Later]:
    facts = event.event
    first, longest = TRIED_AGAIN_WITHIN
    pause = min(first * 2 ** min(facts.failures, 20), longest)
    yield Later.after(event, pause, f"clear/{facts.se}", ClearStorage(event.vo, facts.lfn, facts.se))


@policy
def checked_in_time(event: Recorded[Check.Begun]) -> Iterator[Later]:
    ended = EndCheck(event.vo, event.event.check, problem="the process that did it has died")
    yield Later.after(event, LONGEST, "state", ended)


@policy
def checked(event: Recorded[Check.Ended]) -> Iterator[Later]:
    yield Later(event.stream, "state")


@policy
def carried_out_in_time(event: Recorded[Removal.Planned]) -> Iterator[Later]:
    yield Later.after(event, CARRIED_OUT_WITHIN, "state", ForgetRemoval(event.vo, event.event.removal))


@policy
def goes_on(event: Recorded[Removal.Begun]) -> Iterator[Later]:
    removal = event.event.removal
    command = UndoRemoval(event.vo, removal) if event.event.undo else CarryOutRemoval(event.vo, removal)
    yield Later.after(event, GOES_ON_AFTER, "state", command)


@policy
def final_in_time(event: Recorded[Removal.CarriedOut]) -> Iterator[Later]:
    yield Later.after(event, GRACE, "state", PurgeRemoval(event.vo, event.event.removal))


@policy
def nothing_to_wait_for(event: Recorded[Removal.Undone | Removal.Purged | Removal.Forgotten]) -> Iterator[Later]:
    yield Later(event.stream, "state")
