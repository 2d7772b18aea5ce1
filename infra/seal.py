"""The hash chain of each VO: final events are sealed just after their commit, and now and then a seal is signed.

A seal is sha256(the digest before ‖ the rows), the rows in order of position and each as ROW says, so every byte of
every stored column counts, the sealed fields of forgotten persons too (their bytes stay). The first
digest of a chain is sha256 of `<log>/<VO>`. An anchor is an Ed25519 signature over a seal: whoever rewrites the log
and its seals cannot sign anew. `infra.verify` checks all of it.
"""

import asyncio
from collections.abc import Iterable

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.complaints import Complaint
from infra.leader import leading
from infra.settings import Settings
from infra.store import TROUBLE, Connection, Store, table
from infra.tokens import derived, installation_secret

LOOK = 1.0  # seconds between looks: so long an event may stay unsealed
MOST = 1000  # events under one seal: a fault is narrowed down to as many, and the server works in its caches
ANCHORED = 60.0  # seconds between signatures

# Everything but `tx`, which is bookkeeping of the server and another one after a restore. What has no fixed length, or
# may be missing, stands after its length (-1: missing): no byte can move to the next column. Cheaper than record_send.
TEXT = "int4send(octet_length({0})) || textsend({0})"
MAYBE = "coalesce(int4send(16) || uuid_send({0}), int4send(-1))"
ROW = " || ".join([
    "int8send(position)", "uuid_send(stream_id)", "int4send(version)", "int2send(schema_version)",
    "timestamptz_send(recorded_at)", "uuid_send(event_id)", MAYBE.format("cause_id"), MAYBE.format("correlation_id"),
    TEXT.format("topic"), TEXT.format("actor"), TEXT.format("vo"),
    f"coalesce({TEXT.format('token')}, int4send(-1))", TEXT.format("data"),
])  # fmt: skip
# The next positions from the first that exists: a bare limit would sort all that waits, each time.
SEAL = f"""with head as materialized (select position from log_heads where log = $3),
    start as materialized (select min(position) as position from {{log}}
        where position > (select coalesce(max(last), 0) from seals where log = $1)),
    folded as (select vo, min(position) as first, max(position) as last, count(*)::int as events,
                      string_agg({ROW}, '' order by position) as rows from {{log}}
        where position >= (select position from start) and position < (select position from start) + $2::int
          and position <= (select position from head) group by vo)
    insert into seals (log, vo, first, last, events, digest)
    select $1, f.vo, f.first, f.last, f.events, sha256(coalesce(
        (select digest from seals s where s.log = $1 and s.vo = f.vo order by s.last desc limit 1),
        sha256(convert_to($1 || '/' || f.vo, 'UTF8'))) || f.rows)
    from folded f returning log, vo, last, digest, events"""
SIGN = """insert into anchors (log, vo, last, key, signature)
    select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bytea[]) on conflict do nothing"""
log_ = structlog.get_logger("spinor.seal")


class Sealer:
    """Seals all logs of a database; one leader at a time, however many run."""

    def __init__(self, store: Store, logs: Iterable[str], key: Ed25519PrivateKey) -> None:
        self.store = store
        self.logs = sorted(logs)
        self.key = key
        self._unsigned: dict[tuple[str, str], tuple[int, bytes]] = {}  # the newest seal of each chain
        self._signed_at = -ANCHORED
        self._trouble = Complaint(log_, "sealing pauses")

    async def run(self) -> None:
        """Lead when nobody else does, until cancelled; survives a database that is away for a while."""
        while True:
            try:
                async with leading(self.store.pool, "seal") as connection:
                    while True:
                        await self._round(connection)
                        self._trouble.over()
                        await asyncio.sleep(LOOK)
            except TROUBLE as fault:
                self._trouble.about(fault)
                await asyncio.sleep(LOOK)

    async def seal(self, connection: Connection) -> int:
        """Seal everything that is final; how many events that was."""
        count = 0
        for log in self.logs:
            statement = SEAL.format(log=table(log))
            while rows := await connection.fetch(statement, log, MOST, table(log)):
                count += sum(row["events"] for row in rows)
                self._unsigned |= {(log, row["vo"]): (row["last"], row["digest"]) for row in rows}
        return count

    async def sign(self, connection: Connection) -> None:
        """Sign the newest seal of every chain that grew; each signature covers all that came before."""
        if self._unsigned:
            seals = [(log, vo, last, digest) for (log, vo), (last, digest) in self._unsigned.items()]
            logs, vos, lasts, _ = map(list, zip(*seals, strict=True))
            signatures = [self.key.sign(signed(*seal)) for seal in seals]
            await connection.execute(SIGN, logs, vos, lasts, [public(self.key)] * len(seals), signatures)
            self._unsigned.clear()

    async def _round(self, connection: Connection) -> None:
        await self.seal(connection)
        now = asyncio.get_running_loop().time()
        if self._unsigned and now - self._signed_at > ANCHORED:
            await self.sign(connection)
            self._signed_at = now


def signed(log: str, vo: str, last: int, digest: bytes) -> bytes:
    """What a signature is made over."""
    return f"spinor seal\n{log}\n{vo}\n{last}\n{digest.hex()}\n".encode()


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """The key of this installation."""
    secret = installation_secret(settings.secret.get_secret_value(), settings.data)
    return Ed25519PrivateKey.from_private_bytes(derived(secret, "seals"))


def public(key: Ed25519PrivateKey) -> str:
    """The public half, hexadecimal."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
