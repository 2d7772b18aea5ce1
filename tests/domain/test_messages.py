"""Identities, and what an aggregate knows of itself."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Blank, Code, Refused
from domain.job import Job, SubmitJob
from domain.messages import Aggregate, Event, reaction_id
from domain.pilot import Pilot
from domain.values import MAX_JOB, job_number, job_stream, partition, subject


@given(st.integers(1, MAX_JOB))
def test_a_job_number_is_read_off_its_stream(job: int) -> None:
    stream = job_stream(job)
    assert job_number(stream) == job
    assert (stream.version, stream.variant) == (8, "specified in RFC 4122")


@given(st.integers(1, MAX_JOB - 1))
def test_streams_of_jobs_lie_in_the_order_of_their_numbers(job: int) -> None:
    assert job_stream(job).bytes < job_stream(job + 1).bytes


@pytest.mark.parametrize("job", [0, -1, MAX_JOB + 1])
def test_a_number_that_no_job_can_have_has_no_stream(job: int) -> None:
    with pytest.raises(ValueError, match="job numbers lie between"):
        job_stream(job)


@given(st.integers(1, MAX_JOB - 16))
def test_sixteen_jobs_in_a_row_lie_in_sixteen_partitions(job: int) -> None:
    assert len({partition(job_stream(n), 16) for n in range(job, job + 16)}) == 16


def test_a_person_has_another_pseudonym_in_each_vo() -> None:
    assert subject("lhcb", "https://idp", "1") != subject("belle", "https://idp", "1")


def test_a_reaction_has_the_same_id_at_every_replay_and_no_other_has_it() -> None:
    cause = UUID(int=1)
    assert reaction_id(cause, "scheduling", 0) == reaction_id(cause, "scheduling", 0)
    assert len({reaction_id(cause, name, n) for name in ("a", "b") for n in range(2)}) == 4


@pytest.mark.parametrize("aggregate", [Job, Pilot])
def test_topics_of_an_aggregate_begin_with_its_own(aggregate: type[Aggregate]) -> None:
    topics = [*aggregate.events(), *(command.TOPIC for command in aggregate.decisions())]
    assert all(topic.startswith(f"{aggregate.TOPIC}.") for topic in topics)
    assert len(set(topics)) == len(topics)


def test_events_are_found_where_they_are_written_and_commands_by_the_decision_on_them() -> None:
    assert Job.events()["job.submitted"] is Job.Submitted
    assert Job.decisions()[SubmitJob] == "submit"
    assert all(issubclass(event, Event) for event in Job.events().values())


@pytest.mark.parametrize("code", Code)
def test_every_code_is_found_by_its_slug_and_says_what_who_and_next(code: Code) -> None:
    assert Code.of(code.slug) is code
    assert all([code.value.what, code.value.who, code.value.next])


def test_a_code_of_a_newer_release_is_broken_and_a_missing_parameter_is_shown_by_its_name() -> None:
    assert Code.of("from-the-future") is Code.BROKEN
    assert str(Refused(Code.JOB_UNKNOWN)) == "there is no job {job}"
    assert "{x}".format_map(Blank(x=1)) == "1"
