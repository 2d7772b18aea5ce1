"""A confirmed act on many jobs reaches each of them, a part at a time; a plan that nobody confirms is forgotten."""

from collections.abc import Iterator
from datetime import timedelta

from domain.bulk_action import BulkAction, DropBulk, GoOnWithBulk, Verb
from domain.job import DeleteJob, FreeJob, HoldJob, JobCommand, KillJob, PrioritiseJob, RescheduleJob
from domain.messages import Command, Later, Recorded
from handlers.policy import Policy

CONFIRMED_WITHIN = timedelta(hours=1)
CARRIED_ON_WITHIN = timedelta(minutes=5)
BACK = {Verb.KILL: Verb.RESCHEDULE, Verb.HOLD: Verb.RELEASE, Verb.RELEASE: Verb.HOLD, Verb.PRIORITY: Verb.PRIORITY}

policy = Policy("bulk-actions", log="bulk")


@policy
def forget_in_time(event: Recorded[BulkAction.Planned]) -> Iterator[Later]:
    yield Later.after(event, CONFIRMED_WITHIN, "state", DropBulk(event.stream))


@policy
def act_on_the_part(event: Recorded[BulkAction.Part]) -> Iterator[Command | Later]:
    """Each part asks for the next one; should that be lost, a timer asks again."""
    facts = event.event
    verb = BACK[facts.verb] if facts.undoing else facts.verb
    values = facts.values or (0,) * len(facts.jobs)
    for job, value in zip(facts.jobs, values, strict=True):
        yield _act(verb, job, value, facts)
    on = GoOnWithBulk(facts.action, facts.end, facts.undoing)
    yield on
    yield Later.after(event, CARRIED_ON_WITHIN, "state", on)


@policy
def nothing_to_do(event: Recorded[BulkAction.Finished | BulkAction.Dropped]) -> Iterator[Later]:
    yield Later(event.stream, "state")


def _act(verb: Verb, job: int, value: int, facts: BulkAction.Part) -> JobCommand:
    reason = f"undone: {facts.reason}" if facts.undoing and facts.reason else facts.reason
    acts: dict[Verb, JobCommand] = {
        Verb.KILL: KillJob(job, reason),
        Verb.RESCHEDULE: RescheduleJob(job, reason),
        Verb.DELETE: DeleteJob(job),
        Verb.HOLD: HoldJob(job, facts.code, reason),
        Verb.RELEASE: FreeJob(job, facts.code),
        Verb.PRIORITY: PrioritiseJob(job, value),
    }
    return acts[verb]
