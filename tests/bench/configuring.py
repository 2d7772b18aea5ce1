"""What a large configuration costs: read, changed and asked."""

import time
from typing import Any
from uuid import UUID

from report import Row
from stage import Stage, bench

from domain.configuration import STREAM, ChangeConfiguration, Installation
from domain.messages import Origin, Recorded
from domain.schema import read
from gateway.contract_config import rendered
from infra.bus.messages import now

VOS, GROUPS, USERS = 20, 50, 10_000


@bench("config-large")
async def large(stage: Stage) -> list[Row]:
    """10 000 users in 20 VOs with 50 groups each: read whole, changed through all checks, answered."""
    state = Installation().evolve(_event(Installation.Changed(1, document()), 1))
    reading, changing, asking, groups = [], [], [], []
    for number in range(3 if stage.quick else 7):
        start = time.perf_counter()
        found = read(state.document)
        reading.append(1000 * (time.perf_counter() - start))
        command = ChangeConfiguration(1, {"/registry/vo3/groups/g7/job_share": number + 1})
        origin = Origin("user:x", "vo0", now(), rights=frozenset({"CSAdministrator"}))
        start = time.perf_counter()
        (changed,) = state.decide(command, origin)
        changing.append(1000 * (time.perf_counter() - start))
        after = read(state.evolve(_event(changed, 2)).document, 2, found)
        start = time.perf_counter()
        rendered(after, "vo3")
        asking.append(1000 * (time.perf_counter() - start))
        start = time.perf_counter()
        vo = after.vo("vo3")
        assert vo
        sum(len(vo.registry.users[sub].groups) for sub in vo.registry.users)
        groups.append(1e6 * (time.perf_counter() - start) / len(vo.registry.users))
    return [
        Row("config-large read", reading, "ms"), Row("config-large change, first and later", changing, "ms"),
        Row("config-large first answer of a VO", asking, "ms"), Row("config-large groups of a user", groups, "µs"),
    ]  # fmt: skip


def document() -> dict[str, Any]:
    """Registry and little else: 20 VOs, 50 groups in each, 10 000 users in every one of a VO's groups of their own."""
    registry = {}
    for number in range(VOS):
        groups = {f"g{group}": {"properties": ["NormalUser", "CSAdministrator"]} for group in range(GROUPS)}
        users = {
            f"{number:02}-{user:05}": {"preferred_username": f"u{user}", "groups": sorted(groups)}
            for user in range(USERS // VOS)
        }
        registry[f"vo{number}"] = {"default_group": "g0", "groups": groups, "users": users}
    return {"/registry": registry, "/systems": {"administrators": ["vo0"]}}


def _event(event: Installation.Changed, version: int) -> Recorded[Any]:
    return Recorded(version, STREAM, version, event, UUID(int=version), None, None, "user:x", "vo0", now())
