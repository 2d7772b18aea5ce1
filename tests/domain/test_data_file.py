"""What may happen to a file and its replicas."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenario import Scenario

from domain.data.file import (
    AddReplica,
    AnnounceFile,
    ClearReplica,
    ConfirmReplica,
    Content,
    DescribeFile,
    DoubtReplica,
    DropReplica,
    File,
    Held,
    OverdueReplica,
    RegisterFile,
    RemoveFile,
    RestoreFile,
    Status,
    TrustReplica,
)
from domain.data.metadata import MOST_VALUES
from domain.data.names import check_file, directory_stream, file_stream, lineage
from domain.errors import Code, Refused

LFN = "/lhcb/data/run1/raw.dst"
CONTENT = Content(10, "0000002a", sha256="a" * 64)
REMOVAL = UUID(int=7)
REGISTERED = File.Registered(LFN, 10, "ann", "users", ("CERN",), "0000002a", sha256="a" * 64)
ANNOUNCED = File.Announced(LFN, 10, "ann", "users", "CERN", "0000002a", sha256="a" * 64)
STORED = File.Stored(LFN, "CERN", 10, "ann", "users", "0000002a", "a" * 64, True)


def file() -> Scenario[File]:
    return Scenario(File(), file_stream(LFN))


def register(content: Content = CONTENT, *ses: str) -> RegisterFile:
    return RegisterFile("lhcb", LFN, content, "ann", "users", ses or ("CERN",))


def announce(content: Content = CONTENT, se: str = "CERN", owner: str = "ann") -> AnnounceFile:
    return AnnounceFile("lhcb", LFN, content, owner, "users", se)


def confirm(found: Content | None = CONTENT, se: str = "CERN") -> ConfirmReplica:
    return ConfirmReplica("lhcb", LFN, se, found)


def test_a_file_is_registered_once_and_again_without_effect() -> None:
    file().when(register()).then(REGISTERED).when(register()).then_nothing()


def test_another_content_under_the_same_name_is_refused() -> None:
    file().given(REGISTERED).when(register(Content(11))).then_refused(Code.FILE_EXISTS, lfn=LFN)


def test_a_further_replica_comes_with_a_second_registration() -> None:
    file().given(REGISTERED).when(register(CONTENT, "CERN", "GRIDKA")).then(
        File.ReplicaAdded(LFN, "GRIDKA", 10, "ann", "users")
    )


def test_an_announced_file_is_registered_by_the_receipt_of_its_storage() -> None:
    told = file().when(announce()).then(ANNOUNCED)
    assert told.state.status is Status.ANNOUNCED
    told.when(confirm()).then(STORED)
    assert (told.state.status, told.state.replicas) == (Status.ACTIVE, {"CERN": Held.ACTIVE})
    told.when(confirm()).then_nothing()


@pytest.mark.parametrize("found", [None, Content(9, "0000002a"), Content(10, "0000002b")])
def test_what_storage_has_otherwise_is_recorded_and_never_registered(found: Content | None) -> None:
    told = file().given(ANNOUNCED).when(confirm(found))
    (event,) = told.events
    assert isinstance(event, File.NotStored)
    assert told.then(event).state.status is Status.ANNOUNCED
    told.when(confirm(found)).then_refused(Code.NOT_STORED, se="CERN")  # once in the log, however often it is asked


def test_an_interrupted_upload_is_announced_again_without_effect() -> None:
    file().given(ANNOUNCED).when(announce()).then_nothing()


def test_the_owner_may_announce_another_content_as_long_as_nothing_was_stored() -> None:
    file().given(ANNOUNCED).when(announce(Content(11))).then(File.Announced(LFN, 11, "ann", "users", "CERN"))
    file().given(ANNOUNCED).when(announce(Content(11), owner="bob")).then_refused(Code.FILE_EXISTS)


def test_an_intent_without_receipt_becomes_a_finding_once() -> None:
    told = file().given(ANNOUNCED).when(OverdueReplica("lhcb", LFN, "CERN")).then(File.Overdue(LFN, "CERN"))
    told.when(OverdueReplica("lhcb", LFN, "CERN")).then_nothing()
    told.when(confirm()).then(STORED).when(OverdueReplica("lhcb", LFN, "CERN")).then_nothing()


def test_the_only_good_replica_is_not_dropped_alone() -> None:
    told = file().given(REGISTERED).when(DropReplica("lhcb", LFN, "CERN")).then_refused(Code.REPLICA_LAST)
    told.when(AddReplica("lhcb", LFN, "GRIDKA")).then(File.ReplicaAdded(LFN, "GRIDKA", 10, "ann", "users"))
    told.when(DropReplica("lhcb", LFN, "CERN")).then(File.ReplicaDropped(LFN, "CERN", 10, "ann", "users"))
    told.when(ClearReplica("lhcb", LFN, "CERN")).then(File.ReplicaCleared(LFN, "CERN"))


def test_a_lost_replica_is_trusted_again_when_storage_has_it() -> None:
    told = file().given(REGISTERED).when(DoubtReplica("lhcb", LFN, "CERN", "not listed", True))
    told.then(File.ReplicaDoubted(LFN, "CERN", "not listed", True))
    told.when(confirm()).then(File.ReplicaTrusted(LFN, "CERN"))
    told.when(TrustReplica("lhcb", LFN, "CERN")).then_nothing()


def test_a_removed_file_comes_back_with_what_storage_still_has() -> None:
    told = file().given(REGISTERED).given(File.ReplicaAdded(LFN, "GRIDKA", 10, "ann", "users"))
    told.when(RemoveFile("lhcb", LFN, REMOVAL)).then(File.Removed(LFN, 10, "ann", "users", ("CERN", "GRIDKA"), REMOVAL))
    told.when(register()).then_refused(Code.FILE_STATE)
    told.when(ClearReplica("lhcb", LFN, "CERN")).then(File.ReplicaCleared(LFN, "CERN"))
    told.when(RestoreFile("lhcb", LFN)).then_refused(Code.FILE_STATE)
    told.when(RestoreFile("lhcb", LFN, REMOVAL)).then(File.Restored(LFN, 10, "ann", "users", ("GRIDKA",), ("CERN",)))
    assert told.state.replicas == {"CERN": Held.REMOVED, "GRIDKA": Held.ACTIVE}


def test_a_file_that_no_storage_has_any_more_cannot_come_back_and_its_name_is_free() -> None:
    told = file().given(REGISTERED, File.Removed(LFN, 10, "ann", "users", ("CERN",), REMOVAL))
    told.when(ClearReplica("lhcb", LFN, "CERN")).then(File.ReplicaCleared(LFN, "CERN", True))
    told.when(RestoreFile("lhcb", LFN, REMOVAL)).then_refused(Code.FILE_LOST, lfn=LFN)
    told.when(register(Content(11))).then(File.Registered(LFN, 11, "ann", "users", ("CERN",)))


@pytest.mark.parametrize(
    "name",
    ["lhcb/a", "/lhcb//a", "/lhcb/../atlas/a", "/lhcb/./a", "/atlas/a", "/lhcb/a/", "/lhcb/a b", "/lhcb/-rf",
     "/lhcb/a\nb", "/lhcb/a\0", "/lhcb/ä", "/lhcb/*", "/lhcb", "", "/" + "lhcb/a" * 500, "/lhcbx/a"],
)  # fmt: skip
def test_a_hostile_name_is_refused(name: str) -> None:
    with pytest.raises(Refused) as refused:
        check_file("lhcb", name)
    assert refused.value.code is Code.FILE_NAME


PART = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,20}", fullmatch=True)


@given(st.lists(PART, min_size=1, max_size=6))
def test_files_of_a_directory_lie_together_in_every_index(parts: list[str]) -> None:
    directory = "/lhcb/" + "/".join(parts)
    check_file("lhcb", directory)
    assert {file_stream(f"{directory}/{n}").bytes[:5] for n in range(5)} == {directory_stream(directory).bytes[:5]}
    assert len({file_stream(f"{directory}/{n}") for n in range(5)}) == 5
    assert lineage(directory)[-1] == directory
    assert lineage(directory)[0] == "/lhcb"


def test_a_value_that_is_taken_away_leaves_room_for_another_one() -> None:
    full = File.Described(LFN, {f"field{n}": n for n in range(MOST_VALUES)})
    one_more = file().given(REGISTERED, full).when(DescribeFile("lhcb", LFN, {"new": 1}))
    one_more.then_refused(Code.TOO_MANY, count=MOST_VALUES + 1, things="values", limit=MOST_VALUES)
    instead: dict[str, int | None] = {"new": 1, "field0": None}
    file().given(REGISTERED, full).when(DescribeFile("lhcb", LFN, dict(instead))).then(File.Described(LFN, instead))
