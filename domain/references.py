"""What only the whole configuration can tell: names that lead nowhere, what is said twice, limits that contradict."""

from collections.abc import Iterable, Iterator, Mapping

from domain.operations import Operations
from domain.problems import Problem, problem
from domain.schema import DEFAULTS, Configuration
from domain.sites import ComputingElement, Queue, Resources

Path = tuple[str, ...]


def contradictions(found: Configuration) -> Iterator[Problem]:
    """Everything that does not fit together across sections."""
    vos = {*found.registry, *found.broken} - {""}
    if not vos:
        yield problem(("registry",), "an installation has at least one VO")
    yield from _resources(found.resources, vos)
    yield from _administration(found, vos)
    for vo in found.operations:
        yield from _vo(found, vo)


def _resources(resources: Resources, vos: set[str]) -> Iterator[Problem]:
    homes: dict[str, str] = {}
    for name, site in resources.sites.items():
        path = ("resources", "sites", name)
        yield from _known(path, "vos", site.vos, vos, "there is no VO {}")
        yield from _known(
            path,
            "storage_elements",
            site.storage_elements,
            resources.storage_elements,
            "there is no storage element {}",
        )
        for host, ce in site.ces.items():
            here = (*path, "ces", host)
            if (first := homes.setdefault(host.lower(), name)) != name:
                yield problem(here, f"this computing element belongs to {first} already")
            yield from _element(here, ce, vos)
    for kind in ("storage_elements", "catalogs"):
        for name, part in getattr(resources, kind).items():
            yield from _known(("resources", kind, name), "vos", part.vos, vos, "there is no VO {}")
    for name, storages in resources.storage_groups.items():
        yield from _known(
            ("resources", "storage_groups"),
            name,
            storages,
            resources.storage_elements,
            "there is no storage element {}",
        )


def _element(path: Path, ce: ComputingElement, vos: set[str]) -> Iterator[Problem]:
    yield from _known(path, "vos", ce.vos, vos, "there is no VO {}")
    for name, queue in ce.queues.items():
        here = (*path, "queues", name)
        yield from _known(here, "vos", queue.vos, vos, "there is no VO {}")
        yield from _slots(here, ce, queue)


def _slots(path: Path, ce: ComputingElement, queue: Queue) -> Iterator[Problem]:
    for what in ("processors", "memory_mb", "gpus"):
        most, wanted = getattr(ce, what), getattr(queue, what)
        if most is not None and wanted is not None and wanted > most:
            yield problem((*path, what), f"{wanted}, but the computing element has {most}")
    offered = {*ce.tags, *queue.tags}
    for tag in queue.required_tags:
        if tag not in offered:
            yield problem((*path, "required_tags"), "{} is required, but not among the tags", tag, offered)
    if queue.max_total is not None and queue.max_waiting is not None and queue.max_waiting > queue.max_total:
        yield problem((*path, "max_waiting"), f"{queue.max_waiting} is more than max_total {queue.max_total}")


def _administration(found: Configuration, vos: set[str]) -> Iterator[Problem]:
    path = ("systems", "administrators")
    yield from _known(("systems",), "administrators", found.systems.administrators, vos, "there is no VO {}")
    if not found.administrators and len(vos) > 1:
        yield problem(path, "with several VOs, name those whose CSAdministrators govern the installation")
    able = (vo for vo in found.administrators if vo in found.registry)
    groups = [group for vo in able for group in found.registry[vo].groups.values()]
    if vos and groups and not any("CSAdministrator" in group.properties for group in groups):
        yield problem(path, "no group of these VOs has the property CSAdministrator: nobody could change this again")


def _vo(found: Configuration, vo: str) -> Iterator[Problem]:
    operations, registry = found.operations[vo], found.registry[vo]
    path = _where(found, vo)
    names = {user.preferred_username for user in registry.users.values()}
    for role, shifter in operations.shifters.items():
        if shifter.group not in registry.groups:
            yield problem((*path, "shifters", role, "group"), "there is no group {}", shifter.group, registry.groups)
        if names and shifter.user not in names:
            yield problem((*path, "shifters", role, "user"), "there is no user {}", shifter.user, names)
    if operations.pilots.group and operations.pilots.group not in registry.groups:
        yield problem((*path, "pilots", "group"), "there is no group {}", operations.pilots.group, registry.groups)
    yield from _places(path, operations, found.special.get(vo, found.resources))


def _where(found: Configuration, vo: str) -> Path:
    """The section to blame: the VO's own where it has one."""
    return ("operations", vo if vo in found.document.get("operations", {}) else DEFAULTS)


def _places(path: Path, operations: Operations, resources: Resources) -> Iterator[Problem]:
    times, sites = operations.times, "there is no site {}"
    yield from _known((*path, "job_scheduling"), "sites", operations.job_scheduling.sites, resources.sites, sites)
    yield from _known((*path, "input_data_policy"), "sites", operations.input_data_policy.sites, resources.sites, sites)
    for name in ("tolerant_sites", "reschedule_stalled_at"):
        yield from _known((*path, "times"), name, getattr(times, name), resources.sites, sites)
    for name in ("failover", "tape"):
        yield from _known(
            (*path, "data_management"),
            name,
            getattr(operations.data_management, name),
            resources.storage_elements,
            "there is no storage element {}",
        )
    yield from _known(
        (*path, "services"), "catalogs", operations.services.catalogs, resources.catalogs, "there is no catalog {}"
    )


def _known(
    path: Path, name: str, wanted: Iterable[str], known: Iterable[str] | Mapping[str, object], what: str
) -> Iterator[Problem]:
    there = set(known)
    for each in wanted:
        if each not in there:
            yield problem((*path, name), what, each, there)
