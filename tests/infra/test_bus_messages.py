"""Messages become bytes and back without a change, and what cannot be read says so."""

import json
from itertools import pairwise
from uuid import uuid4

import pytest
from bus_stubs import envelope, event, request
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from domain.errors import Code, Refused
from infra.bus.inbox import Programs, read
from infra.bus.messages import (
    KEPT,
    Outcome,
    Outcomes,
    Requests,
    encode,
    genuine,
    kept,
    proven,
    read_envelope,
    read_outcomes,
    read_requests,
)
from infra.bus.packing import announced, fitting, packed
from infra.bus.reading import Reading

KEY = b"k" * 32
PROGRAMS = Programs(frozenset({"job.kill"}))


def test_an_envelope_comes_back_with_the_bytes_of_its_events() -> None:
    sent = envelope(3, 0, 1, 2)
    assert read_envelope(encode(sent)) == sent
    assert b'{"name":  "as it is stored"}' in encode(sent)


def test_an_envelope_is_read_once_for_all_who_get_it_and_forgotten_when_there_is_no_room() -> None:
    first, second = encode(envelope(3, 0, 1, 2)), encode(envelope(4, 0, 1, 2))
    reading = Reading(room=len(first) + 1)
    known = reading.envelope(first)
    assert reading.envelope(bytes(bytearray(first))) is known
    assert reading.envelope(second) == read_envelope(second)
    again = reading.envelope(first)
    assert again is not known and again == known


def test_an_envelope_that_was_changed_on_its_way_is_another_one() -> None:
    sent = proven(envelope(3, 0, 1, 2), KEY)
    reading = Reading()
    assert genuine(reading.envelope(encode(sent)), KEY)
    assert not genuine(reading.envelope(encode(replace(sent, last=sent.last + 1))), KEY)
    with pytest.raises(Refused):
        reading.envelope(encode(sent)[:-1])


def test_requests_and_outcomes_come_back() -> None:
    asked = [request(correlation=uuid4(), rights=["a"]), request(token="t")]
    answered = [Outcome(asked[0].id, False, "job-state", {"job": 1}), Outcome(asked[1].id, True, stream=uuid4())]
    assert read_requests(encode(Requests(asked))) == asked
    assert read_outcomes(encode(Outcomes(answered))) == answered


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"log": 5}', b"null", b'{"requests": [{}]}'])
def test_rubbish_is_malformed(body: bytes) -> None:
    for reader in (read_envelope, read_requests, read_outcomes):
        with pytest.raises(Refused) as caught:
            reader(body)
        assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize("body", [encode(replace(envelope(0, 0, 1), format=2)), b'{"format": 2, "other": "words"}'])
def test_a_body_of_another_version_is_refused_as_such(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        read_envelope(body)
    assert caught.value.code is Code.VERSION_UNKNOWN
    assert caught.value.parameters["version"] == 2


@given(st.integers(1, 40), st.integers(600, 3_000))
def test_an_envelope_is_cut_without_a_gap_or_an_overlap(size: int, limit: int) -> None:
    whole = envelope(0, 5, *range(10, 10 + 2 * size, 2))
    parts = [part for part, _ in fitting(whole, limit)]
    assert all(len(encode(part)) <= limit for part in parts)
    assert (parts[0].previous, parts[-1].last) == (5, whole.last)
    assert all(before.last == after.previous for before, after in pairwise(parts))
    assert [one for part in parts for one in part.events] == whole.events


def test_an_event_too_large_for_any_message_is_left_out_so_that_the_gap_shows() -> None:
    huge = replace(event(12), data=Raw(b'"' + b"x" * 5_000 + b'"'))
    whole = envelope(0, 5, 10, 12, 14)
    parts = [part for part, _ in fitting(replace(whole, events=[whole.events[0], huge, whole.events[2]]), 2_000)]
    mine = 5
    gaps = []
    for part in parts:
        if part.previous > mine:
            gaps.append((mine, part.previous))
        mine = part.last
    assert gaps == [(10, 12)]
    assert mine == 14


@given(st.integers(0, 50), st.integers(1, 10))
def test_commands_are_packed_in_order_within_the_limits(count: int, most: int) -> None:
    asked = [request(number=number) for number in range(count)]
    parts = [part for part, _ in packed(asked, most=most)]
    assert [one for part in parts for one in part] == asked
    assert all(0 < len(part) <= most for part in parts)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a.x", "a.y", "a.z"]), st.sampled_from(["lhcb", "atlas"])))
)
def test_announcements_keep_the_order_of_each_stream_and_lose_nothing(rows: list[tuple[int, str, str]]) -> None:
    streams = [uuid4() for _ in range(4)]
    events = [event(k, streams[one], topic, vo) for k, (one, topic, vo) in enumerate(rows)]
    messages = [(key, json.loads(body)) for key, body in announced(events)]
    flat = [one for _, several in messages for one in several]
    assert all(key == f"{one['vo']}.{one['topic']}" for key, several in messages for one in several)
    for stream in streams:
        ours = [str(one.id) for one in events if one.stream == stream]
        assert [one["id"] for one in flat if one["stream"] == str(stream)] == ours


def test_many_events_of_one_kind_are_few_messages() -> None:
    assert len(announced([event(k) for k in range(1_000)])) == 5


def test_a_dead_letter_keeps_what_a_database_can_hold() -> None:
    text = kept(b"\x00\xff" + b"x" * KEPT)
    assert "\0" not in text
    assert len(text) <= KEPT


def test_a_program_is_known_by_its_user_and_its_vo_may_have_dots() -> None:
    body = json.dumps({"id": str(uuid4()), "data": {"job": 5}}).encode()
    [one] = read("robot", "vo.example.org.job.kill", body, PROGRAMS)
    assert (one.vo, one.topic, one.actor, bytes(one.data)) == (
        "vo.example.org", "job.kill", "program:robot", b'{"job": 5}')  # fmt: skip


def test_who_admits_programs_decides_their_rights() -> None:
    def admit(user: str, vo: str) -> list[str]:
        if vo != "lhcb":
            raise Refused(Code.FORBIDDEN, right=f"membership of {vo}")
        return ["JobAdministrator"]

    body = json.dumps([{"id": str(uuid4())}]).encode()
    programs = Programs(frozenset({"job.kill"}), admit)
    assert read("robot", "lhcb.job.kill", body, programs)[0].rights == ["JobAdministrator"]
    with pytest.raises(Refused):
        read("robot", "atlas.job.kill", body, programs)
