"""The rules of statuses, as stories; and what may be used, against every combination."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenario import BEGIN, Scenario

from domain.errors import Code
from domain.resource import (
    BANNED_FOR,
    EVERYWHERE,
    INSTALLATION,
    LEVEL,
    PROBED_FOR,
    STORAGE,
    Access,
    ExpireResourceStatus,
    NoteFailure,
    NoteSuccess,
    Resource,
    SetResourceStatus,
)
from domain.resource import (
    ResourceKind as Kind,
)
from domain.resource import (
    ResourceStatus as Status,
)
from domain.usable import Standing, places, usable
from domain.values import resource_stream

CERN = ("lhcb", Kind.SITE, "LCG.CERN.cern")
EOS = ("lhcb", Kind.SE, "CERN-EOS")
SOON = BEGIN + timedelta(hours=2)
A, B = Status.ACTIVE, Status.BANNED


def said(
    status: Status,
    former: Status = A,
    round_: int = 1,
    until: object = None,
    reason: str = "cooling",
    author: str = "ann",
) -> Resource.StatusSet:
    return Resource.StatusSet(*CERN, Access.ALL, status, former, reason, round_, author, "", until)  # type: ignore[arg-type]


def over(status: Status, former: Status, round_: int, reason: str = "", author: str = "") -> Resource.StatusExpired:
    return Resource.StatusExpired(*CERN, Access.ALL, status, former, reason, round_, author)


@pytest.fixture
def cern() -> Scenario[Resource]:
    return Scenario(Resource(), resource_stream(*CERN))


def test_a_site_is_banned_with_a_reason_and_allowed_again(cern: Scenario[Resource]) -> None:
    cern.when(SetResourceStatus(*CERN, B, "cooling")).then(said(B))
    cern.when(SetResourceStatus(*CERN, A, "it is cold")).then(said(A, B, 2, reason="it is cold"))


def test_saying_the_same_again_changes_nothing(cern: Scenario[Resource]) -> None:
    cern.given(said(B)).when(SetResourceStatus(*CERN, B, "cooling")).then_nothing()


@pytest.mark.parametrize("reason", ["", "  "])
def test_nothing_is_set_without_a_reason(cern: Scenario[Resource], reason: str) -> None:
    cern.when(SetResourceStatus(*CERN, B, reason)).then_refused(Code.RESOURCE, name="LCG.CERN.cern")


def test_a_status_does_not_end_before_it_begins(cern: Scenario[Resource]) -> None:
    cern.when(SetResourceStatus(*CERN, B, "x", BEGIN)).then_refused(Code.RESOURCE)


def test_when_its_time_is_over_the_last_status_set_for_good_is_back(cern: Scenario[Resource]) -> None:
    drained = said(Status.DRAINING, reason="old")
    banned = said(B, Status.DRAINING, 2, SOON)
    probing = said(Status.PROBING, B, 3, SOON)
    cern.given(drained, banned, probing).when(ExpireResourceStatus(*CERN, Access.ALL, 3), "timer")
    cern.then(over(Status.DRAINING, Status.PROBING, 4, "old", "ann"))


def test_a_resource_of_which_nothing_was_said_before_is_active_again(cern: Scenario[Resource]) -> None:
    cern.given(said(B, until=SOON)).when(ExpireResourceStatus(*CERN, Access.ALL, 1), "timer").then(over(A, B, 2))


def test_a_timer_ends_only_what_it_was_set_for(cern: Scenario[Resource]) -> None:
    cern.given(said(B, until=SOON), said(B, B, 2, SOON + timedelta(hours=1)))
    cern.when(ExpireResourceStatus(*CERN, Access.ALL, 1), "timer").then_nothing()
    cern.given(said(B, B, 3)).when(ExpireResourceStatus(*CERN, Access.ALL, 3), "timer").then_nothing()


def test_a_policy_makes_nothing_better_that_a_person_has_made_worse(cern: Scenario[Resource]) -> None:
    policy = "policy:black-holes"
    cern.given(said(Status.DRAINING))
    cern.when(SetResourceStatus(*CERN, Status.PROBING, "well again"), policy).then_nothing()
    cern.when(SetResourceStatus(*CERN, B, "worse"), policy).then(
        said(B, Status.DRAINING, 2, reason="worse", author=policy)
    )
    cern.when(SetResourceStatus(*CERN, A, "well again"), policy).then(said(A, B, 3, reason="well again", author=policy))


def test_each_access_of_a_storage_element_has_its_own_status() -> None:
    eos = Scenario(Resource(), resource_stream(*EOS))

    def set_(access: Access, round_: int) -> Resource.StatusSet:
        return Resource.StatusSet(*EOS, access, B, A, "full", round_, "ann")

    eos.when(SetResourceStatus(*EOS, B, "full", access=(Access.WRITE,))).then(set_(Access.WRITE, 1))
    rest = [access for access in STORAGE if access is not Access.WRITE]
    eos.when(SetResourceStatus(*EOS, B, "full")).then(*[set_(each, n) for n, each in enumerate(rest, 2)])


def test_only_storage_elements_have_accesses(cern: Scenario[Resource]) -> None:
    cern.when(SetResourceStatus(*CERN, B, "x", access=(Access.READ,))).then_refused(Code.RESOURCE)


def test_nobody_speaks_for_another_vo_and_few_for_all(cern: Scenario[Resource]) -> None:
    cern.when(SetResourceStatus(*CERN, B, "x"), vo="belle", rights=(INSTALLATION,)).then_refused(Code.FORBIDDEN)
    everywhere = SetResourceStatus(EVERYWHERE, *CERN[1:], B, "x")
    cern.when(everywhere, rights=("Operator", "SiteManager")).then_refused(Code.FORBIDDEN)
    cern.when(everywhere, rights=(INSTALLATION,))
    assert [event.TOPIC for event in cern.events] == ["resource.status-set"]


def standing(scope: str, kind: Kind, name: str, status: Status, access: Access = Access.ALL) -> Standing:
    return Standing(scope, kind, name, access, status, "because")


STANDINGS = st.lists(
    st.builds(
        standing,
        st.sampled_from(["", "lhcb", "belle"]),
        st.sampled_from([Kind.SITE, Kind.CE, Kind.NODE]),
        st.sampled_from(["a", "b", "a/h"]),
        st.sampled_from(list(Status)),
    ),
    max_size=8,
)


@given(STANDINGS)
def test_a_place_is_usable_when_nothing_that_concerns_it_forbids_it(every: list[Standing]) -> None:
    known = {(each.scope, each.kind, each.name, each.access): each for each in every}
    at = places("a", "b", node="h")
    concerned = [s for s in known.values() if s.scope in ("", "lhcb") and (s.kind, s.name) in at]
    found = usable(known, "lhcb", at)
    assert found.ok == all(s.status in (Status.ACTIVE, Status.DEGRADED, Status.PROBING) for s in concerned)
    if concerned:
        assert found.standing and found.standing.status == min((s.status for s in concerned), key=LEVEL.__getitem__)
        assert found.probing == (found.standing.status is Status.PROBING)
    else:
        assert found.standing is None


@pytest.mark.parametrize(
    ("status", "allowed"),
    [
        (Status.ACTIVE, set(STORAGE)),
        (Status.DEGRADED, set(STORAGE)),
        (Status.PROBING, {Access.CHECK}),
        (Status.DRAINING, {Access.READ, Access.CHECK, Access.REMOVE}),
        (Status.BANNED, set()),
        (Status.ERROR, set()),
    ],
)
def test_what_a_status_means_for_the_accesses_of_a_storage_element(status: Status, allowed: set[Access]) -> None:
    known = {("lhcb", Kind.SE, "EOS", each): standing("lhcb", Kind.SE, "EOS", status, each) for each in STORAGE}
    assert {each for each in STORAGE if usable(known, "lhcb", [(Kind.SE, "EOS")], each).ok} == allowed


PILOT = ("lhcb", Kind.PILOT, "p1")
POLICY = "policy:black-holes"


def failure(job: int, attempt: int = 1) -> NoteFailure:
    return NoteFailure(*PILOT, job, attempt, "exit-code", 0.5)


def failed(job: int, failures: int) -> Resource.FailedFast:
    return Resource.FailedFast(*PILOT, job, 1, "exit-code", 0.5, failures)


def doubted(status: Status, former: Status, failures: int, round_: int, term: timedelta) -> Resource.StatusSet:
    reason = f"{failures} jobs failed here at once (exit-code), jobs like them do well elsewhere"
    return Resource.StatusSet(*PILOT, Access.ALL, status, former, reason, round_, POLICY, "", BEGIN + term)


@pytest.fixture
def pilot() -> Scenario[Resource]:
    return Scenario(Resource(), resource_stream(*PILOT))


def test_a_place_where_jobs_fail_at_once_is_probed_and_then_banned(pilot: Scenario[Resource]) -> None:
    pilot.when(failure(1), POLICY).then(failed(1, 1))
    pilot.when(failure(1), POLICY).then_nothing()
    pilot.when(failure(2), POLICY).then(failed(2, 2), doubted(Status.PROBING, A, 2, 1, PROBED_FOR))
    pilot.when(failure(3), POLICY).then(failed(3, 3), doubted(B, Status.PROBING, 3, 2, BANNED_FOR))
    pilot.when(failure(3, 2), POLICY)
    assert [event.TOPIC for event in pilot.events] == ["resource.failed-fast"]  # it is banned already
    over = Resource.StatusExpired(*PILOT, Access.ALL, A, B, "", 3, "")
    pilot.when(ExpireResourceStatus(*PILOT, Access.ALL, 2), "timer").then(over)
    pilot.when(failure(4), POLICY).then(failed(4, 4), doubted(B, A, 4, 4, 2 * BANNED_FOR))


def test_a_place_where_a_job_goes_well_again_is_active_again(pilot: Scenario[Resource]) -> None:
    pilot.given(failed(1, 1), failed(2, 2), doubted(Status.PROBING, A, 2, 1, PROBED_FOR))
    again = Resource.StatusSet(*PILOT, Access.ALL, A, Status.PROBING, "jobs do well here again", 2, POLICY)
    pilot.when(NoteSuccess(*PILOT, 3), POLICY).then(Resource.WorkedAgain(*PILOT, 3), again)
    pilot.when(NoteSuccess(*PILOT, 4), POLICY).then_nothing()
    pilot.when(failure(5), POLICY).then(failed(5, 1))


def test_what_a_person_banned_stays_banned_however_well_jobs_do(pilot: Scenario[Resource]) -> None:
    banned = Resource.StatusSet(*PILOT, Access.ALL, B, A, "mine", 1, "ann")
    pilot.given(failed(1, 1), banned).when(NoteSuccess(*PILOT, 3), POLICY).then(Resource.WorkedAgain(*PILOT, 3))


def test_whoever_allows_a_place_lets_it_begin_anew(pilot: Scenario[Resource]) -> None:
    pilot.given(failed(1, 1), failed(2, 2), Resource.StatusSet(*PILOT, Access.ALL, A, A, "mended", 1, "ann"))
    pilot.when(failure(3), POLICY).then(failed(3, 1))
