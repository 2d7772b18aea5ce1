"""Names under which outputs are kept."""

import pytest

from domain.errors import Refused
from domain.outputs import output_name


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("", "/lhcb/user/a/ann/12/12345/sum.txt"),
        ("sums", "/lhcb/user/a/ann/sums/sum.txt"),
        ("/sums/", "/lhcb/user/a/ann/sums/sum.txt"),
        ("LFN:/lhcb/prod/sums", "/lhcb/prod/sums/sum.txt"),
        ("/lhcb/prod/sums", "/lhcb/prod/sums/sum.txt"),
        ("/lhcbx/sums", "/lhcb/user/a/ann/lhcbx/sums/sum.txt"),
    ],
)
def test_an_output_path_is_below_the_owners_home_unless_it_begins_at_the_root_of_the_vo(path: str, kept: str) -> None:
    described = {"output_data": ["sum*.txt"], "output_path": path}
    assert output_name(described, "lhcb", "ann", 12345, "sum.txt") == kept


@pytest.mark.parametrize("path", ["LFN:/belle2/prod", "/lhcb/../belle2"])
def test_no_output_leaves_the_vo(path: str) -> None:
    with pytest.raises(Refused):
        output_name({"output_data": ["a"], "output_path": path}, "lhcb", "ann", 1, "a")


def test_what_was_not_described_is_refused() -> None:
    with pytest.raises(Refused):
        output_name({"output_data": ["sum*.txt", "LFN:/lhcb/a"]}, "lhcb", "ann", 1, "LFN:/lhcb/b")
    with pytest.raises(Refused):
        output_name({"output_data": ["sum*.txt"]}, "lhcb", "ann", 1, "other.txt")
