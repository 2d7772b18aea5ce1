"""What must happen next because of an event: every reaction of every policy, without a database."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from scenario import recorded

from domain.bulk_action import BulkAction, DropBulk, GoOnWithBulk, Verb
from domain.errors import Code, Refused
from domain.job import (
    CheckJob,
    CleanJob,
    ExpireJob,
    FreeJob,
    HoldJob,
    Job,
    LoseJob,
    PrioritiseJob,
    QueueJob,
    ReleaseMatch,
    RescheduleJob,
    SettleJob,
    StallJob,
    VacateJob,
)
from domain.messages import Command, Event, Later, Recorded
from domain.operations import Times
from domain.pilot import LosePilot, Pilot
from domain.requirements import Requirements
from domain.taxonomy import PASSING
from domain.values import job_stream, pilot_stream
from handlers import bulk_actions, deadlines, lost_pilots, rescheduling, scheduling
from handlers.policy import Answer, Policy

STREAM = job_stream(42)
ACTION = UUID(int=5)
SUBMITTED = Job.Submitted(42, "ann", "Ann", "user", "digest", Requirements())
RESCHEDULED = Job.Rescheduled(2, 1)
HELD = [{"job": 7, "attempt": 1}, {"job": 8, "attempt": 3}]


def of_job(event: Event) -> Recorded[Any]:
    return recorded(event, STREAM)


def of_pilot(event: Event) -> Recorded[Any]:
    return recorded(event, pilot_stream("lhcb", "p1"))


def reactions(policy: Policy, event: Recorded[Any], **found: Any) -> list[Answer]:
    return list(policy.react(event, {"times": []} | found))


def within(name: str) -> timedelta:
    return deadlines.within([], name)


@pytest.mark.parametrize("event", [SUBMITTED, RESCHEDULED])
def test_an_accepted_job_is_checked_and_queued(event: Event) -> None:
    assert reactions(scheduling.policy, of_job(event)) == [CheckJob(42), QueueJob(42)]


@pytest.mark.parametrize("status", ["Received", "Checking"])
def test_a_job_that_was_held_before_it_waited_goes_on_when_freed(status: str) -> None:
    assert reactions(scheduling.policy, of_job(Job.Freed(1, "user", status))) == [CheckJob(42), QueueJob(42)]


@pytest.mark.parametrize("event", [Job.Freed(1, "user", "Waiting"), Job.Freed(1, "user", "Checking", ("other",))])
def test_freeing_needs_nobody_when_the_job_waits_already_or_is_still_held(event: Event) -> None:
    assert reactions(scheduling.policy, of_job(event)) == []


@pytest.mark.parametrize("code", sorted(PASSING))
def test_a_passing_failure_is_tried_again_after_that_very_attempt(code: str) -> None:
    assert reactions(rescheduling.policy, of_job(Job.Failed(2, code))) == [RescheduleJob(42, code, 2)]


@pytest.mark.parametrize("code", ["exit-code", "memory-limit", "killed", "executable-missing", "waited-too-long"])
def test_what_would_fail_again_is_left_to_its_owner(code: str) -> None:
    assert reactions(rescheduling.policy, of_job(Job.Failed(1, code))) == []


@pytest.mark.parametrize("event", [Pilot.Lost("p1", 1), Pilot.Retired("p1")])
def test_a_pilot_that_is_gone_loses_what_it_held(event: Event) -> None:
    answers = reactions(lost_pilots.policy, of_pilot(event), jobs_of_pilot=HELD)
    assert answers == [LoseJob(7, 1, "pilot-lost", "p1"), LoseJob(8, 3, "pilot-lost", "p1")]


def test_a_pilot_process_that_was_replaced_loses_what_it_held() -> None:
    answers = reactions(lost_pilots.policy, of_pilot(Pilot.Admitted("p1", "b", 2)), jobs_of_pilot=HELD)
    assert answers == [LoseJob(7, 1, "pilot-restarted", "p1"), LoseJob(8, 3, "pilot-restarted", "p1")]


def test_the_first_process_of_a_pilot_replaces_nobody() -> None:
    assert reactions(lost_pilots.policy, of_pilot(Pilot.Admitted("p1", "a", 1)), jobs_of_pilot=HELD) == []


TIMERS: list[tuple[Event, Command, timedelta, bool]] = [
    (SUBMITTED, QueueJob(42), within("scheduled_within"), False),
    (RESCHEDULED, QueueJob(42), within("scheduled_within"), False),
    (Job.Queued("q", "ann", "user", 2), ExpireJob(42, 2), within("matched_within"), False),
    (Job.Held(2, "user", ("user",)), ExpireJob(42, 2), deadlines.FREED_WITHIN, False),
    (Job.Freed(2, "user", "Checking"), QueueJob(42), within("scheduled_within"), False),
    (Job.Matched("p1", UUID(int=1), 2), ReleaseMatch(42, 2), within("confirmed_within"), False),
    (Job.Started(1, 2), StallJob(42, 2), within("silent_for"), True),
    (Job.Resumed(2), StallJob(42, 2), within("silent_for"), True),
    (Job.PayloadEnded(3, 2), StallJob(42, 2), within("silent_for"), True),
    (
        Job.Completed(3, 2, ("r",)),
        SettleJob(42, 2, "requests-failed", "nobody said in time"),
        deadlines.SETTLED_WITHIN,
        False,
    ),
    (Job.Stalled(2), LoseJob(42, 2, "payload-lost"), within("given_up_after"), True),
]


@pytest.mark.parametrize(("event", "command", "delay", "unless_heard"), TIMERS)
def test_every_state_of_a_job_that_is_not_final_names_the_command_that_ends_it(
    event: Event, command: Command, delay: timedelta, unless_heard: bool
) -> None:
    cause = of_job(event)
    silence = delay if unless_heard else None
    assert reactions(deadlines.jobs, cause) == [Later(STREAM, "state", command, cause.at + delay, silence)]


@pytest.mark.parametrize("event", [Job.Done(3, 2), Job.Failed(2, "x"), Job.Killed(2), Job.Settled(2)])
def test_a_job_that_ended_waits_only_for_being_cleaned(event: Event) -> None:
    cause = of_job(event)
    cleaned = Later.after(cause, deadlines.CLEANED_AFTER, "retention", CleanJob(42, 2))
    assert reactions(deadlines.jobs, cause) == [Later(STREAM, "state"), cleaned]


def test_a_deleted_job_waits_for_nothing() -> None:
    assert reactions(deadlines.jobs, of_job(Job.Deleted())) == [Later(STREAM, "state"), Later(STREAM, "retention")]


def test_who_is_killed_holds_its_slot_until_its_pilot_speaks_or_the_time_is_over() -> None:
    cause = of_job(Job.Killed(2, pilot="p1"))
    vacated = Later.after(cause, deadlines.VACATED_WITHIN, "vacate", VacateJob(42, 2))
    assert vacated in reactions(deadlines.jobs, cause)
    assert reactions(deadlines.jobs, of_job(Job.Vacated(2, "confirmed"))) == [Later(STREAM, "vacate")]


def test_a_vo_has_times_of_its_own() -> None:
    times = [{"times": Times(silent_for=60, pilot_expected_within=120)}]
    (silent,) = reactions(deadlines.jobs, of_job(Job.Started(1, 2)), times=times)
    (came,) = reactions(deadlines.pilots, of_pilot(Pilot.Requested("p1", "s")), times=times)
    assert isinstance(silent, Later) and silent.silence == timedelta(seconds=60)
    assert (
        isinstance(came, Later)
        and came.at
        and came.at - of_pilot(Pilot.Requested("p1", "s")).at == timedelta(seconds=120)
    )


def test_a_pilot_must_come_then_be_heard_of() -> None:
    asked, admitted = of_pilot(Pilot.Requested("p1", "s")), of_pilot(Pilot.Admitted("p1", "a", 1))
    came = Later.after(asked, within("pilot_expected_within"), "state", LosePilot("lhcb", "p1"))
    heard = Later.unless_heard(admitted, within("pilot_silent_for"), "state", LosePilot("lhcb", "p1", 1))
    assert reactions(deadlines.pilots, asked) == [came]
    assert reactions(deadlines.pilots, admitted) == [heard]


@pytest.mark.parametrize("event", [Pilot.Retired("p1"), Pilot.Lost("p1")])
def test_a_pilot_that_is_gone_is_not_waited_for(event: Event) -> None:
    assert reactions(deadlines.pilots, of_pilot(event)) == [Later(pilot_stream("lhcb", "p1"), "state")]


QUIET = {Job.Checked, Job.Located, Job.Released, Job.Prioritised, Job.Late, Job.Progressed, Job.Described}
QUIET |= {Pilot.Started}


def test_only_events_that_change_no_state_alone_have_no_deadline() -> None:
    """Checked and Released are followed by Queued in the same or the next decision; the others change no state."""
    watched = deadlines.jobs.topics | deadlines.pilots.topics
    every = {*Job.events().values(), *Pilot.events().values()}
    assert {event for event in every if event.TOPIC not in watched} == QUIET


def test_a_policy_collects_unions_and_fetches_only_the_lookups_an_event_needs() -> None:
    policy = Policy("p", "jobs")

    @policy
    def on_either(event: Recorded[Job.Done | Job.Failed]) -> Iterator[Answer]:
        yield CheckJob(1)

    @policy
    def on_failed(event: Recorded[Job.Failed], rows: Any) -> Iterator[Answer]:
        yield QueueJob(len(rows))

    assert policy.topics == {"job.done", "job.failed"}
    assert policy.lookups(of_job(Job.Done(1, 1))) == set()
    assert policy.lookups(of_job(Job.Failed(1, "x"))) == {"rows"}
    assert reactions(policy, of_job(Job.Failed(1, "x")), rows=[1, 2]) == [CheckJob(1), QueueJob(2)]
    assert reactions(policy, of_job(Job.Checked())) == []


def test_a_part_of_a_bulk_action_reaches_each_job_and_asks_for_the_next_part() -> None:
    part = BulkAction.Part(ACTION, Verb.PRIORITY, (7, 8), 2, values=(9, 3))
    cause = recorded(part, ACTION)
    on = GoOnWithBulk(ACTION, 2)
    later = Later.after(cause, bulk_actions.CARRIED_ON_WITHIN, "state", on)
    assert reactions(bulk_actions.policy, cause) == [PrioritiseJob(7, 9), PrioritiseJob(8, 3), on, later]


@pytest.mark.parametrize(
    ("verb", "back"),
    [
        (Verb.HOLD, FreeJob(7, "user")),
        (Verb.RELEASE, HoldJob(7, "user", "undone: why")),
        (Verb.KILL, RescheduleJob(7, "undone: why")),
    ],
)
def test_what_is_undone_is_the_opposite(verb: Verb, back: Command) -> None:
    part = BulkAction.Part(ACTION, verb, (7,), 1, "why", undoing=True)
    assert reactions(bulk_actions.policy, recorded(part, ACTION))[0] == back


def test_a_plan_is_confirmed_in_time_and_what_is_over_waits_for_nothing() -> None:
    planned = recorded(BulkAction.Planned(Verb.KILL, (7,)), ACTION)
    drop = Later.after(planned, bulk_actions.CONFIRMED_WITHIN, "state", DropBulk(ACTION))
    assert reactions(bulk_actions.policy, planned) == [drop]
    for over in (BulkAction.Finished(), BulkAction.Dropped()):
        assert reactions(bulk_actions.policy, recorded(over, ACTION)) == [Later(ACTION, "state")]


def test_parts_of_a_policy_are_joined_and_stay_what_they_are() -> None:
    part = Policy(rescheduling.policy.name, log="jobs")

    @part
    def forget(event: Recorded[Job.Failed]) -> Iterator[Command]:
        yield DropBulk(ACTION)

    failed = of_job(Job.Failed(1, next(iter(PASSING))))
    alone = reactions(rescheduling.policy, failed)
    assert reactions(rescheduling.policy | part, failed) == [*alone, DropBulk(ACTION)]
    assert (reactions(rescheduling.policy, failed), reactions(part, failed)) == (alone, [DropBulk(ACTION)])
    with pytest.raises(Refused) as refused:
        part | scheduling.policy
    assert refused.value.code is Code.SYSTEM
