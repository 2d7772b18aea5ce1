"""The library's own tests of a recorder, run on our log, and what it does not ask."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent
from eventsourcing.tests.persistence import AggregateRecorderTestCase as AggregateCase
from eventsourcing.tests.persistence import ApplicationRecorderTestCase as ApplicationCase
from servers import PostgreSQL

from infra.app import CORE
from infra.migrate import migrate
from infra.recorder import LogRecorder

# pytest would collect the library's abstract cases, were they named here as tests
PARTS = [
    (case, name)
    for case in (AggregateCase, ApplicationCase)
    for name in dir(case)
    if name.startswith(("test_", "optional_test_"))
]


async def prepared(url: str) -> None:
    async with asyncpg.create_pool(url, min_size=1) as pool:
        await migrate(pool, CORE)
        await pool.execute("select create_log('log_library', false)")


@pytest.fixture
def url(database: str) -> str:
    asyncio.run(prepared(database))
    return database


@pytest.fixture
def recorder(url: str) -> Iterator[LogRecorder]:
    recorder = LogRecorder(url, "library")
    yield recorder
    recorder.close()


class WithoutIds:
    """A recorder of aggregates alone, which tells no positions."""

    def __init__(self, recorder: LogRecorder) -> None:
        self.recorder = recorder
        self.select_events = recorder.select_events

    def insert_events(self, events: list[StoredEvent]) -> None:
        self.recorder.insert_events(events)


def stored(version: int = 1, topic: str = "t", state: bytes = b"{}", stream: Any = None) -> StoredEvent:
    return StoredEvent(stream or uuid4(), version, topic, state)


def test_the_library_has_the_parts_we_know() -> None:
    assert {name for _, name in PARTS} == {
        "test_insert_and_select", "test_insert_select", "test_performance", "test_concurrent_no_conflicts",
        "test_concurrent_throughput", "optional_test_insert_subscribe",
    }  # fmt: skip


@pytest.mark.parametrize(("case", "name"), PARTS, ids=[f"{case.__name__}.{name}" for case, name in PARTS])
def test_the_librarys_own_test_of_a_recorder_holds(recorder: LogRecorder, case: type[Any], name: str) -> None:
    made = recorder if case is ApplicationCase else WithoutIds(recorder)
    ours = type("Ours", (case,), {"create_recorder": lambda self: made})
    getattr(ours(name), name)()


def test_an_append_that_conflicts_leaves_nothing_and_its_numbers_are_stepped_over(recorder: LogRecorder) -> None:
    first = stored()
    recorder.insert_events([first])
    with pytest.raises(IntegrityError):
        recorder.insert_events([stored(), stored(), first])
    recorder.insert_events([stored(topic="later")])
    assert [found.topic for found in recorder.select_notifications(None, 10)] == ["t", "later"]
    assert recorder.max_notification_id() == 5


def test_what_an_open_transaction_could_precede_is_not_selected_yet(recorder: LogRecorder, url: str) -> None:
    async def held() -> None:
        other = await asyncpg.connect(url)
        async with other.transaction():
            await other.execute(
                "insert into log_library (stream_id, version, topic, schema_version, data, event_id, actor, vo, "
                "recorded_at) values (gen_random_uuid(), 1, 'first', 1, '{}', gen_random_uuid(), 'a', 'v', now())"
            )
            recorder.insert_events([stored(topic="second")])
            assert recorder.select_notifications(None, 10) == []
        await other.close()

    asyncio.run(held())
    seen = [*recorder.select_notifications(None, 10), *recorder.select_notifications(None, 10)]
    assert [found.topic for found in seen[-2:]] == ["first", "second"]


def test_state_that_is_no_text_is_refused_before_anything_is_written(recorder: LogRecorder) -> None:
    with pytest.raises(UnicodeDecodeError):
        recorder.insert_events([stored(), stored(state=b"\xff")])
    assert recorder.max_notification_id() is None


def test_a_recorder_of_a_database_that_is_away_says_so(recorder: LogRecorder, postgres_server: PostgreSQL) -> None:
    postgres_server.kill()
    with pytest.raises(OperationalError):
        recorder.insert_events([stored()])
    postgres_server.start()
    recorder.insert_events([stored()])
    assert len(recorder.select_notifications(None, 10)) == 1


class Site(Aggregate):
    """An aggregate in the library's own style."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.banned = False

    @event("Banned")
    def ban(self) -> None:
        """Take no more jobs."""
        self.banned = True


def test_an_aggregate_of_the_library_lives_in_our_log(recorder: LogRecorder) -> None:
    application = Application[Any](env={"PERSISTENCE_MODULE": "eventsourcing.popo"})
    application.events.recorder = recorder
    site = Site("LCG.CERN.ch")
    site.ban()
    application.save(site)
    found: Site = application.repository.get(site.id)
    assert (found.name, found.banned, found.version) == ("LCG.CERN.ch", True, 2)
    assert recorder.max_notification_id() == 2
