"""The configuration as an aggregate: who may change what, what is refused and how it is said, going back."""

from typing import Any

import pytest
from scenario import Scenario

from domain.configuration import STREAM, ChangeConfiguration, Installation, RollBackConfiguration
from domain.errors import Code

Changed = Installation.Changed
BOSS = ("CSAdministrator",)
ADMINS = {"properties": ["NormalUser", "CSAdministrator"]}


def vo(**more: Any) -> dict[str, Any]:
    return {"default_group": "users", "groups": {"users": {"properties": ["NormalUser"]}, "admins": ADMINS}, **more}


SITE = {"ces": {"ce1.cern.ch": {"type": "HTCondorCE", "processors": 8, "queues": {"long": {"max_waiting": 5}}}}}
FIRST = Changed(1, {
    "/registry": {"lhcb": vo(), "cta": vo(), "root": vo()},
    "/systems": {"administrators": ["root"]},
    "/resources": {"sites": {"LCG.CERN.cern": SITE}, "storage_elements": {"CERN-disk": {}}},
})  # fmt: skip


@pytest.fixture
def story() -> Scenario[Installation]:
    return Scenario(Installation(), STREAM).given(FIRST)


def change(expected: int = 1, removed: tuple[str, ...] = (), reason: str = "", /, **put: Any) -> ChangeConfiguration:
    """Names of places are written with _ for /."""
    return ChangeConfiguration(expected, put, removed, reason)


def put(place: str, value: Any, expected: int = 1) -> ChangeConfiguration:
    return ChangeConfiguration(expected, {place: value})


def test_an_administrator_of_a_vo_changes_its_section(story: Scenario[Installation]) -> None:
    place = "/registry/lhcb/groups/users/job_share"
    story.when(put(place, 500), rights=BOSS).then(Changed(2, {place: 500}))
    assert story.state.document["registry"]["lhcb"]["groups"]["users"]["job_share"] == 500


def test_what_changes_nothing_is_accepted_and_is_no_revision(story: Scenario[Installation]) -> None:
    story.when(put("/registry/lhcb/default_group", "users"), rights=BOSS).then_nothing()


@pytest.mark.parametrize(
    "place",
    ["/registry/cta/default_group", "/operations/Defaults/times/silent_for", "/systems/name", "/registry/lhcb2",
     "/resources/sites/LCG.CERN.cern/description", "/overrides/cta", "/registry"],
)  # fmt: skip
def test_an_administrator_of_a_vo_changes_nothing_else(story: Scenario[Installation], place: str) -> None:
    story.when(put(place, {"a": 1}), rights=BOSS).then_refused(Code.NOT_YOUR_SECTION, vo="lhcb")


def test_a_vo_is_removed_by_who_governs_the_installation_only(story: Scenario[Installation]) -> None:
    gone = ChangeConfiguration(1, removed=("/registry/lhcb",))
    story.when(gone, rights=BOSS).then_refused(Code.NOT_YOUR_SECTION)
    story.when(gone, vo="root", rights=BOSS).then(Changed(2, removed=("/registry/lhcb",)))


def test_a_user_changes_nothing(story: Scenario[Installation]) -> None:
    story.when(put("/registry/lhcb/suspended", True), rights=("NormalUser",)).then_refused(Code.FORBIDDEN)


def test_an_administrator_of_a_vo_grants_no_right_that_reaches_beyond_it(story: Scenario[Installation]) -> None:
    place = "/registry/lhcb/groups/admins/properties"
    more = put(place, ["CSAdministrator", "ServiceAdministrator"])
    story.when(more, rights=BOSS).then_refused(Code.NOT_YOUR_SECTION, place=place)
    story.when(more, vo="root", rights=BOSS).then(Changed(2, dict(more.put)))


def test_an_administrator_of_a_vo_names_no_secret_of_the_environment(story: Scenario[Installation]) -> None:
    """Named beside a provider of their own, it would be sent there."""
    idp = {"issuer": "https://auth.evil.org", "client_id": "x", "client_secret_env": "CTA_CLIENT_SECRET"}
    story.when(put("/registry/lhcb/idp", idp), rights=BOSS)
    story.then_refused(Code.NOT_YOUR_SECTION, place="/registry/lhcb/idp/client_secret_env")
    story.when(put("/registry/lhcb/idp", idp), vo="root", rights=BOSS).then(Changed(2, {"/registry/lhcb/idp": idp}))


