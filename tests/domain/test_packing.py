"""Packing against what everybody can count: each input once or not at all, groups as the plugin says."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.data.field import Known
from domain.data.query import parse
from domain.transformations.definition import Definition, Plugin, Source
from domain.transformations.matching import Facts, Index, Query
from domain.transformations.packing import GIGABYTE, Candidate, halves, pack

SITES = st.sampled_from(["", "A", "B"])
PLACES = st.sampled_from([(), ("SE1",), ("SE1", "SE2"), ("SE2",)])
SIZES = st.integers(0, 3 * GIGABYTE)
INPUTS = st.lists(st.tuples(SIZES, PLACES, SITES), max_size=60).map(
    lambda rows: [Candidate(UUID(int=n), f"/lhcb/{n}", *row) for n, row in enumerate(rows)]
)
PLUGINS = st.sampled_from(list(Plugin))
SHARES = {"A": 3, "B": 1}


def defined(plugin: Plugin, size: int) -> Definition:
    return Definition("d", Source.LIST, plugin, size, shares=SHARES if plugin is Plugin.BY_SHARE else {})


@given(INPUTS, PLUGINS, st.integers(1, 7), st.booleans())
def test_every_input_is_in_one_group_or_waits(
    inputs: list[Candidate], plugin: Plugin, size: int, all_of_it: bool
) -> None:
    groups = pack(defined(plugin, size), inputs, {}, all_of_it=all_of_it)
    packed = Counter(each for group in groups for each in group.inputs)
    assert set(packed) <= set(inputs)
    assert set(packed.values()) <= {1}
    assert all(group.inputs for group in groups)
    if all_of_it or plugin is Plugin.ONE:
        assert set(packed) == set(inputs)
    for group in groups:
        assert len({each.target for each in group.inputs}) == 1
        if plugin is not Plugin.ONE:
            assert len({each.ses for each in group.inputs}) == 1


@given(INPUTS, st.integers(1, 7))
def test_what_waits_could_not_fill_a_group(inputs: list[Candidate], size: int) -> None:
    groups = pack(defined(Plugin.STANDARD, size), inputs, {}, all_of_it=False)
    assert all(len(group.inputs) == size for group in groups)
    left = set(inputs) - {each for group in groups for each in group.inputs}
    assert max(Counter((each.ses, each.target) for each in left).values(), default=0) < size


@given(INPUTS, st.integers(1, 4))
def test_groups_by_size_stay_below_it_unless_one_file_is_larger(inputs: list[Candidate], size: int) -> None:
    for group in pack(defined(Plugin.BY_SIZE, size), inputs, {}, all_of_it=True):
        total = sum(each.size for each in group.inputs)
        assert total <= size * GIGABYTE or len(group.inputs) == 1


@given(st.integers(0, 200), st.integers(0, 40), st.integers(0, 40))
def test_sites_come_as_near_to_their_shares_as_whole_tasks_can(count: int, a: int, b: int) -> None:
    inputs = [Candidate(UUID(int=n), f"/lhcb/{n}", 1) for n in range(count)]
    groups = pack(defined(Plugin.BY_SHARE, 1), inputs, {"A": a, "B": b}, all_of_it=True)
    new = Counter(group.target for group in groups)
    assert new["A"] + new["B"] == count
    total_a, total_b = a + new["A"], b + new["B"]
    if new["A"] and new["B"]:  # none could be given to the other without more distance
        assert (total_a - 1) / 3 <= (total_b + 1) / 1
        assert (total_b - 1) / 1 <= (total_a + 1) / 3


@given(st.lists(st.text(min_size=1), min_size=2, max_size=50))
def test_halves_are_the_whole(lfns: list[str]) -> None:
    first, second = halves(lfns)
    assert [*first, *second] == lfns
    assert first
    assert second


FIELDS = {name: Known(name, kind, "file") for name, kind in (("run", "int"), ("energy", "float"), ("stream", "string"))}
CONDITIONS = st.lists(
    st.one_of(
        st.builds("run {} {}".format, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.integers(0, 3)),
        st.builds("run in {},{}".format, st.integers(0, 3), st.integers(0, 3)),
        st.builds("stream = {}".format, st.sampled_from("AB")),
        st.builds("size > {}".format, st.integers(0, 3)),
        st.builds("se = {}".format, st.sampled_from(["SE1", "SE2"])),
    ),
    max_size=3,
)
FACTS = st.fixed_dictionaries(
    {"size": st.integers(0, 4), "se": PLACES},
    optional={"run": st.integers(0, 3).map(float), "stream": st.sampled_from("ABC")},
)


@given(st.lists(st.tuples(CONDITIONS, st.sampled_from(["", "/lhcb/a"])), max_size=8), FACTS)
def test_the_index_finds_exactly_the_queries_that_hold(asked: list[tuple[list[str], str]], facts: Facts) -> None:
    queries = [Query(str(n), path, parse(conditions, FIELDS)) for n, (conditions, path) in enumerate(asked)]
    for lfn in ("/lhcb/a/1", "/lhcb/ab/1"):
        assert sorted(Index(queries).wanting(lfn, facts)) == sorted(q.name for q in queries if q.wants(lfn, facts))
