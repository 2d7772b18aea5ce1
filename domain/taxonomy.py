"""What kind of trouble a code is, and whether the same may work another time: one closed table for all codes.

A code that is named nowhere here is of the kind that whoever must act suggests, and is not tried again.
"""

from enum import StrEnum

from domain.errors import Who


class Kind(StrEnum):
    """Whose trouble it is."""

    USER = "user"
    SITE = "site"
    STORAGE = "storage"
    SYSTEM = "system"
    POLICY = "policy"


OF_WHO = {Who.USER: Kind.USER, Who.SITE: Kind.SITE, Who.OPERATOR: Kind.SYSTEM, Who.NOBODY: Kind.SYSTEM}
KINDS: dict[Kind, frozenset[str]] = {
    Kind.POLICY: frozenset({
        "job-not-yours", "rescheduled-too-often", "too-many", "too-many-held", "too-large", "sandbox-too-large",
        "forbidden", "suspended", "held-too-long", "waited-too-long", "job-attempt", "job-state",
        "quota", "data-forbidden", "replica-last",
    }),
    Kind.STORAGE: frozenset({
        "objects-away", "objects-refused", "sandbox-unknown", "sandbox-mismatch", "sandbox-download", "sandbox-upload",
        "no-output", "requests-failed", "input-download", "output-upload",
        "input-unavailable", "storage-banned",
        "storage-away", "storage-refused", "se-refuses", "not-stored", "file-lost",
    }),
    Kind.SITE: frozenset({"pilot-lost", "pilot-restarted", "pilot-stopped", "payload-lost", "disk-full"}),
    Kind.USER: frozenset({"killed"}),
}  # fmt: skip
# Failures of an attempt that may not come again elsewhere: they are tried again, as often as the rules allow.
PASSING = frozenset({
    "pilot-lost", "pilot-restarted", "pilot-stopped", "payload-lost", "sandbox-download", "sandbox-upload", "disk-full",
    "input-download", "output-upload",
})  # fmt: skip
RETRYABLE = PASSING | {
    "bus-away", "database-away", "objects-away", "storage-away", "se-refuses",
    "busy", "deadline", "too-many-held", "gateway-away", "broken",
}  # fmt: skip


def kind(code: str, who: Who) -> Kind:
    """The kind of a code."""
    return next((kind for kind, codes in KINDS.items() if code in codes), OF_WHO[who])


def retryable(code: str) -> bool:
    """Whether the very same may work another time."""
    return code in RETRYABLE