def test_the_only_vo_there_is_governs_the_installation() -> None:
    story = Scenario(Installation(), STREAM).given(Changed(1, {"/registry": {"lhcb": vo()}}))
    story.when(put("/systems", {"name": "Grid"}), rights=BOSS).then(Changed(2, {"/systems/name": "Grid"}))


def test_a_second_vo_needs_a_word_on_who_governs() -> None:
    story = Scenario(Installation(), STREAM).given(Changed(1, {"/registry": {"lhcb": vo()}}))
    story.when(put("/registry/cta", vo()), rights=BOSS)
    story.then_refused(Code.CONFIGURATION, field="/systems/administrators")
    both = {"/registry/cta": vo(), "/systems/administrators": ["lhcb"]}
    story.when(ChangeConfiguration(1, both), rights=BOSS).then(Changed(2, both))


def test_nobody_can_lock_everybody_out(story: Scenario[Installation]) -> None:
    gone = ChangeConfiguration(1, removed=("/registry/root/groups/admins",))
    story.when(gone, vo="root", rights=BOSS).then_refused(Code.CONFIGURATION, field="/systems/administrators")


def test_who_has_seen_an_older_revision_is_told(story: Scenario[Installation]) -> None:
    story.given(Changed(2, {"/systems/name": "Grid"}))
    story.when(put("/registry/lhcb/suspended", True), rights=BOSS).then_refused(Code.REVISION, expected=1, newest=2)


