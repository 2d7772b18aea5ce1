"""Identities: how a job number, a pilot stamp or a name becomes the id of a stream, and a stream a partition."""

from functools import lru_cache
from uuid import UUID, uuid5

NAMES = UUID("3d1f6f0e-7a52-5f0b-9f0a-2f6f6e696e74")  # namespace of all streams that are named, not numbered
JOB_TAIL = (8 << 76) | (0x001 << 64) | (0b10 << 62)  # UUIDv8, variant 10, kind 1: job
MAX_JOB = (1 << 48) - 1


@lru_cache(maxsize=65_536)  # a batch asks several times for each of its jobs, and making a UUID is slow
def job_stream(job: int) -> UUID:
    """The stream of a job: UUIDv8 with the public job number in its 48 high bits, so no table maps the two."""
    if not 0 < job <= MAX_JOB:
        raise ValueError(f"job numbers lie between 1 and {MAX_JOB}")
    return UUID(int=(job << 80) | JOB_TAIL)


def job_number(stream: UUID) -> int:
    """The public number of the job behind a stream."""
    return stream.int >> 80


def pilot_stream(vo: str, stamp: str) -> UUID:
    """The stream of a pilot; the same stamp in two VOs is two pilots."""
    return uuid5(NAMES, f"pilot/{vo}/{stamp}")


def suspension_stream(vo: str, kind: str, name: str) -> UUID:
    """The stream of what keeps a user, a group or a whole VO from going on."""
    return uuid5(NAMES, f"suspension/{vo}/{kind}/{name}")


def resource_stream(scope: str, kind: str, name: str) -> UUID:
    """The stream of what is said of a resource, in one VO or (scope `""`) in all."""
    return uuid5(NAMES, f"resource/{scope}/{kind}/{name}")


def subject(vo: str, issuer: str, sub: str) -> str:
    """The pseudonym of a person in one VO: what events carry instead of a name."""
    return uuid5(NAMES, f"subject/{vo}/{issuer}/{sub}").hex


def partition(stream: UUID, partitions: int) -> int:
    """The partition of a stream: byte 5, which is the low byte of a job number and random in a hashed id."""
    return stream.bytes[5] % partitions
