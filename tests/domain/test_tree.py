"""Documents as trees: what the difference of two says is what turns one into the other."""

from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.tree import Changes, applied, at, difference, leaves, merged, names, pointer

NAME = st.text("ab/~.ä", min_size=1, max_size=3)
VALUE = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.text("ab", max_size=2)
ANY: Any = st.recursive(VALUE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=4))
TREE = st.dictionaries(NAME, ANY, max_size=5)


def exactly(value: Any) -> Any:
    """A form in which 1, 1.0 and true differ."""
    if isinstance(value, dict):
        return {name: exactly(inner) for name, inner in value.items()}
    return [exactly(inner) for inner in value] if isinstance(value, list) else (type(value), value)


@given(TREE, TREE)
def test_the_difference_applied_to_the_old_is_the_new(old: Any, new: Any) -> None:
    before = deepcopy(old)
    assert exactly(applied(difference(old, new), old)) == exactly(new)
    assert exactly(old) == exactly(before), "what was there is never changed in place"


@given(TREE, TREE)
def test_the_difference_back_rolls_back(old: Any, new: Any) -> None:
    there = applied(difference(old, new), old)
    assert exactly(applied(difference(there, old), there)) == exactly(old)


@given(TREE)
def test_nothing_changed_is_no_change(tree: Any) -> None:
    assert not difference(tree, deepcopy(tree))


@given(TREE, TREE, TREE)
def test_changes_in_a_row_are_one_change(first: Any, second: Any, third: Any) -> None:
    two_steps = applied(difference(second, third), applied(difference(first, second), first))
    assert exactly(two_steps) == exactly(applied(difference(first, third), first))


@given(TREE, NAME, NAME, ANY)
def test_a_change_far_away_leaves_a_part_the_same_object(tree: Any, kept: str, other: str, value: Any) -> None:
    tree[kept] = {"inner": {"a": 1}}
    if other != kept:
        assert applied(Changes({pointer(other): value}), tree)[kept] is tree[kept]


@given(TREE, TREE)
def test_merging_keeps_every_value_of_the_upper_tree(below: Any, above: Any) -> None:
    found = merged(below, above)
    for path, value in leaves(above):
        if not any(isinstance(at(above, pointer(*path[:n])), list) for n in range(len(path) + 1)):
            assert exactly(at(found, pointer(*path))) == exactly(value)


@given(TREE, TREE, TREE)
def test_layers_may_be_joined_in_any_grouping_where_sections_meet_sections(a: Any, b: Any, c: Any) -> None:
    """Sections over sections; a value over a section hides it, and then grouping matters to nobody."""

    def sections(tree: Any) -> Any:
        return {name: sections(inner) for name, inner in tree.items() if isinstance(inner, dict)}

    a, b, c = sections(a), sections(b), sections(c)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))


@given(st.lists(NAME, min_size=1, max_size=4))
def test_a_place_leads_to_its_names(path: list[str]) -> None:
    assert names(pointer(*path)) == tuple(path)
