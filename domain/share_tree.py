"""The tree of shares (VO, group, owner) with the queues below each node in which something waits."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from math import floor

from domain.shares import Person, Shares

Path = tuple[str, ...]


class Node:
    """A VO, a group or an owner; `bits` are its queues in which something waits."""

    __slots__ = ("_asked", "_changed", "_needs", "_order", "below", "bits", "path")

    def __init__(self, path: Path = ()) -> None:
        self.path = path
        self.bits = 0
        self.below: dict[str, Node] = {}
        self._asked: object = None  # the second for which the order is kept
        self._needs: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []
        self._changed: set[str] = set()

    @property
    def person(self) -> Person:
        """Whose queues, at a leaf."""
        return Person(*self.path)

    def changed(self, name: str) -> None:
        """The use of one below is another; who only has jobs that run need not be there."""
        if self._asked is not None and name in self.below:
            self._changed.add(name)

    def in_turn(self, shares: Shares, weights: "Weights", now: float) -> Iterator["Node"]:
        """Those below, who has had least of their share first."""
        if len(self.below) > 1:
            self._sort(shares, weights, now)
            return (self.below[name] for _, name in self._order)
        return iter(self.below.values())

    def _sort(self, shares: Shares, weights: "Weights", now: float) -> None:
        """As of this second; within it only what changed is put elsewhere."""
        asked = (floor(now), weights.known)
        names = self.below if self._asked != asked else self._changed
        paths = ((*self.path, name) for name in names)
        found = zip(shares.needs([(path, weights.of(path)) for path in paths], now), names, strict=True)
        if self._asked != asked:
            self._asked, self._order = asked, sorted(found)
            self._needs = {name: need for need, name in self._order}
        else:
            self._move(found)
        self._changed.clear()

    def _move(self, found: Iterable[tuple[float, str]]) -> None:
        for need, name in found:
            if (old := self._needs.get(name)) is not None:
                del self._order[bisect_left(self._order, (old, name))]
            self._needs[name] = need
            insort(self._order, (need, name))


class Weights:
    """The share of each node, as the policy has it."""

    def __init__(self) -> None:
        self.known = 0  # how often somebody changed them
        self._said: Mapping[str, float] = {}
        self._weights: dict[Path, float] = {}

    def govern(self, said: Mapping[str, float]) -> None:
        """Other shares are in force."""
        self.known += 1
        self._said, self._weights = said, {}

    def of(self, path: Path) -> float:
        """The share of a VO, a group or an owner; 1 where nobody said anything."""
        if (weight := self._weights.get(path)) is None:
            weight = self._weights[path] = self._said.get("/".join(path), 1.0)
        return weight


class Tree:
    """The nodes from the installation down to the owners."""

    def __init__(self, shares: Shares) -> None:
        self.root = Node()
        self.shares = shares
        self.weights = Weights()

    def home(self, person: Person) -> Node:
        """The leaf of an owner, made when first wanted."""
        node = self.root
        for name in person:
            if name not in node.below:
                node.below[name] = Node((*node.path, name))
                node.changed(name)
            node = node.below[name]
        return node

    def flip(self, leaf: Node, bit: int) -> None:
        """A queue of this owner has something now, or has nothing any more."""
        node = self.root
        for name in leaf.path:
            node = node.below[name]
            node.bits ^= bit

    def run(self, person: Person, cores: int, now: float) -> None:
        """So many cores begin to work for somebody; a negative number ends them."""
        self.shares.run(person, cores, now)
        node: Node | None = self.root
        for name in person:
            if node is None:
                return
            node.changed(name)
            node = node.below.get(name)

    def in_turn(self, node: Node, now: float) -> Iterator[Node]:
        """Those below a node, who has had least of their share first."""
        return node.in_turn(self.shares, self.weights, now)
