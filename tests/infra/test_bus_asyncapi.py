"""The document other programs are written from."""

import json
import re
from typing import Any, ClassVar
from uuid import UUID

import pytest
from msgspec import Struct

from domain.messages import Command, Event
from infra.bus.asyncapi import document
from infra.bus.asyncapi_page import page


class Needs(Struct):
    processors: int = 1


class Kill(Command, frozen=True):
    """Stop the job & forget it."""

    TOPIC: ClassVar[str] = "job.kill"
    job: int
    needs: Needs | None = None


class Job:
    class Submitted(Event, frozen=True):
        TOPIC: ClassVar[str] = "job.submitted"
        owner: str


class Pilot:
    class Submitted(Event, frozen=True):
        TOPIC: ClassVar[str] = "pilot.submitted"
        stamps: list[UUID]


@pytest.fixture
def written() -> dict[str, Any]:
    return document([Kill], [Pilot.Submitted, Job.Submitted], "amqp://spinor:geheim@bus.example.org/prod")


def test_every_topic_has_a_channel_with_its_exchange_and_an_operation(written: dict[str, Any]) -> None:
    assert written["asyncapi"] == "3.0.0"
    assert set(written["channels"]) == {"job.kill", "job.submitted", "pilot.submitted"}
    exchanges = {topic: one["bindings"]["amqp"]["exchange"]["name"] for topic, one in written["channels"].items()}
    assert exchanges["job.kill"] == "spinor.inbox"
    assert exchanges["job.submitted"] == exchanges["pilot.submitted"] == "spinor.events"
    actions = {name: one["action"] for name, one in written["operations"].items()}
    assert actions == {"publish.job.kill": "receive", "listen.job.submitted": "send", "listen.pilot.submitted": "send"}
    assert written["channels"]["job.kill"]["address"] == "{vo}.job.kill"


def test_the_bodies_are_described_by_topic_and_no_import_path_shows(written: dict[str, Any]) -> None:
    schemas = written["components"]["schemas"]
    assert schemas["job.kill"]["properties"]["job"] == {"type": "integer"}
    assert schemas["job.submitted"]["properties"] == {"owner": {"type": "string"}}
    assert set(schemas) == {"job.kill", "job.submitted", "pilot.submitted", "Needs", "Outcomes", "Outcome"}
    assert "test_bus_asyncapi" not in json.dumps(written)


def test_every_reference_leads_somewhere(written: dict[str, Any]) -> None:
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(written)):
        found: Any = written
        for step in reference.split("/"):
            found = found[step]


def test_the_password_of_the_bus_stays_out(written: dict[str, Any]) -> None:
    assert "geheim" not in json.dumps(written)
    assert written["servers"]["broker"]["host"] == "bus.example.org:5672"


def test_the_page_shows_all_topics_and_fetches_nothing(written: dict[str, Any]) -> None:
    html = page(written)
    assert all(topic in html for topic in written["channels"])
    assert "Stop the job &amp; forget it." in html
    assert not re.search(r"(?:src|href)=[\"'](?!#)|<script|@import|url\(", html)
