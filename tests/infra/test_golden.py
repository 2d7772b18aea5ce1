"""What was ever written is read for ever: golden files of every version of every event and command."""

import re
from pathlib import Path

import msgspec
import pytest
from golden_files import FOLDER, MESSAGES, Golden, golden, path, sample, text

from domain.messages import Command, Event
from infra.app import CORE

FILES = sorted(FOLDER.glob("*.json"))
CODEC = CORE.codec()


def read(file: Path) -> Golden:
    return msgspec.json.decode(file.read_bytes(), type=Golden)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.TOPIC)
def test_every_message_has_a_golden_file_of_its_present_version(kind: type[Event] | type[Command]) -> None:
    assert path(kind).exists(), "run: python tests/golden_files.py, and commit the file"


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.TOPIC)
def test_a_message_is_written_and_read_as_its_golden_file_says(kind: type[Event] | type[Command]) -> None:
    """If this fails you changed what is stored: an event needs a new SCHEMA and an upcaster, a command a new topic."""
    assert read(path(kind)) == golden(kind)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_version_ever_written_is_still_read(file: Path) -> None:
    topic, version = re.fullmatch(r"(.+)\.v(\d+)", file.stem).groups()  # type: ignore[union-attr]
    old = read(file)
    if topic in CODEC.commands:
        assert text(CODEC.command(topic, old.full)) == old.full
        return
    full, least = (CODEC.decode(topic, int(version), body) for body in (old.full, old.least))
    assert type(full) is type(least) is CORE.events[topic]
    if int(version) == full.SCHEMA:
        assert (text(full), text(least)) == (old.full, old.least)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.TOPIC)
def test_a_sample_leaves_no_field_at_its_default(kind: type[Event] | type[Command]) -> None:
    written = msgspec.json.decode(text(sample(kind, every=True)))
    assert written.keys() == set(kind.__struct_fields__)


def test_upcasters_lead_from_every_old_version_to_the_present_one() -> None:
    for event in CORE.events.values():
        assert set(event.UPCASTS) == set(range(1, event.SCHEMA)), event.TOPIC
        for version in range(1, event.SCHEMA):
            assert (FOLDER / f"{event.TOPIC}.v{version}.json").exists(), f"{event.TOPIC} v{version}"
