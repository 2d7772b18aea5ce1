"""What a job asks of the place where it runs: the part of a description that matching looks at."""

from functools import lru_cache
from hashlib import sha256

import msgspec
from msgspec import Struct

# Jobs share a task queue when they ask for the same, so CPU times are rounded up (DIRAC taskQueueCPUTimeIntervals).
SEGMENTS = (360, 1800, 3600, 21600, 43200, 86400, 172800, 259200, 345600, 518400, 691200, 864000, 1080000)
DAY = 86400
UNBOUNDED = 0


class Requirements(Struct, frozen=True, omit_defaults=True, gc=False):
    """Requirements of one job; names are sorted, so that equal requirements have equal digests.

    `cpu_time` in normalised seconds, rounded up to a segment; no `sites`, `platforms` or `ces` means any;
    `max_processors` 0 means as many as there are; `max_ram_mb` is what the job may use at most.
    """

    cpu_time: int = DAY
    sites: tuple[str, ...] = ()
    banned_sites: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    ces: tuple[str, ...] = ()
    min_processors: int = 1
    max_processors: int = 1
    whole_node: bool = False
    gpus: int = 0
    min_ram_mb: int = 0
    max_ram_mb: int = 0
    job_type: str = "User"

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that stand for the content."""
        return _digest(self)

    def queue(self, vo: str, group: str, owner: str) -> str:
        """The id of the task queue in which jobs of this owner with these requirements wait."""
        return sha256(msgspec.json.encode((vo, group, owner, self.digest))).hexdigest()[:32]


@lru_cache(maxsize=16_384)  # thousands of jobs of one submission ask for the same
def _digest(requirements: Requirements) -> str:
    return sha256(msgspec.json.encode(requirements)).hexdigest()[:32]


def segment(cpu_time: int) -> int:
    """The CPU time rounded up to the next segment, above the last one to full days."""
    return next((bound for bound in SEGMENTS if cpu_time <= bound), -(-cpu_time // DAY) * DAY)
