"""Whoever changes the log is found, by the positions of what was changed; nobody else is suspected."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from installation import Installation, fact, on_either, request, submit, submitted
from msgspec.structs import replace

from domain.errors import Refused
from domain.values import job_stream
from infra import admin
from infra.app import CORE
from infra.seal import MOST, Sealer, public
from infra.serve import running
from infra.settings import settings
from infra.verify import Fault, Report, verify

__all__ = ["on_either"]
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
STORED = (
    "position, stream_id, version, schema_version, recorded_at, event_id, cause_id, correlation_id, topic, actor, vo, "
    "token, data"
)
FORMS = {"position": ">q", "version": ">i", "schema_version": ">h"}


class Vault:
    """An installation whose log is sealed, and somebody who may do anything to it."""

    def __init__(self, core: Installation) -> None:
        self.core = core

    async def seal(self, key: Ed25519PrivateKey = KEY, sign: bool = True) -> int:
        """As after a restart: by a sealer that knows nothing yet."""
        await self.core.final("jobs")
        await self.core.final("pilots")
        sealer = Sealer(self.core.store, self.core.system.logs, key)
        async with self.core.pool.acquire() as connection:
            count = await sealer.seal(connection)
            if sign:
                await sealer.sign(connection)
        return count

    async def verify(self, vo: str = "", *keys: Ed25519PrivateKey) -> Report:
        return await verify(self.core.store, self.core.system.logs, {public(key) for key in keys or (KEY,)}, vo)

    async def faults(self) -> list[tuple[str, int, int]]:
        return [(fault.vo, fault.first, fault.last) for fault in (await self.verify()).faults]

    async def skip(self) -> None:
        """Leave a position out, as a transaction that is rolled back does."""
        await self.core.pool.execute("select nextval('log_jobs_position')")

    async def tamper(self, *statements: str) -> None:
        async with self.core.pool.acquire() as connection, connection.transaction():
            await connection.execute("set local session_replication_role = replica")  # no trigger fires
            for statement in statements:
                assert await connection.execute(statement) not in ("UPDATE 0", "DELETE 0", "INSERT 0 0")


@pytest.fixture
async def vault(either: Installation) -> AsyncIterator[Vault]:
    """Three seals: positions 1-4, 5-8 and 9-12; of each four, the VOs lhcb and belle2 have two."""
    vault = Vault(either)
    for start in (1, 5, 9):
        for job in range(start, start + 4):
            event = fact(submitted(job), job, vo="lhcb" if job % 2 else "belle2")
            await either.append(replace(event, correlation=uuid4()))
        assert await vault.seal() == 4
    yield vault


def row_bytes(row: asyncpg.Record) -> bytes:
    """What is sealed of a row, written down a second time: as an auditor without our SQL computes it."""
    return b"".join(_sent(name, value) for name, value in row.items())


def _sent(name: str, value: Any) -> bytes:
    match value:
        case None:
            return struct.pack(">i", -1)
        case int():
            return struct.pack(FORMS[name], value)
        case datetime():
            since = value - datetime(2000, 1, 1, tzinfo=UTC)
            return struct.pack(">q", (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds)
        case UUID() if name in ("stream_id", "event_id"):
            return value.bytes
    data = value.bytes if isinstance(value, UUID) else value.encode()
    return struct.pack(">i", len(data)) + data


async def test_an_untouched_log_verifies(vault: Vault) -> None:
    report = await vault.verify()
    assert report.faults == []
    assert report.signatures == 6
    assert {(c.log, c.vo): (c.events, c.seals, c.waiting, c.last) for c in report.chains} == {
        ("jobs", "lhcb"): (6, 3, 0, 11),
        ("jobs", "belle2"): (6, 3, 0, 12),
    }


async def test_the_digest_is_what_the_description_says(vault: Vault) -> None:
    rows = await vault.core.pool.fetch(f"select {STORED} from log_jobs where vo = 'lhcb' order by position")
    digest = sha256(b"jobs/lhcb").digest()
    for start in (0, 2, 4):
        digest = sha256(digest + b"".join(row_bytes(row) for row in rows[start : start + 2])).digest()
    assert digest.hex() in {chain.digest for chain in (await vault.verify()).chains}


@pytest.mark.parametrize(
    "change",
    [
        "data = overlay(data placing '!' from 20 for 1)",
        "data = data || ' '",
        "actor = 'user:eve'",
        "recorded_at = recorded_at + interval '1 microsecond'",
        "token = ''",
        "topic = topic || 'u', actor = substr(actor, 2)",
        "cause_id = event_id",
        "cause_id = correlation_id, correlation_id = cause_id",
        "topic = 'job.submittee'",
        "schema_version = schema_version + 1",
    ],
)
async def test_a_changed_byte_is_found_between_its_seals(vault: Vault, change: str) -> None:
    await vault.tamper(f"update log_jobs set {change} where position = 7")
    assert await vault.faults() == [("lhcb", 5, 7)]


async def test_a_removed_event_is_found(vault: Vault) -> None:
    await vault.tamper("delete from log_jobs where position = 6")
    (fault,) = (await vault.verify()).faults
    assert fault == Fault("jobs", "belle2", 6, 8, "1 events where 2 were sealed")


async def test_removing_all_events_under_a_seal_is_found(vault: Vault) -> None:
    await vault.tamper("delete from log_jobs where position >= 9 and vo = 'lhcb'")
    assert await vault.faults() == [("lhcb", 9, 11)]


async def test_two_events_that_changed_places_are_found(vault: Vault) -> None:
    await vault.tamper("update log_jobs set position = 12 - position where position in (5, 7)")
    assert await vault.faults() == [("lhcb", 5, 7)]


def slipped(position: int, vo: str) -> str:
    """One more event, a copy of another, in a position that was left out."""
    copied = STORED.replace("position, stream_id", f"{position}, '{job_stream(50)}'::uuid").replace(" vo,", f" '{vo}',")
    return f"insert into log_jobs ({STORED}) select {copied} from log_jobs where position = 6"


@pytest.mark.parametrize(
    ("position", "vo", "found"),
    [
        (13, "lhcb", ("lhcb", 13, 14)),
        (13, "belle2", ("belle2", 13, 17)),
        (13, "nobody", ("nobody", 13, 17)),
        (16, "lhcb", ("lhcb", 16, 17)),
    ],
)
async def test_an_event_slipped_into_a_gap_is_found(
    vault: Vault, position: int, vo: str, found: tuple[str, int, int]
) -> None:
    await vault.skip()
    await vault.core.append(fact(submitted(20), 20, vo="lhcb"), fact(submitted(21), 21, vo="belle2"))
    await vault.skip()
    await vault.core.append(fact(submitted(22), 22, vo="belle2"))
    await vault.seal()
    assert await vault.faults() == []
    await vault.tamper(slipped(position, vo))
    assert await vault.faults() == [found]


async def test_an_event_moved_to_another_vo_is_missed_in_both(vault: Vault) -> None:
    await vault.tamper("update log_jobs set vo = 'belle2' where position = 7")
    assert await vault.faults() == [("lhcb", 5, 7), ("belle2", 6, 8)]


async def test_a_log_rewritten_with_its_seals_does_not_carry_the_signature(vault: Vault) -> None:
    await vault.tamper("update log_jobs set actor = 'user:eve' where position = 7", "delete from seals")
    await vault.seal(sign=False)
    assert {fault.problem for fault in (await vault.verify()).faults} == {
        "the signature is not one of this seal",
        "the seal that was signed is gone",
    }


async def test_a_signature_of_a_stranger_is_not_trusted(vault: Vault) -> None:
    await vault.core.append(fact(submitted(30), 30))
    await vault.seal(OTHER)
    (fault,) = (await vault.verify()).faults
    assert public(OTHER) in fault.problem
    assert (await vault.verify("", KEY, OTHER)).faults == []


async def test_seals_can_be_changed_by_nobody_but_a_superuser(vault: Vault) -> None:
    for table in ("seals", "anchors"):
        for statement in (f"update {table} set last = 1", f"delete from {table}", f"truncate {table}"):
            with pytest.raises(asyncpg.RestrictViolationError):
                await vault.core.pool.execute(statement)


async def test_a_missing_seal_is_found(vault: Vault) -> None:
    await vault.tamper("delete from seals where last = 7")
    assert ("lhcb", 5, 11) in await vault.faults()


async def test_what_is_not_final_yet_waits_for_its_seal(vault: Vault) -> None:
    await vault.core.append(fact(submitted(30), 30))
    sealer = Sealer(vault.core.store, ["jobs"], KEY)
    async with vault.core.pool.acquire() as connection:
        assert await sealer.seal(connection) == 0
    chains = {chain.vo: chain.waiting for chain in (await vault.verify()).chains}
    assert chains == {"lhcb": 1, "belle2": 0}
    assert await vault.seal() == 1
    assert await vault.seal() == 0


async def test_a_forgotten_person_leaves_the_chain_whole(vault: Vault) -> None:
    assert await vault.core.store.forget("ann")
    (told,) = await vault.core.store.history("jobs", job_stream(1))
    assert told.event.owner_name == "(forgotten)"  # type: ignore[attr-defined]
    assert (await vault.verify()).faults == []


async def test_the_chain_goes_on_in_another_epoch(vault: Vault) -> None:
    await vault.core.pool.execute("update installation set epoch = epoch + 1")
    await vault.core.append(fact(submitted(30), 30))
    await vault.seal()
    assert await vault.faults() == []
    await vault.tamper("update log_jobs set data = data || ' ' where position in (1, 13)")
    assert await vault.faults() == [("lhcb", 1, 3), ("lhcb", 13, 13)]


async def test_many_events_are_sealed_in_parts_and_one_vo_can_be_asked_for(vault: Vault) -> None:
    many = range(100, 100 + MOST + 10)
    await vault.core.append(*(fact(submitted(job), job, vo="belle2") for job in many))
    assert await vault.seal() == len(many)
    (chain,) = (await vault.verify("belle2")).chains
    assert (chain.seals, chain.events) == (5, len(many) + 6)
    await vault.tamper("update log_jobs set data = data || ' ' where position = 7")
    assert (await vault.verify("belle2")).faults == []


async def test_the_system_seals_what_it_does_and_the_command_says_so(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = settings(database=database, data=tmp_path)
    async with running(CORE, chosen, ("dispatch", "relay")) as work:
        await work.runtime.bus.request([request(submit(job)) for job in range(1, 6)], 30)
        while not await work.runtime.pool.fetchval("select count(*) from anchors"):
            await asyncio.sleep(0.05)
        assert await admin.verified(CORE, chosen, "", (), False) == 0
        assert "the log is what was sealed" in capsys.readouterr().out
        async with work.runtime.pool.acquire() as connection:
            await connection.execute("set session_replication_role = replica")
            await connection.execute("update log_jobs set data = data || ' ' where position = 3")
    with pytest.raises(Refused, match="events 1 to 5 of lhcb"):
        await admin.verified(CORE, chosen, "", (), False)
    capsys.readouterr()
    assert await admin.verified(CORE, chosen, "lhcb", (), True) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["faults"][0][:4]) == (False, ["jobs", "lhcb", 1, 5])
