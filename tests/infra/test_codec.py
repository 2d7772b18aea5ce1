"""Between events and stored text: every version ever written is read, and what cannot be read says so."""

from typing import Any, ClassVar

import msgspec
import pytest
from installation import submitted

from domain.errors import Code, Refused
from domain.job import Job, KillJob
from domain.messages import Event
from infra.app import CORE
from infra.codec import FORGOTTEN, SEAL, Codec


class Moved(Event, frozen=True):
    """An event in its third version: `place` was `site` once, and `distance` had no unit in its name."""

    TOPIC = "thing.moved"
    SCHEMA = 3
    UPCASTS: ClassVar[dict[int, Any]] = {
        1: lambda body: {"place": body.pop("site"), **body},
        2: lambda body: {"metres": body.pop("distance") * 1000, **body},
    }
    place: str
    metres: int = 0


@pytest.fixture
def codec() -> Codec:
    return Codec([Moved, Job.Submitted], [KillJob])


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (1, '{"site":"CERN","distance":2}'),
        (2, '{"place":"CERN","distance":2}'),
        (3, '{"place":"CERN","metres":2000}'),
    ],
)
def test_every_version_is_read_as_the_newest(codec: Codec, version: int, text: str) -> None:
    assert codec.decode("thing.moved", version, text) == Moved("CERN", 2000)
    assert codec.decode("thing.moved", version, text.encode()) == Moved("CERN", 2000)


def test_what_is_written_is_the_newest_version_without_its_defaults(codec: Codec) -> None:
    assert codec.encode(Moved("CERN")) == '{"place":"CERN"}'
    assert codec.decode("thing.moved", 3, codec.encode(Moved("CERN", 5))) == Moved("CERN", 5)


def test_a_field_that_a_later_release_added_does_not_stop_us(codec: Codec) -> None:
    assert codec.decode("thing.moved", 3, '{"place":"CERN","colour":"red"}') == Moved("CERN")


@pytest.mark.parametrize(
    ("topic", "version", "text", "code"),
    [
        ("thing.broken", 1, "{}", Code.TOPIC_UNKNOWN),
        ("thing.moved", 4, '{"place":"CERN"}', Code.VERSION_UNKNOWN),
        ("thing.moved", 0, '{"place":"CERN"}', Code.MALFORMED),
        ("thing.moved", 1, '{"place":"CERN"}', Code.MALFORMED),
        ("thing.moved", 1, "not JSON", Code.MALFORMED),
        ("thing.moved", 3, "not JSON", Code.MALFORMED),
        ("thing.moved", 3, '{"place":7}', Code.MALFORMED),
        ("thing.moved", 3, "{}", Code.MALFORMED),
        ("thing.moved", 3, b'{"place":"\xff"}', Code.MALFORMED),
        ("thing.moved", 2, '["place"]', Code.MALFORMED),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(
    codec: Codec, topic: str, version: int, text: str | bytes, code: Code
) -> None:
    with pytest.raises(Refused) as refusal:
        codec.decode(topic, version, text)
    assert refusal.value.code is code


@pytest.mark.parametrize(
    ("topic", "data", "code"),
    [
        ("job.dance", b"{}", Code.TOPIC_UNKNOWN),
        ("job.kill", b"{}", Code.MALFORMED),
        ("job.kill", b'{"job":"1"}', Code.MALFORMED),
        ("job.kill", b"[", Code.MALFORMED),
        ("job.kill", b'{"job":1,"reason":"\xff"}', Code.MALFORMED),
        ("job.kill", b'{"job":1,"reason":"a\\u0000b"}', Code.MALFORMED),
        ("job.kill", b'{"job":1,"reason":"\\\\\\u0000"}', Code.MALFORMED),
    ],
)
def test_a_command_that_cannot_be_read_is_refused(codec: Codec, topic: str, data: bytes, code: Code) -> None:
    with pytest.raises(Refused) as refusal:
        codec.command(topic, msgspec.Raw(data))
    assert refusal.value.code is code


@pytest.mark.parametrize("data", ['{"job":1,"reason":"r"}', b'{"job":1,"reason":"r"}'])
def test_a_command_is_read(codec: Codec, data: str | bytes) -> None:
    assert codec.command("job.kill", data) == KillJob(1, "r")


def test_a_backslash_before_a_number_is_not_the_character_nul(codec: Codec) -> None:
    assert codec.command("job.kill", rb'{"job":1,"reason":"\\u0000"}') == KillJob(1, r"\u0000")


def test_sealed_fields_leave_only_encrypted_and_open_with_the_right_key(codec: Codec) -> None:
    codec.keys["ann"] = bytes(32)
    text = codec.encode(submitted(1, "ann", "Ann Example"))
    assert "Example" not in text
    read = codec.decode("job.submitted", 1, text)
    assert isinstance(read, Job.Submitted)
    assert read.owner_name.startswith(SEAL)
    assert codec.unseal(read) == submitted(1, "ann", "Ann Example")


@pytest.mark.parametrize("key", [None, bytes(31) + b"x"])
def test_without_the_right_key_a_person_is_forgotten(codec: Codec, key: bytes | None) -> None:
    codec.keys["ann"] = bytes(32)
    read = codec.decode("job.submitted", 1, codec.encode(submitted(1, "ann", "Ann Example")))
    codec.forget(["ann"])
    if key:
        codec.keys["ann"] = key
    assert codec.unseal(read).owner_name == FORGOTTEN  # type: ignore[attr-defined]


def test_a_seal_of_one_person_does_not_open_for_another_with_the_same_key(codec: Codec) -> None:
    codec.keys.update(ann=bytes(32), bob=bytes(32))
    read = codec.decode("job.submitted", 1, codec.encode(submitted(1, "ann", "Ann Example")))
    assert codec.unseal(msgspec.structs.replace(read, owner="bob")).owner_name == FORGOTTEN  # type: ignore[attr-defined]


def test_a_new_key_of_the_same_person_does_not_reuse_what_the_old_one_sealed(codec: Codec) -> None:
    codec.keys["ann"] = bytes(32)
    first = codec.encode(submitted(1, "ann", "Ann Example"))
    codec.keys["ann"] = bytes(31) + b"x"
    second = codec.encode(submitted(1, "ann", "Ann Example"))
    assert codec.unseal(codec.decode("job.submitted", 1, second)) == submitted(1, "ann", "Ann Example")
    assert first != second


def test_nothing_is_sealed_without_a_key(codec: Codec) -> None:
    with pytest.raises(KeyError):
        codec.encode(submitted(1, "ann", "Ann Example"))


def test_what_was_written_in_clear_is_read_in_clear(codec: Codec) -> None:
    assert codec.unseal(submitted(1)) == submitted(1)
    assert codec.unseal(Moved("CERN")) == Moved("CERN")


def test_every_message_of_the_core_has_a_topic_of_its_own() -> None:
    codec = CORE.codec()
    assert len(codec.events) == sum(len(aggregate.events()) for aggregate in CORE.aggregates)
    assert not codec.events.keys() & codec.commands.keys()


def test_what_is_nested_without_end_is_malformed_as_command_and_as_event() -> None:
    codec, deep = CORE.codec(), '{"job":1,"x":' + "[" * 100_000 + "]" * 100_000 + "}"
    for read in (lambda: codec.command("job.kill", deep), lambda: codec.decode("job.done", 1, deep)):
        with pytest.raises(Refused) as refused:
            read()
        assert refused.value.code is Code.MALFORMED
