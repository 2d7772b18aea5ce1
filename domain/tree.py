"""Documents as trees of plain values: the difference of two, changes applied to one, one laid over another.

A place in a tree is a JSON pointer (RFC 6901), for names of sites and hosts have dots. Trees are never changed in
place: what `applied` gives shares every part that stayed the same, so that readers can tell by identity what is new.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

Tree = dict[str, Any]


class Changes(Struct, frozen=True, omit_defaults=True):
    """What turns one tree into another: places taken away first, then places set."""

    put: dict[str, Any] = {}
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.put or self.removed)

    @property
    def places(self) -> list[str]:
        """Every place that is touched."""
        return sorted({*self.put, *self.removed})


def pointer(*names: str) -> str:
    """The place with these names from the root; the root itself is the empty text."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def names(place: str) -> tuple[str, ...]:
    """The names that lead to a place.

    Raises:
        ValueError: it does not begin with a slash.
    """
    if not place:
        return ()
    if not place.startswith("/"):
        raise ValueError(f"{place} must begin with /")
    return tuple(name.replace("~1", "/").replace("~0", "~") for name in place[1:].split("/"))


def at(tree: Any, place: str) -> Any:
    """What stands at a place; None where nothing does."""
    for name in names(place):
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def difference(old: Tree, new: Tree) -> Changes:
    """The smallest changes that turn `old` into `new`: sections are compared inside, anything else is one value."""
    put: dict[str, Any] = {}
    removed: list[str] = []
    _compare(old, new, (), put, removed)
    return Changes(put, tuple(sorted(removed)))


def _compare(old: Tree, new: Tree, path: tuple[str, ...], put: dict[str, Any], removed: list[str]) -> None:
    for name in old.keys() | new.keys():
        here = (*path, name)
        if name not in new:
            removed.append(pointer(*here))
        elif name not in old:
            if path or not (isinstance(new[name], dict) and new[name]):
                put[pointer(*here)] = new[name]
            else:  # a new section of the root is told part by part: each part may have another owner
                _compare({}, new[name], here, put, removed)
        elif old[name] is new[name]:
            continue
        elif isinstance(old[name], dict) and isinstance(new[name], dict):
            _compare(old[name], new[name], here, put, removed)
        elif not _same(old[name], new[name]):
            put[pointer(*here)] = new[name]


def _same(old: Any, new: Any) -> bool:
    """Equal, also inside lists, and of the same kind: 1, 1.0 and true are three values."""
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(old[name], new[name]) for name in old)
    return type(old) is type(new) and bool(old == new)


def applied(changes: Changes, tree: Tree) -> Tree:
    """The tree after the changes. Sections on the way are made; taking away what is not there is nothing."""
    owned: set[int] = set()
    root = dict(tree)
    owned.add(id(root))
    for place in changes.removed:
        *path, last = names(place)
        if (section := _section(root, path, owned, make=False)) is not None:
            section.pop(last, None)
    for place, value in changes.put.items():
        *path, last = names(place)
        section = _section(root, path, owned, make=True)
        assert section is not None
        section[last] = value
    return root


def _section(root: Tree, path: list[str], owned: set[int], *, make: bool) -> Tree | None:
    """The section at a path, copied on the way unless it was already."""
    section = root
    for name in path:
        inner = section.get(name)
        if not isinstance(inner, dict):
            if not make:
                return None
            inner = {}
        if id(inner) not in owned:
            inner = dict(inner)
            owned.add(id(inner))
            section[name] = inner
        section = inner
    return section


def merged(below: Any, above: Any) -> Any:
    """`above` laid over `below`: sections are joined, any other value of `above` hides the one below."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    if not below or not above:
        return below or above
    joined = dict(below)
    for name, value in above.items():
        joined[name] = merged(below[name], value) if name in below else value
    return joined


def leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is no section, with the names that lead to it; items of lists by their number."""
    if isinstance(tree, dict):
        for name, inner in tree.items():
            yield from leaves(inner, (*path, str(name)))
    elif isinstance(tree, list):
        for number, inner in enumerate(tree):
            yield from leaves(inner, (*path, str(number)))
    else:
        yield path, tree
