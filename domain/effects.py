"""What a change of the configuration would do to what there is: jobs that wait, pilots at work, people, storages."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from domain.matching import Offer, Queue, obstacles
from domain.registry import VoRegistry
from domain.schema import Configuration
from domain.sites import effective
from domain.values import subject

NOBODY = UUID(int=0)
DEVELOPMENT = "spinor"  # issuer of the development identity


class Effect(NamedTuple):
    """One consequence: what kind, for which VO, of which thing, how many of what are affected, and why."""

    kind: str
    vo: str
    name: str
    affected: int
    why: str


class Waits(NamedTuple):
    """A task queue, and how many jobs wait in it."""

    queue: Queue
    jobs: int


class Slot(NamedTuple):
    """What pilots of one queue of a site would offer; what nobody has said is never an obstacle."""

    offer: Offer
    required_tags: frozenset[str]
    any_platform: bool


def effects(
    old: Configuration, new: Configuration, waiting: Iterable[Waits], pilots: Iterable[Mapping[str, Any]],
    working: Iterable[Mapping[str, Any]],
) -> Iterator[Effect]:  # fmt: skip
    """Every consequence. `pilots` counts those at work by vo, site, ce, queue; `working` jobs by vo, owner, group."""
    owners = {(row["vo"], row["owner"], row["owner_group"]): row["jobs"] for row in working}
    for vo in sorted({*old.registry, *new.registry}):
        yield from _people(vo, old.registry.get(vo), new.registry.get(vo), owners)
    yield from _unmatchable(old, new, list(waiting))
    yield from _pilots(old, new, pilots)
    yield from _storages(old, new)


def _people(
    vo: str, old: VoRegistry | None, new: VoRegistry | None, owners: Mapping[tuple[str, str, str], int]
) -> Iterator[Effect]:
    if old is None:
        return
    if new is None:
        jobs = sum(count for (home, _, _), count in owners.items() if home == vo)
        yield Effect("vo-gone", vo, vo, jobs, "jobs that have not ended; nobody of this VO can log in any more")
        return
    yield from _rights(vo, old, new)
    issuer = old.idp.issuer if old.idp else DEVELOPMENT
    for sub, user in old.users.items():
        there = new.users.get(sub)
        kept = set(there.groups) & set(new.groups) if there else set()
        for group in sorted(set(user.groups) - kept):
            jobs = owners.get((vo, subject(vo, issuer, sub), group), 0)
            why = "of the person is no longer here" if not there else f"leaves {group}"
            yield Effect("user-loses-group", vo, f"{user.preferred_username}:{group}", jobs, f"jobs not ended; {why}")
        if there and there.suspended and not user.suspended:
            jobs = sum(owners.get((vo, subject(vo, issuer, sub), group), 0) for group in user.groups)
            yield Effect("user-suspended", vo, user.preferred_username, jobs, "jobs not ended")


def _rights(vo: str, old: VoRegistry, new: VoRegistry) -> Iterator[Effect]:
    for name, group in old.groups.items():
        members = len(old.members.get(name, ()))
        if name not in new.groups:
            yield Effect("group-gone", vo, name, members, "typed members")
        elif lost := sorted(set(group.properties) - set(new.groups[name].properties)):
            yield Effect("group-loses-property", vo, name, members, f"typed members; lose {', '.join(lost)}")


def _unmatchable(old: Configuration, new: Configuration, waiting: list[Waits]) -> Iterator[Effect]:
    """Queues of jobs that some slot could serve before, and none afterwards."""
    for vo in sorted({each.queue.vo for each in waiting}):
        before, after = list(_slots(old, vo)), list(_slots(new, vo))
        for queue, jobs in (each for each in waiting if each.queue.vo == vo):
            if _served(queue, before) and not _served(queue, after):
                why = _why(queue, after) or "no queue of any site is left for this VO"
                yield Effect("jobs-unmatchable", vo, queue.id, jobs, f"jobs waiting; {why}")


def _slots(found: Configuration, vo: str) -> Iterator[Slot]:
    here = found.vo(vo)
    if here is None:
        return
    for site_name, _, host, ce, name, written in here.resources.queues():
        queue = effective(ce, written)
        if queue.enabled:
            offer = Offer(
                NOBODY, name, vo, site_name, host, queue.platform or "", queue.processors or 1, queue.memory_mb or 0,
                cpu_seconds=queue.max_cpu_time or 0, gpus=queue.gpus or 0, tags=queue.tags,
            )  # fmt: skip
            yield Slot(offer, frozenset(queue.required_tags), not queue.platform)


def _served(queue: Queue, slots: list[Slot]) -> bool:
    return any(next(_hindrances(queue, slot), None) is None for slot in slots)


def _hindrances(queue: Queue, slot: Slot) -> Iterator[str]:
    if missing := slot.required_tags - set(queue.requirements.tags):
        yield f"only for jobs with the tag {', '.join(sorted(missing))}"
    for each in obstacles(queue.requirements, queue.vo, slot.offer):
        if not (slot.any_platform and each.obstacle == "platform"):
            yield f"{each.obstacle}: wanted {each.wanted}, offered {each.offered or 'nothing'}"


def _why(queue: Queue, slots: list[Slot]) -> str:
    """The obstacles at the slot that has the fewest."""
    return min((list(_hindrances(queue, slot)) for slot in slots), key=len, default=[""])[0]


def _pilots(old: Configuration, new: Configuration, pilots: Iterable[Mapping[str, Any]]) -> Iterator[Effect]:
    for row in pilots:
        place = (row["site"], row["ce"], row["queue"])
        if _there(old, row["vo"], *place) and not _there(new, row["vo"], *place):
            name = "/".join(part for part in place if part)
            yield Effect("pilots-without-place", row["vo"], name, row["pilots"], "pilots there; nobody sends more")


def _there(found: Configuration, vo: str, site: str, ce: str, queue: str) -> bool:
    here = found.vo(vo)
    if here is None or site not in here.resources.sites:
        return False
    element = here.resources.sites[site].ces.get(ce)
    return not ce or (element is not None and (not queue or queue in element.queues))


def _storages(old: Configuration, new: Configuration) -> Iterator[Effect]:
    for vo in sorted(old.registry):
        before, after = old.vo(vo), new.vo(vo)
        if before is None or after is None:
            continue
        users = [*after.resources.sites.values()]
        for name in sorted(before.resources.storage_elements.keys() - after.resources.storage_elements.keys()):
            yield Effect("storage-gone", vo, name, 0, "files there are no longer reached")
        for name in sorted(after.resources.storage_elements):
            near = any(name in site.storage_elements for site in users)
            was = any(name in site.storage_elements for site in before.resources.sites.values())
            if was and not near:
                yield Effect("storage-orphaned", vo, name, 0, "no site of this VO names it any more")
