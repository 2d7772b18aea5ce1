"""Reading a configuration: defaults, layers, and one broken part that stops nobody else."""

from typing import Any

from domain.limits import Limits
from domain.operations import JobDescription, JobScheduling
from domain.requirements import SEGMENTS
from domain.schema import builtin, read
from domain.sites import effective

GROUP = {"properties": ["NormalUser"]}


def vo(**more: Any) -> dict[str, Any]:
    return {"default_group": "users", "groups": {"users": GROUP}, **more}


def test_before_anything_is_configured_the_vo_of_the_laptop_works() -> None:
    found = read(builtin("demo"))
    demo = found.vo("demo")
    assert demo and demo.registry.default_group == "developers" and not found.problems
    assert "localhost" in demo.resources.sites["Laptop"].ces


def test_defaults_are_what_the_code_had_before_there_was_a_configuration() -> None:
    given = JobDescription().model_dump()
    today = {name: getattr(Limits(), name) for name in given}
    assert {**given, "job_types": frozenset(given["job_types"])} == today
    assert JobScheduling().cpu_time_segments == SEGMENTS


def test_a_vo_lays_its_own_operations_over_those_of_all() -> None:
    defaults = {"job_description": {"max_cpu_time": 1_000_000, "default_cpu_time": 5000}, "times": {"silent_for": "2h"}}
    document = {
        "registry": {"lhcb": vo(), "cta": vo()},
        "operations": {"Defaults": defaults, "lhcb": {"job_description": {"default_cpu_time": 7000}}},
    }
    found = read(document).operations
    assert (found["lhcb"].job_description.default_cpu_time, found["lhcb"].job_description.max_cpu_time) == (7000, 10**6)
    assert found["cta"].job_description.default_cpu_time == 5000
    assert found["lhcb"].times.silent_for == found["cta"].times.silent_for == 7200


def test_a_broken_section_of_one_vo_disables_that_vo_only() -> None:
    document = {"registry": {"lhcb": vo(), "cta": vo(groups={"users": {"properties": ["NormalUsr"]}})}}
    found = read(document)
    assert found.vos == ["lhcb"] and found.vo("cta") is None
    (wrong,) = found.broken["cta"]
    assert wrong.field == "/registry/cta/groups/users/properties/0" and "NormalUser" in wrong.problem


def test_an_option_nobody_knows_is_named_with_the_one_that_was_meant() -> None:
    document = {"registry": {"lhcb": vo(groups={"users": {**GROUP, "job_shares": 2}})}}
    (wrong,) = read(document).broken["lhcb"]
    assert wrong == ("/registry/lhcb/groups/users/job_shares", "there is no option job_shares, did you mean job_share?",
                     "job_share")  # fmt: skip


def test_a_broken_site_is_left_out_and_the_others_serve() -> None:
    sites = {"LCG.CERN.cern": {"ces": {"ce1.cern.ch": {"type": "HTCondorCE"}}}, "LCG.GRIF.fr": {"ces": {"x": {}}}}
    found = read({"registry": {"lhcb": vo()}, "resources": {"sites": sites}})
    lhcb = found.vo("lhcb")
    assert lhcb and list(lhcb.resources.sites) == ["LCG.CERN.cern"]
    assert [wrong.field for wrong in found.problems] == ["/resources/sites/LCG.GRIF.fr/ces/x/type"]


def test_an_allow_list_keeps_other_vos_from_a_site_a_computing_element_and_a_queue() -> None:
    queues = {"all": {}, "short": {"vos": ["cta"]}}
    ces = {"ce1": {"type": "SSH", "queues": queues}, "ce2": {"type": "SSH", "vos": ["cta"]}}
    sites = {"LCG.CERN.cern": {"ces": ces}, "LCG.GRIF.fr": {"vos": ["cta"]}}
    found = read({"registry": {"lhcb": vo(), "cta": vo()}, "resources": {"sites": sites}})
    lhcb, cta = found.vo("lhcb"), found.vo("cta")
    assert lhcb and cta
    assert [*lhcb.resources.sites] == ["LCG.CERN.cern"] and len(cta.resources.sites) == 2
    assert [*lhcb.resources.sites["LCG.CERN.cern"].ces["ce1"].queues] == ["all"]
    assert [*lhcb.resources.sites["LCG.CERN.cern"].ces] == ["ce1"]


def test_a_vo_overrides_numbers_of_a_queue_for_itself_alone() -> None:
    sites = {"LCG.CERN.cern": {"ces": {"ce1": {"type": "SSH", "queues": {"long": {"max_waiting": 5}}}}}}
    override = {"sites": {"LCG.CERN.cern": {"ces": {"ce1": {"queues": {"long": {"max_waiting": 1}}}}}}}
    document = {"registry": {"lhcb": vo(), "cta": vo()}, "resources": {"sites": sites}, "overrides": {"lhcb": override}}

    def most(name: str) -> int | None:
        found = read(document).vo(name)
        assert found
        return found.resources.sites["LCG.CERN.cern"].ces["ce1"].queues["long"].max_waiting

    assert (most("lhcb"), most("cta")) == (1, 5)


def test_an_override_can_neither_add_a_site_nor_open_one() -> None:
    document = {"registry": {"lhcb": vo()}, "resources": {"sites": {"LCG.CERN.cern": {"vos": ["cta"]}}}}
    document["overrides"] = {"lhcb": {"sites": {"LCG.CERN.cern": {"vos": []}, "LCG.CERM.cern": {}}}}
    found = [str(wrong) for wrong in read(document).broken["lhcb"]]
    assert found == [
        "/overrides/lhcb/sites/LCG.CERN.cern/vos: who may use it is for the installation to say",
        "/overrides/lhcb/sites/LCG.CERM.cern: there is no LCG.CERM.cern to override, did you mean LCG.CERN.cern?",
    ]


def test_a_queue_inherits_what_its_computing_element_says() -> None:
    ce = {"type": "SSH", "processors": 8, "tags": ["GPU"], "queues": {"q": {"tags": ["Big"], "memory_mb": "4 GB"}}}
    found = read({"resources": {"sites": {"LCG.CERN.cern": {"ces": {"ce1": ce}}}}}).resources
    element = found.sites["LCG.CERN.cern"].ces["ce1"]
    queue = effective(element, element.queues["q"])
    assert (queue.processors, queue.memory_mb, queue.tags) == (8, 4000, ("Big", "GPU"))


def test_reading_again_reads_only_what_has_changed() -> None:
    document = {"registry": {"lhcb": vo(), "cta": vo()}}
    old = read(document, 1)
    new = read({"registry": {**document["registry"], "cta": vo(suspended=True)}}, 2, old)
    assert new.registry["lhcb"] is old.registry["lhcb"] and new.operations["lhcb"] is old.operations["lhcb"]
    assert new.registry["cta"].suspended