@pytest.mark.parametrize(
    ("place", "value", "field", "said"),
    [
        ("/registry/lhcb/groups/users/job_share", -1, "", "greater than or equal to 0"),
        ("/registry/lhcb/groups/users/job_shar", 1, "", "did you mean job_share?"),
        ("/registry/lhcb/groups/users/properties", ["NormalUsr"], "/0", "'NormalUser'"),
        ("/registry/lhcb/default_group", "user", "", "there is no group user, did you mean users?"),
        ("/registry/lhcb/users/s1", {"preferred_username": "a", "groups": ["usrs"]}, "/groups", "did you mean users?"),
        ("/registry/lhcb/idp", {"issuer": "ftp://x", "client_id": "a"}, "/issuer", "https://"),
        ("/registry/lhcb/idp", {"issuer": "http://idp.cern.ch", "client_id": "a"}, "/issuer", "https://"),
        ("/registry/2bad", vo(), "", "name"),
        ("/regstry", {}, "", "did you mean registry?"),
        ("/registry/lhcb/idp", {"issuer": "https://x", "client_id": "a", "client_secret_env": "SPINOR_SECRET"},
         "/client_secret_env", "the installation's own"),
        ("/overrides/lhcb", {"storage_elements": {"CERN-disk": {"access": [{"protocol": "s3", "url": "s3://evil"}]}}},
         "/storage_elements/CERN-disk/access", "for the installation to say"),
        ("/resources/sites/CERN", {"storage_elements": ["CERN-dsk"]}, "/storage_elements", "did you mean CERN-disk?"),
        ("/resources/sites/LCG CERN", {}, "", "match pattern"),
        ("/resources/sites/LCG.X.fr", SITE, "/ces/ce1.cern.ch", "belongs to LCG.CERN.cern already"),
        ("/resources/sites/CERN", {"vos": ["lhbc"]}, "/vos", "did you mean lhcb?"),
        ("/resources/sites/LCG.CERN.cern/ces/ce1.cern.ch/queues/long/processors", 16, "", "has 8"),
        ("/resources/sites/LCG.CERN.cern/ces/ce1.cern.ch/type", "HTCondor", "", "'HTCondorCE'"),
        ("/operations/Defaults", {"job_description": {"max_cpu_time": 50}}, "/job_description", "max_cpu_time"),
        ("/operations/lhcb", {"shifters": {"x": {"user": "a", "group": "usrs"}}}, "/shifters/x/group", "users"),
        ("/operations/lhbc", {}, "", "did you mean lhcb?"),
        ("/operations/lhcb", {"times": {"tolerant_sites": ["LCG.CERN.ch"]}}, "/times/tolerant_sites", "LCG.CERN.cern?"),
        ("/operations/lhcb", {"services": {"catalogs": ["x"]}}, "/services/catalogs", "there is no catalog x"),
        ("/operations/lhcb", {"extra": {"db_password": "x"}}, "/extra/db_password", "a secret must not stand here"),
        ("/systems", {"extra": {"a": "amqp://u:p@host/"}}, "/extra/a", "a secret must not stand here"),
        ("/systems", {"extra": {"a": "-----BEGIN RSA PRIVATE KEY-----"}}, "/extra/a", "a secret must not stand here"),
        ("/systems", {"extra": {"a": "b\0"}}, "/extra/a", "control characters"),
        ("/systems", {"name": "x\ud800"}, "/name", ""),
        ("/systems/extra", {"a": [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}, "/a", "deep"),
        ("/systems", {"extra": {"a": 1 << 70}}, "/extra/a", "too large"),
    ],
)  # fmt: skip
def test_a_wrong_change_is_refused_with_its_place_its_reason_and_what_was_meant(
    story: Scenario[Installation], place: str, value: Any, field: str, said: str
) -> None:
    story.when(put(place, value), vo="root", rights=BOSS)
    refusal = story.refusal
    assert refusal and refusal.code is Code.CONFIGURATION, (refusal, story.events)
    found = refusal.parameters["problems"]
    assert any(each["field"] in (place + field, place) and said in each["problem"] for each in found), found


def test_the_broken_section_of_one_vo_keeps_no_other_from_its_work(story: Scenario[Installation]) -> None:
    story.given(Changed(2, {"/registry/cta/groups/users/properties": ["FromTheFuture"]}))
    place = "/registry/lhcb/suspended"
    story.when(put(place, True, 2), rights=BOSS).then(Changed(3, {place: True}))
    mended = put("/registry/cta/groups/users/properties", ["NormalUser"], 3)
    story.when(mended, vo="cta", rights=BOSS).then(Changed(4, dict(mended.put)))


def test_a_broken_section_cannot_be_changed_into_another_broken_one(story: Scenario[Installation]) -> None:
    story.given(Changed(2, {"/registry/cta/groups/users/properties": ["FromTheFuture"]}))
    worse = put("/registry/cta/groups/users/properties", ["FromThePast"], 2)
    story.when(worse, vo="cta", rights=BOSS).then_refused(Code.CONFIGURATION)


def test_going_back_is_a_revision_of_its_own(story: Scenario[Installation]) -> None:
    place = "/registry/lhcb/groups/users/job_share"
    story.when(put(place, 500), rights=BOSS).then(Changed(2, {place: 500}))
    story.when(put(place, 600, 2), rights=BOSS).then(Changed(3, {place: 600}))
    story.when(RollBackConfiguration(3, 2), rights=BOSS).then(Changed(4, {place: 500}, rolled_back=2))
    story.when(RollBackConfiguration(4, 1), rights=BOSS).then(Changed(5, removed=(place,), rolled_back=1))
    assert story.state.document == Installation().evolve(_recorded(FIRST)).document


def test_a_vo_goes_back_with_its_own_section_only(story: Scenario[Installation]) -> None:
    story.given(Changed(2, {"/registry/cta/suspended": True}), Changed(3, {"/registry/lhcb/suspended": True}))
    story.when(RollBackConfiguration(3, 1), rights=BOSS).then_refused(Code.NOT_YOUR_SECTION)
    back = RollBackConfiguration(3, 1, "/registry/lhcb", "a mistake")
    story.when(back, rights=BOSS).then(
        Changed(4, removed=("/registry/lhcb/suspended",), reason="a mistake", rolled_back=1)
    )


def test_one_cannot_go_back_to_what_never_was(story: Scenario[Installation]) -> None:
    story.when(RollBackConfiguration(1, 9), rights=BOSS).then_refused(Code.REVISION_UNKNOWN, revision=9, newest=1)


@pytest.mark.parametrize("place", ["", "registry", "/", "/registry//x", "//"])
def test_a_place_that_is_none_is_refused(story: Scenario[Installation], place: str) -> None:
    story.when(put(place, {}), vo="root", rights=BOSS).then_refused(Code.CONFIGURATION)


def _recorded(event: Changed) -> Any:
    from scenario import recorded

    return recorded(event)
