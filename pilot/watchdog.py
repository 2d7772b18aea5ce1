"""Looks after one payload: what its processes use, which limit they break, and how they are ended."""

import os
import signal
import threading
import time
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from pilot.node import MIB, free_disk

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
RESERVE_MB = 50  # MiB of disk that must stay free: the pilot itself has reports to write


class Process(NamedTuple):
    """One running process; born in clock ticks since the machine started, cpu in seconds with its ended children."""

    pid: int
    parent: int
    group: int
    session: int
    born: int
    cpu: float
    rss: int


class Limits(NamedTuple):
    """What a payload may use; None: no limit. Memory and disk in MiB, times in seconds."""

    memory_mb: Optional[float] = None
    cpu: Optional[float] = None
    wall: Optional[float] = None
    disk_mb: Optional[float] = None


class Usage(NamedTuple):
    """What a payload uses now (memory, disk in MiB) and used so far (seconds)."""

    cpu: float = 0.0
    wall: float = 0.0
    rss_mb: float = 0.0
    max_rss_mb: float = 0.0
    disk_mb: float = 0.0


class Table:
    """All processes of this machine, read at most once in a while whatever the number of payloads."""

    def __init__(self, age: float = 0.5) -> None:
        self._age, self._read_at, self._lock = age, float("-inf"), threading.Lock()
        self._processes: Dict[int, Process] = {}

    def read(self, fresh: bool = False) -> Dict[int, Process]:
        """Running processes by id; zombies are left out."""
        with self._lock:
            if fresh or time.monotonic() - self._read_at > self._age:
                found = [process_of(int(name)) for name in os.listdir("/proc") if name.isdigit()]
                self._processes = {process.pid: process for process in found if process}
                self._read_at = time.monotonic()
            return self._processes


def process_of(pid: int) -> Optional[Process]:
    """One process, or None if it is gone or a zombie."""
    try:
        with open("/proc/{}/stat".format(pid)) as file:
            words = file.read().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None
    if not words or words[0] in "ZX":
        return None
    cpu = sum(int(words[index]) for index in (11, 12, 13, 14)) / TICKS
    return Process(pid, int(words[1]), int(words[2]), int(words[3]), int(words[19]), cpu, int(words[21]) * PAGE)


class Watchdog:
    """One payload, known by the process that leads its group and session."""

    def __init__(self, leader: int, directory: str, limits: Limits, table: Table) -> None:
        self.usage = Usage()
        self._leader, self._directory, self._limits, self._table = leader, directory, limits, table
        self._begun = time.monotonic()
        self._seen: Set[Tuple[int, int]] = set()

    def members(self, fresh: bool = False) -> List[Process]:
        """Processes of the group and session, their descendants, and those that were so once and ran away."""
        table = self._table.read(fresh)
        chosen = {
            process.pid
            for process in table.values()
            if self._leader in (process.group, process.session) or (process.pid, process.born) in self._seen
        }
        grown = True
        while grown:
            children = {p.pid for p in table.values() if p.parent in chosen and p.pid not in chosen}
            chosen, grown = chosen | children, bool(children)
        found = [table[pid] for pid in chosen]
        self._seen.update((process.pid, process.born) for process in found)
        return found

    def look(self, with_disk: bool) -> Optional[str]:
        """Measure; the code of the limit that is broken, or None."""
        members = self.members()
        rss = sum(process.rss for process in members) / MIB
        self.usage = Usage(
            cpu=max(self.usage.cpu, sum(process.cpu for process in members)),
            wall=time.monotonic() - self._begun,
            rss_mb=rss,
            max_rss_mb=max(rss, self.usage.max_rss_mb),
            disk_mb=disk_used(self._directory) if with_disk else self.usage.disk_mb,
        )
        return self._broken([process.pid for process in members])

    def signal(self, number: int) -> None:
        """Send a signal to the whole group and to whatever left it."""
        try:
            os.killpg(self._leader, number)
        except OSError:
            pass
        for process in self.members(fresh=True):
            if process.group != self._leader:
                kill(process, number)

    def clear(self) -> None:
        """End what is left after the leader has ended."""
        for _ in range(20):
            if not self.members(fresh=True):
                return
            self.signal(signal.SIGKILL)
            time.sleep(0.05)

    def ended(self, cpu: float, rss_mb: float) -> None:
        """Take in what the system says about the ended payload (seconds, MiB)."""
        usage = self.usage
        self.usage = usage._replace(
            cpu=max(usage.cpu, cpu),
            wall=time.monotonic() - self._begun,
            rss_mb=0.0,
            max_rss_mb=max(usage.max_rss_mb, rss_mb),
            disk_mb=disk_used(self._directory),
        )

    def disk_is_full(self) -> bool:
        """Whether the machine has no room left."""
        try:
            return free_disk(self._directory) < RESERVE_MB
        except OSError:
            return False

    def _broken(self, pids: List[int]) -> Optional[str]:
        limits, usage = self._limits, self.usage
        if limits.memory_mb and usage.rss_mb > limits.memory_mb and _shared_fairly(pids) > limits.memory_mb:
            return "memory-limit"
        if limits.cpu and usage.cpu > limits.cpu:
            return "cpu-limit"
        if limits.wall and usage.wall > limits.wall:
            return "wall-limit"
        if (limits.disk_mb and usage.disk_mb > limits.disk_mb) or self.disk_is_full():
            return "disk-full"
        return None


def kill(process: Process, number: int) -> None:
    """Signal one process, unless its number belongs to another one by now."""
    present = process_of(process.pid)
    if present and present.born == process.born:
        try:
            os.kill(process.pid, number)
        except OSError:
            pass


def disk_used(directory: str) -> float:
    """MiB on disk below a directory."""
    total = 0
    for place, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except OSError:
                pass
    return total / MIB


def _shared_fairly(pids: List[int]) -> float:
    """MiB with each shared page counted once over its users: forked workers must not be blamed for common memory."""
    return sum(_share(pid) for pid in pids) / MIB


def _share(pid: int) -> int:
    try:
        with open("/proc/{}/smaps_rollup".format(pid)) as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except (OSError, ValueError):
        process = process_of(pid)  # an old kernel, or a program that hides: its whole resident memory
        return process.rss if process else 0
