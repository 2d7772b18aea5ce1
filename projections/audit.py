"""What happened to people's access, one sentence an event."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from domain.attempt import Attempt
from domain.errors import Code
from domain.keyring import Keyring
from domain.messages import Event, Recorded
from domain.session import Session
from domain.suspension import Suspension
from projections.history import Line, Names, Sentences, sentence

KINDS: dict[str, tuple[type[Event], ...]] = {
    "logins": (Session.Opened,),
    "refusals": (Attempt.Refused,),
    "tokens": (Session.Opened, Session.Refreshed, Keyring.Rotated),
    "revocations": (Session.Ended, Suspension.Suspended, Suspension.Resumed),
}
TOPICS = {kind: tuple(event.TOPIC for event in events) for kind, events in KINDS.items()}
ALL = tuple(sorted({topic for topics in TOPICS.values() for topic in topics}))
HIDDEN = frozenset({"request", "sub"})  # half of what a lost answer is asked again with; the provider's own name
ENDS = {
    "logout": "its owner logged out", "revoked": "it was revoked", "suspended": "its owner was suspended",
    "reuse": "a used refresh token came again, so somebody may have copied it",
}  # fmt: skip


class Sought(NamedTuple):
    """Which events are asked for. `subject`: what concerns one person; `after`: a position, oldest first from there."""

    vos: tuple[str, ...]
    topics: tuple[str, ...] = ALL
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None
    after: int = 0
    limit: int = 100


def _opened(facts: Session.Opened) -> str:
    more = f" with {', '.join(facts.asked)}" if facts.asked else ""
    return f"{facts.name} logged in ({facts.how}) as {facts.group}{more}, until {facts.until:%Y-%m-%d %H:%M} UTC"


def _refused(facts: Attempt.Refused) -> str:
    known = {code.slug for code in Code}
    why = facts.code.replace("-", " ") if facts.code in known else "an unknown reason"
    source = f", from {facts.source}" if facts.source else ""
    return f"a {facts.what.replace('-', ' ')} was refused: {why}{source}"


def _suspended(facts: Suspension.Suspended) -> str:
    until = f" until {facts.until:%Y-%m-%d %H:%M} UTC" if facts.until else ""
    return f"{facts.kind} {facts.label or facts.name} was suspended{until}: {facts.reason}"


def _resumed(facts: Suspension.Resumed) -> str:
    return f"{facts.kind} {facts.name} may go on" + (f": {facts.reason}" if facts.reason else "")


SENTENCES: Sentences = {
    Session.Opened: _opened,
    Session.Refreshed: lambda facts: f"new tokens were given out (number {facts.generation} of the session)",
    Session.Ended: lambda facts: f"the session ended: {ENDS.get(facts.reason, facts.reason)}",
    Attempt.Refused: _refused,
    Keyring.Rotated: lambda facts: f"tokens are signed with key {facts.current}",
    Suspension.Suspended: _suspended,
    Suspension.Resumed: _resumed,
}


def told(events: Sequence[Recorded[Event]], names: Names) -> list[Line]:
    """The lines of these events, in their order, without what is nobody's business."""
    said = (sentence(event, names, SENTENCES) for event in events)
    return [line._replace(fields=_shown(line.fields)) for line in said]


def _shown(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in HIDDEN}
