"""What the matcher keeps for whoever matches next: everybody's use, so that nobody gains by a restart."""

import asyncpg
import pytest

from domain.match_policy import MatchPolicy
from domain.match_state import State, Taken
from domain.matching import Queue
from domain.requirements import Requirements
from domain.shares import Person
from infra.app import CORE
from infra.match_memory import FRESH, keep, loaded
from infra.migrate import migrate

NOW = 1_800_000_000.0
ANN, BOB = Person("x", "g", "ann"), Person("x", "g", "bob")


async def test_the_next_matcher_knows_what_everybody_has_had_without_reading_the_jobs_that_ended(database: str) -> None:
    state, policy = State(), MatchPolicy()
    state.shares.charge(ANN, 100_000, NOW - 7200)
    queue = Queue("q", *ANN[:1], "bob", "g", Requirements())
    state.occupy(Taken(queue, {"site": "s", "ce": "c", "platform": "p"}, 8), NOW - 3600)
    async with asyncpg.create_pool(database, min_size=1) as pool:
        await migrate(pool, CORE)
        await keep(pool, state, NOW)
        soon, late = await loaded(pool, policy, NOW + 60), await loaded(pool, policy, NOW + FRESH + 1)
        other = await loaded(pool, MatchPolicy(half_life=3600.0), NOW + 60)
    for person in (ANN, BOB):
        fade = 2 ** (-60 / policy.half_life)
        expected = state.shares.used(person.path[2], NOW) * fade
        assert soon.shares.used(person.path[2], NOW + 60) == pytest.approx(expected)
        assert soon.shares.used(person.path[0], NOW + 60) > expected / 2
        assert (late.shares.used(person.path[2], NOW), other.shares.used(person.path[2], NOW)) == (0, 0)
