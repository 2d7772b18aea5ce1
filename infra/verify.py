"""`spinor verify`: whether the log is what was sealed, and where it is not."""

from collections.abc import AsyncGenerator, Container, Iterable
from contextlib import aclosing
from hashlib import sha256
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from infra.seal import ROW, signed
from infra.store import Connection, Store, table

AHEAD = 2000  # rows fetched at once
ROWS = f"select position, vo, {ROW} as bytes from {{log}} where $1::text = '' or vo = $1 order by position"
SEALS = "select * from seals where log = $1 and ($2::text = '' or vo = $2) order by last"
ANCHORS = """select a.*, s.digest from anchors a left join seals s on s.log = a.log and s.last = a.last and s.vo = a.vo
    where $1::text = '' or a.vo = $1 order by a.log, a.last"""
HEAD = "select coalesce(max(last), 0) from seals where log = $1"


class Fault(NamedTuple):
    """Events of a VO, at the positions `first` to `last`, that are not what was sealed or signed, and how."""

    log: str
    vo: str
    first: int
    last: int
    problem: str


class Chain(NamedTuple):
    """One chain that was walked: how many events are under how many seals, and how many wait for theirs."""

    log: str
    vo: str
    events: int
    seals: int
    waiting: int
    last: int
    digest: str


class Report(Struct, frozen=True):
    """What was found; the first fault of each log is the one to look at."""

    chains: list[Chain]
    signatures: int
    faults: list[Fault]


class Walk:
    """One chain on its way along the log: the digest so far, and the rows since the last seal."""

    def __init__(self, log: str, vo: str) -> None:
        self.log, self.vo = log, vo
        self.digest = sha256(f"{log}/{vo}".encode()).digest()
        self.hash = sha256(self.digest)
        self.events = self.seals = self.last = self.rows = self.first = 0

    def take(self, position: int, bytes_: bytes) -> None:
        """The next row."""
        self.hash.update(bytes_)
        self.first = self.first or position
        self.rows += 1

    def close(self, seal: Any) -> Fault | None:
        """The seal over the rows since the last one; a fault when they are not those that were sealed."""
        same = self.hash.digest() == seal["digest"] and self.rows == seal["events"]
        found = None if same else _changed(self, seal)
        self.digest, self.last = seal["digest"], seal["last"]
        self.events += seal["events"]
        self.seals += 1
        self.hash = sha256(self.digest)
        self.rows = self.first = 0
        return found

    def chain(self) -> Chain:
        """What is known at the end."""
        return Chain(self.log, self.vo, self.events, self.seals, self.rows, self.last, self.digest.hex())


async def verify(store: Store, logs: Iterable[str], keys: Container[str], vo: str = "") -> Report:
    """Walk the logs, of one VO or of all, against their seals; `keys` are the public keys (hexadecimal) to trust.

    All of it is one state of the database, and nothing waits for it.
    """
    async with store.pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        chains: list[Chain] = []
        faults: list[Fault] = []
        for log in sorted(logs):
            walked, found = await _log(connection, log, vo)
            chains += walked
            faults += found
        anchors = await connection.fetch(ANCHORS, vo)
        faults += [fault for anchor in anchors if (fault := _anchor(anchor, keys))]
        return Report(chains, len(anchors), faults)


async def _log(connection: Connection, log: str, vo: str) -> tuple[list[Chain], list[Fault]]:
    walks: dict[str, Walk] = {}
    faults: list[Fault] = []
    async for vo_, row, seal in _merged(connection, log, vo):
        walk = walks.setdefault(vo_, Walk(log, vo_))
        if seal is not None and (fault := walk.close(seal)):
            faults.append(fault)
        elif row is not None:
            walk.take(row["position"], row["bytes"])
    head = await connection.fetchval(HEAD, log)
    faults += [
        Fault(log, walk.vo, walk.first, head, "inserted: no seal covers them, though later events are sealed")
        for walk in walks.values() if walk.rows and walk.first <= head
    ]  # fmt: skip
    return [walk.chain() for walk in walks.values()], sorted(faults, key=lambda fault: fault.first)


async def _merged(connection: Connection, log: str, vo: str) -> AsyncGenerator[tuple[str, Any, Any]]:
    """Rows in order of position, and each seal as soon as every row up to its last one has come."""
    seals = aclosing(_stream(connection, SEALS, log, vo))
    rows = aclosing(_stream(connection, ROWS.format(log=table(log)), vo))
    async with seals as later, rows as each:
        seal = await anext(later, None)
        async for row in each:
            while seal is not None and seal["last"] < row["position"]:
                yield seal["vo"], None, seal
                seal = await anext(later, None)
            yield row["vo"], row, None
        while seal is not None:
            yield seal["vo"], None, seal
            seal = await anext(later, None)


async def _stream(connection: Connection, query: str, *arguments: Any) -> AsyncGenerator[Any]:
    async for row in connection.cursor(query, *arguments, prefetch=AHEAD):
        yield row


def _changed(walk: Walk, seal: Any) -> Fault:
    problem = "changed"
    if walk.rows != seal["events"]:
        problem = f"{walk.rows} events where {seal['events']} were sealed"
    return Fault(walk.log, walk.vo, min(walk.first or seal["first"], seal["first"]), seal["last"], problem)


def _anchor(anchor: Any, keys: Container[str]) -> Fault | None:
    log, vo, last = anchor["log"], anchor["vo"], anchor["last"]
    if anchor["digest"] is None:
        return Fault(log, vo, last, last, "the seal that was signed is gone")
    if anchor["key"] not in keys:
        return Fault(log, vo, last, last, f"signed by a key that is not trusted here: {anchor['key']}")
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(anchor["key"]))
        key.verify(anchor["signature"], signed(log, vo, last, anchor["digest"]))
    except (InvalidSignature, ValueError):
        return Fault(log, vo, 1, last, "the signature is not one of this seal")
    return None
