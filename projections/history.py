"""What happened, one sentence an event: who did what, when, because of what."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from domain.job import Job
from domain.messages import Event, Recorded
from domain.pilot import Pilot
from domain.resource import Access, Resource
from projections.failures import failure

Names = Mapping[str, str]  # subjects -> names, ids of events -> what they were
Sentences = Mapping[type[Event], Callable[[Any], str]]
SECRET = frozenset({"secret"})  # fields that no sentence shows, hashed or not


class Line(NamedTuple):
    """One event for people: `what` is a sentence, `fields` hold the same for programs."""

    at: datetime
    actor: str
    what: str
    because: str
    topic: str
    fields: dict[str, Any]


def sentence(event: Recorded[Event], names: Names, sentences: Sentences | None = None) -> Line:
    """The line of an event; what `names` does not know is shown as it is stored. `sentences`: other than SENTENCES."""
    facts: Any = event.event
    saying = (sentences or SENTENCES).get(type(facts))
    what = saying(facts) if saying else f"{facts.TOPIC} was recorded"
    fields = {name: value for name, value in msgspec.to_builtins(facts).items() if name not in SECRET}
    return Line(event.at, actor(event.actor, names), what, _because(event, names), facts.TOPIC, fields)


def lines(events: Iterable[Recorded[Event]], names: Names, sentences: Sentences | None = None) -> list[Line]:
    """The lines of some histories, merged by time; events of one stream keep their order."""
    ordered = _merged(events)
    known = dict(names) | {str(event.id): _short(event) for event in ordered}
    return [sentence(event, known, sentences) for event in ordered]


def _merged(events: Iterable[Recorded[Event]]) -> list[Recorded[Event]]:
    """By time; but clocks of machines differ, and what came later in a stream never moves before its forerunner."""
    latest: dict[UUID, datetime] = {}
    placed = []
    for event in sorted(events, key=lambda event: event.version):
        if isinstance(event.event, Job.Late) and event.event.said_at:  # where it belongs, not where it came
            placed.append((min(event.event.said_at, event.at), event.stream.bytes, event.version, event))
            continue
        latest[event.stream] = max(event.at, latest.get(event.stream, event.at))
        placed.append((latest[event.stream], event.stream.bytes, event.version, event))
    return [event for *_, event in sorted(placed, key=lambda place: place[:3])]


def around(pilot: Sequence[Recorded[Event]], first: datetime, last: datetime | None) -> list[Recorded[Event]]:
    """The part of a pilot's history that concerns a job it had from `first` to `last` (None: still has)."""
    before = [event for event in pilot if event.at <= first]
    during = [event for event in pilot if event.at > first and (last is None or event.at <= last)]
    return before[-2:] + during


def actor(text: str, names: Names) -> str:
    """Who did it, for people."""
    kind, _, who = text.partition(":")
    if kind in ("user", "job"):
        return names.get(who, who) if kind == "user" else "the job"
    return f"{kind} {who}" if who else kind


def _because(event: Recorded[Event], names: Names) -> str:
    cause = names.get(str(event.cause), "") if event.cause else ""
    kind, _, who = event.actor.partition(":")
    if kind == "policy":
        return f"policy {who}, after {cause}" if cause else f"policy {who}"
    if kind == "timer":
        return f"a time limit set at {cause}" if cause else "a time limit"
    if kind == "matcher":
        return "a pilot offered what it needs"
    if kind == "pilot":
        said = getattr(event.event, "said_at", None)
        return f"the pilot's report of {said:%H:%M:%S}" if said else "the pilot's report"
    return f"after {cause}" if cause else "a request"


def _short(event: Recorded[Event]) -> str:
    aggregate, _, verb = event.event.TOPIC.partition(".")
    return f"{aggregate} {verb.replace('-', ' ')}"


def _place(facts: Any) -> str:
    return f" at {facts.site}" if facts.site else ""


def _reason(facts: Any) -> str:
    return f": {facts.reason}" if facts.reason else ""


def _progressed(facts: Job.Progressed) -> str:
    said = ", ".join(text for text in (facts.minor, facts.application) if text)
    return f"the job says: {said}" if said else "the job is alive"


def _described(facts: Job.Described) -> str:
    if outputs := facts.values.get("UploadedOutputData"):
        return f"its output is stored and registered: {', '.join(map(str, outputs))}"
    return f"the job reports {', '.join(facts.values) or 'nothing'}"


def _done(facts: Job.Done) -> str:
    missing = f"; not found: {', '.join(facts.missing)}" if facts.missing else ""
    used = f"{facts.cpu_seconds:.0f} s CPU in {facts.wall_seconds:.0f} s"
    return f"the job is done (exit code {facts.exit_code}, {used}){missing}"


