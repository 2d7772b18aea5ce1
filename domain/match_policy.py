"""What an installation wants of matching: shares, running limits, delays, platforms; a value, versioned with it."""

from collections.abc import Mapping

from msgspec import Struct

from domain.matching import Offer, Queue

FIELDS = ("site", "ce", "vo", "group", "owner", "job_type", "platform", "tag")
HOUR = 3600.0


class Scope(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which matches a rule is about: all that have these values; `each` names fields whose values count apart."""

    name: str
    site: str = ""
    ce: str = ""
    vo: str = ""
    group: str = ""
    owner: str = ""
    job_type: str = ""
    platform: str = ""
    tag: str = ""
    each: tuple[str, ...] = ()
    by: str = ""  # who introduced it, when, and by which event
    since: str = ""
    event: str = ""

    def covers(self, place: Mapping[str, str], queue: Queue) -> bool:
        """Whether a match of this queue at this place is one of them."""
        wanted = queue.requirements
        return (
            (not self.site or self.site == place["site"])
            and (not self.ce or self.ce == place["ce"])
            and (not self.platform or self.platform == place["platform"])
            and (not self.vo or self.vo == queue.vo)
            and (not self.group or self.group == queue.group)
            and (not self.owner or self.owner == queue.owner)
            and (not self.job_type or self.job_type == wanted.job_type)
            and (not self.tag or self.tag in wanted.tags)
        )

    def key(self, place: Mapping[str, str], queue: Queue) -> tuple[str, ...]:
        """What is counted: the rule, and the values that count apart."""
        return (self.name, *(self._value(field, place, queue) for field in self.each))

    def _value(self, field: str, place: Mapping[str, str], queue: Queue) -> str:
        if field in place:
            return place[field]
        return queue.requirements.job_type if field == "job_type" else str(getattr(queue, field, ""))

    @property
    def about(self) -> str:
        """The values, for people."""
        values = [f"{field} {value}" for field in FIELDS if (value := getattr(self, field))]
        return ", ".join([*values, *(f"each {field}" for field in self.each)]) or "everything"


class RunningLimit(Scope, frozen=True, kw_only=True, omit_defaults=True):
    """At most so many jobs that are matched or run."""

    most: int


class MatchingDelay(Scope, frozen=True, kw_only=True, omit_defaults=True):
    """A pause between matches; `burst` of them may come at once after a longer silence."""

    seconds: float
    burst: int = 1


class MatchPolicy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything about matching that somebody decides.

    `shares` are weights by path: `lhcb`, `lhcb/lhcb_mc`, `lhcb/lhcb_mc/<owner>`. `platforms` says which platforms one
    can run. A job that needs several processors and has waited `reserve_after` seconds may hold back up to
    `reservations` pilots that have enough in all, until they are free for it.
    """

    revision: int = 0
    half_life: float = 24 * HOUR
    horizon: float = HOUR
    shares: Mapping[str, float] = {}
    limits: tuple[RunningLimit, ...] = ()
    delays: tuple[MatchingDelay, ...] = ()
    platforms: Mapping[str, tuple[str, ...]] = {}
    reserve_after: float = 0.25 * HOUR
    reservations: int = 2

    def share(self, path: tuple[str, ...]) -> float:
        """The weight of a VO, a group or an owner; 1 where nobody said anything."""
        return self.shares.get("/".join(path), 1.0)


def place(offer: Offer) -> dict[str, str]:
    """Where an offer comes from, in the words of rules."""
    return {"site": offer.site, "ce": offer.ce, "platform": offer.platform}
