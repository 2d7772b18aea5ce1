"""What a VO accepts follows its configuration: its sites by name, its numbers, its types of jobs."""

from typing import Any

import pytest

from domain.limits import Limits, Rejected
from domain.schema import read
from gateway.intake import limits_of, understood
from gateway.ports import Principal

ANN = Principal("user", "s1", "lhcb", "ann", "users")
DOCUMENT: dict[str, Any] = {
    "registry": {
        vo: {"default_group": "users", "groups": {"users": {"properties": ["NormalUser"]}}} for vo in ("lhcb", "belle")
    },
    "operations": {"lhcb": {"job_description": {"max_cpu_time": 100_000, "job_types": ["User", "Merge"]}}},
    "resources": {"sites": {"LCG.CERN.cern": {}, "LCG.PIC.es": {}, "LCG.KEK.jp": {"vos": ["belle"]}}},
}
FOUND = read(DOCUMENT, 1)


def problems(**said: Any) -> list[str]:
    accepted = understood({"executable": "/bin/true"} | said, limits_of(FOUND, "lhcb", Limits()), ANN)
    return [str(each) for place in accepted.places if isinstance(place, Rejected) for each in place.refusals]


def test_the_document_is_good() -> None:
    assert not FOUND.problems


@pytest.mark.parametrize("field", ["sites", "banned_sites"])
def test_a_site_that_nobody_knows_is_refused_with_the_one_that_was_meant(field: str) -> None:
    assert problems(**{field: ["LCG.PIC.es"]}) == []
    assert problems(**{field: ["LCG.CREN.cern"]}) == [
        f"{field}: there is no site LCG.CREN.cern; did you mean LCG.CERN.cern?"
    ]


def test_sites_of_other_vos_are_not_known() -> None:
    (told,) = problems(sites=["LCG.KEK.jp"])
    assert told.startswith("sites: there is no site LCG.KEK.jp")


def test_numbers_and_types_are_those_of_the_vo() -> None:
    assert problems(job_type="Merge") == []
    assert problems(job_type="Test") == ["job_type: expected one of Merge, User"]
    assert problems(cpu_time=200_000) == ["cpu_time: expected 100 to 100000 seconds"]


def test_without_configured_sites_every_name_passes() -> None:
    usual = Limits()
    assert limits_of(FOUND, "unknown", usual) is usual
    assert limits_of(read(DOCUMENT), "lhcb", usual).sites == frozenset()
    assert limits_of(read({**DOCUMENT, "resources": {}}, 1), "lhcb", usual).sites == frozenset()