def _failed(facts: Job.Failed) -> str:
    what, _, _ = failure(facts.code, exit_code=facts.exit_code)
    detail = f" ({facts.detail})" if facts.detail else ""
    return f"attempt {facts.attempt} failed: {what}{detail}"


def _late(facts: Job.Late) -> str:
    said = ", ".join(text for text in (facts.minor, facts.application, *facts.values) if text)
    return f"a late report says: {said}" if said else "a late report came"


def _settled(facts: Job.Settled) -> str:
    return f"its requests failed: {failure(facts.code)[0]}" if facts.code else "its requests are done"


def _held(facts: Job.Held) -> str:
    detail = f" ({facts.detail})" if facts.detail else ""
    return f"the job is held: {facts.code}{detail}"


def _freed(facts: Job.Freed) -> str:
    left = f"; it is still held: {', '.join(facts.left)}" if facts.left else ""
    return f"the job is not held any more for {facts.code}{left}"


def _status(facts: Resource.StatusSet) -> str:
    until = f" until {facts.until:%Y-%m-%d %H:%M} UTC" if facts.until else ""
    return f"{_resource(facts)} is {facts.status}{until}, was {facts.former}{_reason(facts)}"


def _expired(facts: Resource.StatusExpired) -> str:
    return f"{_resource(facts)} is {facts.status} again: the time of {facts.former} is over"


def _failed_fast(facts: Resource.FailedFast) -> str:
    return (
        f"job {facts.job} failed {facts.seconds:.0f} s after its match at {_resource(facts)}, number {facts.failures}"
    )


def _resource(facts: Any) -> str:
    access = "" if getattr(facts, "access", Access.ALL) is Access.ALL else f" ({facts.access})"
    return f"{facts.kind} {facts.name}{access}" + (f" in {facts.scope}" if facts.scope else "")


def _matched(facts: Job.Matched) -> str:
    return f"pilot {facts.pilot}{_place(facts)} got the job (attempt {facts.attempt})"


SENTENCES: Sentences = {
    Job.Submitted: lambda facts: f"{facts.owner_name} submitted the job “{facts.name}” for group {facts.group}",
    Job.Checked: lambda facts: "nothing speaks against running the job",
    Job.Queued: lambda facts: f"the job waits for a pilot (attempt {facts.attempt}, priority {facts.priority})",
    Job.Held: _held,
    Job.Located: lambda facts: (
        f"its inputs are near {', '.join(facts.sites)}" if facts.sites else "its inputs can be read from everywhere"
    ),
    Job.Freed: _freed,
    Job.Prioritised: lambda facts: f"the job has priority {facts.priority} (before: {facts.former})",
    Job.Matched: _matched,
    Job.Released: lambda facts: f"pilot {facts.pilot} did not confirm the job in time; it waits again",
    Job.Started: lambda facts: f"the program runs on {facts.host or 'an unnamed machine'}",
    Job.Progressed: _progressed,
    Job.Described: _described,
    Job.PayloadEnded: lambda facts: f"the program ended with exit code {facts.exit_code}; its output is being stored",
    Job.Done: _done,
    Job.Failed: _failed,
    Job.Stalled: lambda facts: "nothing was heard of the job for too long",
    Job.Resumed: lambda facts: "the job was heard of again",
    Job.Killed: lambda facts: f"the job was killed{_reason(facts)}",
    Job.Vacated: lambda facts: f"the killed attempt {facts.attempt} holds its place no more ({facts.how})",
    Job.Late: _late,
    Job.Completed: lambda facts: f"the program ended well; {len(facts.pending)} requests are still under way",
    Job.Settled: _settled,
    Job.Rescheduled: lambda facts: f"the job starts again as attempt {facts.attempt}{_reason(facts)}",
    Job.Deleted: lambda facts: "the job was deleted",
    Pilot.Requested: lambda facts: f"pilot {facts.stamp} is expected{_place(facts)}",
    Pilot.Admitted: lambda facts: f"pilot {facts.stamp} proved itself (process {facts.incarnation})",
    Pilot.Started: lambda facts: f"pilot {facts.stamp} works{_place(facts)}",
    Pilot.Retired: lambda facts: f"pilot {facts.stamp} ended{_reason(facts)} after {facts.jobs_run} jobs",
    Resource.StatusSet: _status,
    Resource.StatusExpired: _expired,
    Pilot.Revoked: lambda facts: (
        f"pilot {facts.stamp} was revoked{_reason(facts)}; its secret is good for nothing more"
    ),
    Resource.Swept: lambda facts: f"jobs that waited for {_resource(facts)} were freed, up to {facts.after}",
    Resource.FailedFast: _failed_fast,
    Resource.WorkedAgain: lambda facts: (
        f"job {facts.job} went well at {_resource(facts)}: failures before count no more"
    ),
    Pilot.Lost: lambda facts: f"pilot {facts.stamp} went silent",
}
