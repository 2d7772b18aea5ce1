"""What keeps places and people from jobs whatever they ask for: statuses of resources, suspensions, and the breaker."""

import structlog

from domain.breaker import Breaker
from domain.match_state import State, Taken
from domain.matching import Obstacle, Offer
from domain.resource import ResourceKind
from domain.shares import Person
from domain.usable import Place, places
from infra.resources import Resources
from infra.suspensions import Suspensions

SMALL = frozenset({ResourceKind.NODE, ResourceKind.PILOT})
PROBES = 2  # jobs at once where it is being found out whether all is well again
log_ = structlog.get_logger("spinor.matcher")


class Guard:
    """Asked before a choice, told of every match and end."""

    def __init__(self, resources: Resources, suspensions: Suspensions) -> None:
        self.resources = resources
        self.suspensions = suspensions
        self.breaker = Breaker()
        self._said = self._named()
        resources.on_change(self._forgive)

    def watch(self, state: State) -> None:
        """This state is asked from now on."""
        state.suspended = self._suspended
        state.told = self._told
        state.doubtful = self._doubtful
        state.barrier = lambda offer, vo, moment: self._barrier(state, offer, vo, moment)

    def _told(self, offer: Offer, vo: str) -> dict[str, str]:
        """Who introduced what keeps this place from jobs, since when, why, and by which event."""
        standing_ = self.resources.usable(vo, standing(offer)).standing
        if standing_ is None:
            return {"what": f"{offer.pilot or offer.host}, where jobs failed at once"}
        since = standing_.since.isoformat() if standing_.since else ""
        status = f"{standing_.kind.value} {standing_.name} is {standing_.status.value}"
        return {"what": status, "rule": f"{standing_.kind.value} {standing_.name}", "detail": standing_.reason,
                "by": standing_.author, "since": since, "event": str(standing_.event or "")}  # fmt: skip

    def _doubtful(self) -> set[str]:
        """The pilots and nodes of which anything is known."""
        return self.breaker.suspects() | self._named()

    def _named(self) -> set[str]:
        return {name for _, kind, name, _ in self.resources.statuses if kind in SMALL}

    def _forgive(self) -> None:
        """Whoever is allowed again begins anew."""
        before, self._said = self._said, self._named()
        for name in before - self._said:
            self.breaker.forgive(name)

    def _suspended(self, person: Person) -> bool:
        return self.suspensions.of(person.vo, person.owner, person.group) is not None

    def _barrier(self, state: State, offer: Offer, vo: str, moment: float) -> Obstacle | None:
        if not self.breaker.allows(offer, moment):
            return Obstacle.FAILING
        found = self.resources.usable(vo, standing(offer))
        if not found.ok or (found.probing and found.standing and self._probed(state, found.standing.name, offer)):
            return Obstacle.RESOURCE
        return None

    def _probed(self, state: State, name: str, offer: Offer) -> bool:
        """Whether as many jobs as may are at a place that is being probed."""
        names = dict.fromkeys(name_ for _, name_ in standing(offer) if name_ == name)
        return any(state.crowd[each] >= PROBES for each in names)

    def began(self, taken: Taken) -> None:
        """A job was given."""
        self.breaker.began(taken.person, taken.pilot, taken.where["site"], taken.host, taken.since)

    def ended(self, taken: Taken, well: bool | None, moment: float) -> None:
        """A job left its place: it ended well, failed, or (None) neither."""
        place = (taken.pilot, taken.where["site"], taken.host)
        if well:
            self.breaker.lived(*place)
        elif well is not None:
            for trip in self.breaker.failed(taken.person, *place, taken.since, moment):
                log_.warning("everything fails", kind=trip.kind, name=trip.name, reason=trip.reason)


def standing(offer: Offer) -> list[Place]:
    """The places an offer comes from."""
    return places(offer.site, offer.ce, "", offer.host, offer.pilot)
