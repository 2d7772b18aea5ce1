"""No state of a file or removal waits for ever."""

from datetime import timedelta
from uuid import UUID

from scenario import recorded

from domain.data.clearing import ClearStorage
from domain.data.consistency import LONGEST, Check
from domain.data.file import File, OverdueReplica
from domain.data.names import file_stream
from domain.data.removal import GRACE, CarryOutRemoval, ForgetRemoval, PurgeRemoval, Removal, UndoRemoval
from domain.messages import Event, Later
from handlers.data.deadlines import policy

LFN = "/lhcb/data/1"
ID = UUID(int=7)


def set_by(event: Event) -> list[Later]:
    """The timers that an event of the file sets or takes away."""
    told = recorded(event, file_stream(LFN))
    answers = list(policy.react(told))
    assert all(isinstance(each, Later) and each.stream == told.stream for each in answers)
    return [each for each in answers if isinstance(each, Later)]


def delay(event: Event, later: Later) -> timedelta:
    assert later.at
    return later.at - recorded(event).at


def test_what_is_announced_is_confirmed_in_a_day_or_becomes_a_finding() -> None:
    event = File.Announced(LFN, 1, "ann", "users", "CERN")
    (later,) = set_by(event)
    assert later.command == OverdueReplica("lhcb", LFN, "CERN")
    assert delay(event, later) == timedelta(days=1)
    (gone,) = set_by(File.Stored(LFN, "CERN", 1, "ann", "users"))
    assert (gone.name, gone.command) == (later.name, None)


def test_bytes_of_a_dropped_replica_go_at_once_and_are_tried_ever_more_rarely() -> None:
    dropped = File.ReplicaDropped(LFN, "CERN", 1, "ann", "users")
    clear = set_by(dropped)[-1]
    assert (clear.command, delay(dropped, clear)) == (ClearStorage("lhcb", LFN, "CERN"), timedelta(0))
    pauses = []
    for failures in (1, 2, 5, 50):
        event = File.NotCleared(LFN, "CERN", "away", failures)
        (later,) = set_by(event)
        assert later.command == clear.command
        pauses.append(delay(event, later))
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(days=1)


def test_a_removal_is_forgotten_goes_on_or_becomes_final_by_itself() -> None:
    for event, command in (
        (Removal.Planned(ID, "ann", "users", "digest", 1, 1), ForgetRemoval("lhcb", ID)),
        (Removal.Begun(ID), CarryOutRemoval("lhcb", ID)),
        (Removal.Begun(ID, True), UndoRemoval("lhcb", ID)),
        (Removal.CarriedOut(ID, 1), PurgeRemoval("lhcb", ID)),
    ):
        (later,) = set_by(event)
        assert (later.name, later.command) == ("state", command)
    event = Removal.CarriedOut(ID, 1)
    assert delay(event, set_by(event)[0]) == GRACE
    for event in (Removal.Undone(ID, 1), Removal.Purged(ID, 1), Removal.Forgotten(ID)):
        assert [each.command for each in set_by(event)] == [None]


def test_a_check_that_died_ends_all_the_same() -> None:
    event = Check.Begun(ID, "CERN", "/lhcb")
    (later,) = set_by(event)
    assert delay(event, later) == LONGEST
    assert [each.command for each in set_by(Check.Ended(ID, "CERN", 1, 1))] == [None]
