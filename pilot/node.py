"""What this machine offers: processors, memory, disk, accelerators and how fast one processor is."""

import glob
import os
import platform
import re
import shutil
import socket
import time
from typing import List, NamedTuple, Optional

MIB = 1024 * 1024
REFERENCE = 10.0 * 0.25  # power x seconds of the loop below: a 2015 server core is given the power 10
CGROUP = "/sys/fs/cgroup"


class Node(NamedTuple):
    """One machine, or the part of it that the batch system gave us; memory and disk in MiB."""

    hostname: str
    platform: str
    processors: int
    memory_mb: int
    disk_mb: int
    gpus: int
    cpu_power: float
    tags: List[str]


def look(
    work_dir: str,
    tags: List[str],
    processors: Optional[int] = None,
    memory_mb: Optional[int] = None,
    cpu_power: Optional[float] = None,
) -> Node:
    """This machine; what is given is believed, what is not is measured (the power takes a quarter of a second)."""
    return Node(
        hostname=socket.gethostname(),
        platform=_platform(),
        processors=processors or count_processors(),
        memory_mb=memory_mb or count_memory(),
        disk_mb=free_disk(work_dir),
        gpus=count_gpus(),
        cpu_power=cpu_power or measure_power(),
        tags=list(tags),
    )


def free_disk(directory: str) -> int:
    """MiB free for us where the directory is."""
    return shutil.disk_usage(directory).free // MIB


def count_processors(root: str = CGROUP, membership: str = "/proc/self/cgroup") -> int:
    """Processors we may use: our affinity, cut by the quota of every control group we are in; at least one."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quotas = [_quota(directory) for directory in _groups(root, membership, "cpu")]
    return max(1, int(min([usable] + [quota for quota in quotas if quota])))


def count_memory(root: str = CGROUP, membership: str = "/proc/self/cgroup") -> int:
    """MiB we may use: the machine's memory, cut by the limit of every control group we are in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    names = ("memory.max", "memory.limit_in_bytes")
    limits = [_number(os.path.join(d, name)) for d in _groups(root, membership, "memory") for name in names]
    return int(min([total] + [limit for limit in limits if limit])) // MIB


def count_gpus() -> int:
    """Accelerators we may use: those named for us by the batch system, otherwise those of the machine."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return len([device for device in named.split(",") if device.strip() not in ("", "-1", "NoDevFiles")])
    return len([path for path in glob.glob("/dev/nvidia*") if re.search(r"nvidia\d+$", path)])


def measure_power(rounds: int = 3) -> float:
    """Speed of one processor, best of some short loops of integer, float and memory work (our own scale, about 10)."""
    return round(REFERENCE / min(_loop() for _ in range(rounds)), 2)


def _loop() -> float:
    begun = time.process_time()
    state, total, table = 1, 0.0, [0] * 1024
    for _ in range(250000):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        total += (state % 1000) * 0.5 + total * 1e-9
        table[state & 1023] += 1
    return max(time.process_time() - begun, 1e-6) * 5  # the fifth of the loop that the reference was taken with


def _platform() -> str:
    libc = "-".join(part for part in platform.libc_ver() if part)
    return "-".join(part for part in (platform.system(), platform.machine(), libc) if part)


def _groups(root: str, membership: str, controller: str) -> List[str]:
    """Directories of the control groups we are in, inner to outer, for both layouts (one tree, or one a controller)."""
    found = [root, os.path.join(root, controller)]
    for line in _text(membership).splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and controller not in controllers.split(","):
            continue
        tree = os.path.join(root, controller) if controllers else root
        while path.strip("/"):
            found.append(os.path.join(tree, path.strip("/")))
            path = os.path.dirname(path)
    return found


def _quota(directory: str) -> Optional[float]:
    limit, period = (_text(os.path.join(directory, "cpu.max")).split() + ["", ""])[:2]
    if limit.isdigit() and period.isdigit():
        return float(limit) / float(period)
    quota = _number(os.path.join(directory, "cpu.cfs_quota_us"))
    period_us = _number(os.path.join(directory, "cpu.cfs_period_us"))
    return quota / period_us if quota and period_us else None


def _number(path: str) -> Optional[float]:
    text = _text(path).strip()
    return float(text) if text.isdigit() and int(text) > 0 else None


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
