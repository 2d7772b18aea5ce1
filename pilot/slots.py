"""How the machine is shared: what is free, what an offer says, and which part a job gets."""

from typing import Any, Dict, Iterable, NamedTuple, Optional

from pilot.node import Node, free_disk
from pilot.options import Options
from pilot.payload import Payload, Share
from pilot.watchdog import RESERVE_MB

SPARE = 300.0  # seconds at the end of the slot, for the outputs of what was cut off


class Free(NamedTuple):
    """What is left of the machine, in processors and MiB."""

    processors: int
    memory_mb: int
    disk_mb: int


class Slots:
    """Shares one machine among payloads."""

    def __init__(self, node: Node, options: Options) -> None:
        self._node, self._options = node, options

    def free(self, payloads: Iterable[Payload]) -> Free:
        """What the running payloads leave."""
        running = [payload for payload in payloads if payload.running]
        processors = self._node.processors - sum(payload.processors for payload in running)
        memory = self._node.memory_mb - sum(payload.memory_mb for payload in running)
        disk = free_disk(self._options.home) - RESERVE_MB
        if self._options.disk_mb:
            disk = min(disk, int(self._options.disk_mb * processors / self._node.processors))
        return Free(max(0, processors), max(0, int(memory)), max(0, disk))

    def offer(self, free: Free, slot_left: float, wait: float) -> Optional[Dict[str, Any]]:
        """The offer for what is free, or None; slot_left and wait in seconds."""
        if free.processors < 1 or slot_left <= 0:
            return None
        work = int(slot_left * self._node.cpu_power)
        return dict(free._asdict(), cpu_seconds=work, tags=self._node.tags, wait=round(wait, 2))

    def share(self, match: Dict[str, Any], free: Free) -> Share:
        """What a job gets: the gateway's word, otherwise what its description asks, within what is free."""
        description = match.get("description") or {}
        processors = int(match.get("processors") or _wanted(description, free.processors))
        processors = max(1, min(processors, free.processors))
        part = processors / self._node.processors
        memory = float(description.get("max_ram_mb") or description.get("min_ram_mb") or part * self._node.memory_mb)
        return Share(processors, memory, self._options.disk_mb and self._options.disk_mb * part)


def _wanted(description: Dict[str, Any], offered: int) -> int:
    if description.get("whole_node"):
        return offered
    if description.get("max_processors"):
        return int(description["max_processors"])
    if (description.get("min_processors") or 1) > 1:
        return offered
    return int(description.get("processors") or 1)
