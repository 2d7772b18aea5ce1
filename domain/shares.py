"""Who has had how much: core-seconds that fade with time, of VOs, groups and owners, and whose turn it is."""

from collections.abc import Iterable, Iterator
from math import exp, floor, log
from typing import NamedTuple

DAY = 86400.0
REBASE = 30.0  # half-lives of drift before numbers are brought back to a size that floats hold well


class Person(NamedTuple):
    """Whose jobs: a leaf of the tree of shares."""

    vo: str
    group: str
    owner: str

    @property
    def path(self) -> tuple[tuple[str, ...], ...]:
        """The nodes of the tree that its use counts in, the VO first."""
        return ((self.vo,), (self.vo, self.group), (self.vo, self.group, self.owner))


class Account:
    """What one node of the tree has used and uses. `rest` is chosen so that it does not change while `cores` do not.

    Use `u` obeys `du/dt = cores - rate * u`, hence `u(t) = rest * fade(t) + cores / rate`.
    """

    __slots__ = ("cores", "rest")

    def __init__(self) -> None:
        self.rest = 0.0
        self.cores = 0


class Shares:
    """Faded use of everybody. What runs counts `horizon` seconds ahead, so that a burst of offers is shared, too."""

    def __init__(self, half_life: float = DAY, horizon: float = 3600.0) -> None:
        self.rate = log(2) / half_life
        self.ahead = exp(-self.rate * horizon)
        self.accounts: dict[tuple[str, ...], Account] = {}
        self._base = 0.0

    def fade(self, now: float) -> float:
        """How much is left of a core-second since the base; brings the base forward when it is far away."""
        if not self.accounts or self.rate * (now - self._base) > REBASE * log(2):
            old = exp(-min(self.rate * (now - self._base), 700.0))
            for account in self.accounts.values():
                account.rest *= old
            self._base = now
        return exp(-self.rate * (now - self._base))

    def run(self, person: Person, cores: int, now: float) -> None:
        """So many cores begin to work for somebody; a negative number ends them."""
        fade = self.fade(now)
        for key in person.path:
            account = self.accounts.setdefault(key, Account())
            account.cores += cores
            account.rest -= cores / self.rate / fade

    def charge(self, person: Person, core_seconds: float, now: float) -> None:
        """Add use of the past."""
        fade = self.fade(now)
        for key in person.path:
            self.accounts.setdefault(key, Account()).rest += core_seconds / fade

    def used(self, key: tuple[str, ...], now: float) -> float:
        """Core-seconds, faded."""
        fade = self.fade(now)
        account = self.accounts.get(key)
        return account.rest * fade + account.cores / self.rate if account else 0.0

    def needs(self, nodes: Iterable[tuple[tuple[str, ...], float]], now: float) -> list[float]:
        """Of nodes and their shares: the lower the number, the more it is this one's turn. Whole seconds are enough."""
        fade, rate, accounts = self.fade(floor(now)) * self.ahead, self.rate, self.accounts
        return [
            (account.rest * fade + account.cores / rate) / max(share, 1e-9) if (account := accounts.get(key)) else 0.0
            for key, share in nodes
        ]

    def known(self) -> Iterator[tuple[tuple[str, ...], Account]]:
        """Every node with its account."""
        yield from self.accounts.items()
