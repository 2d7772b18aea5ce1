"""Every process, the broker and the database killed for real while jobs flow: nothing is lost, nothing doubled.

FAULTS_SEED repeats a run, FAULTS_LONG=n makes each storm n times as long, FAULTS_RATE says how
many jobs come a second (two free cores take 200).
"""

import asyncio
import random

import pytest
from servers import PostgreSQL, RabbitMQ
from system.fleet import PARTS, Fleet
from system.storms import SECONDS, Fault, judged, storm

pytestmark = [pytest.mark.servers, pytest.mark.slow]


@pytest.mark.timeout(240)
async def test_every_part_is_killed_while_jobs_flow(fleet: Fleet, chance: random.Random, long: int) -> None:
    victims = list(PARTS) * long
    chance.shuffle(victims)

    def killing(name: str) -> Fault:
        async def kill() -> None:
            fleet.parts[name].kill()

        return kill

    user, pilots = await storm(fleet, chance, SECONDS * long, [killing(name) for name in victims])
    assert all(part.killed == long for part in fleet.parts.values())
    await judged(fleet, user, pilots)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("server", ["rabbitmq", "postgres"])
async def test_a_server_is_killed_while_jobs_flow(
    fleet: Fleet, chance: random.Random, long: int, server: str, postgres_server: PostgreSQL, rabbitmq_server: RabbitMQ
) -> None:
    victim = postgres_server if server == "postgres" else rabbitmq_server

    async def crash() -> None:
        await asyncio.to_thread(victim.kill)
        await asyncio.to_thread(victim.start)

    user, pilots = await storm(fleet, chance, SECONDS * long, [crash] * (2 if server == "postgres" else 1) * long)
    await judged(fleet, user, pilots)
