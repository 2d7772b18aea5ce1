"""A dirac.cfg, as ours: registry by VO, sites with their queues, storage elements, catalogs, operations."""

from typing import Any

from domain.tree import Tree
from gateway.cli.importing import GROUP, Source, compatible, flag, many, operations, put, text, whole

MINUTES_TO_SECONDS = 60
SI00_OF_ONE = 250  # SpecInt2000 of the processor whose seconds are normalised ones
CE_TYPES = {
    "htcondorce": "HTCondorCE", "arc": "ARC", "arc6": "ARC", "arex": "AREX", "aarex": "AREX", "ssh": "SSH",
    "sshbatch": "SSH", "slurm": "SLURM", "local": "Local", "torque": "PBS", "pbs": "PBS", "cloud": "Cloud",
    "vac": "Vacuum",
}  # fmt: skip
SLOTS = (
    ("NumberOfProcessors", "processors", whole), ("WholeNode", "whole_node", flag), ("Tag", "tags", many),
    ("RequiredTag", "required_tags", many), ("VO", "vos", many), ("MaxRAM", "memory_mb", whole),
    ("Platform", "platform", text),
)  # fmt: skip
QUEUE = (*SLOTS, ("MaxTotalJobs", "max_total", whole), ("MaxWaitingJobs", "max_waiting", whole))
SITE = (
    ("Description", "description", text), ("Coordinates", "coordinates", text), ("Mail", "mail", text),
    ("MoUTierLevel", "tier", whole), ("SE", "storage_elements", many), ("VO", "vos", many),
)  # fmt: skip
PROVIDER = (("issuer", "issuer", text), ("client_id", "client_id", text), ("scope", "scopes", lambda v: v.split()))


def converted(tree: Tree) -> tuple[Tree, Source]:
    """Our document, and the source with what was not understood."""
    source, document = Source(tree), Tree()
    _registry(source, document)
    for grid in source.sections("Resources", "Sites"):
        for site in source.sections("Resources", "Sites", grid):
            put(document, ("resources", "sites", site), _site(source, "Resources", "Sites", grid, site))
    for name in source.sections("Resources", "StorageElements"):
        put(document, ("resources", "storage_elements", name), _storage(source, name))
    for name in source.names("Resources", "StorageElementGroups"):
        put(
            document, ("resources", "storage_groups", name), many(source.get("Resources", "StorageElementGroups", name))
        )
    for name in source.sections("Resources", "FileCatalogs"):
        kind = "rucio" if "rucio" in name.lower() else "spinor"
        put(document, ("resources", "catalogs", name), {"type": kind})
    compatible(source, document, "Resources", "Computing", "OSCompatibility")
    for vo in source.sections("Operations"):
        if ours := _operations(source, vo):
            put(document, ("operations", vo), ours)
    return document, source


def _registry(source: Source, document: Tree) -> None:
    vos = source.sections("Registry", "VO") or many(source.get("DIRAC", "VirtualOrganization") or ())
    for vo in vos:
        put(document, ("registry", vo), _vo(source, vo))
    for name in source.sections("Registry", "Groups"):
        _group(source, document, name, vos)
    usual = source.get("Registry", "DefaultGroup")
    for ours in document.get("registry", {}).values():
        groups = ours.get("groups", {})
        wanted = [*many(ours.get("default_group", "")), *many(usual or ""), *groups]
        if found := next((name for name in wanted if name in groups), None):
            ours["default_group"] = found


def _vo(source: Source, vo: str) -> Tree:
    ours: Tree = {}
    path = ("Registry", "VO", vo)
    source.take(ours, (("VOMSName", "voms_name", text), ("DefaultGroup", "default_group", text)), *path)
    if provider := source.get(*path, "IdProvider"):
        idp: Tree = {}
        source.take(idp, PROVIDER, "Resources", "IdProviders", str(provider))
        ours |= {"idp": idp} if {"issuer", "client_id"} <= idp.keys() else {}
        if source.get("Resources", "IdProviders", str(provider), "client_secret"):
            advice = "a secret: put it into the environment, and its variable's name into client_secret_env"
            source.note(("Resources", "IdProviders", str(provider), "client_secret"), advice)
    return ours


def _group(source: Source, document: Tree, name: str, vos: list[str]) -> None:
    path = ("Registry", "Groups", name)
    vo = source.get(*path, "VO") or (vos[0] if len(vos) == 1 else "")
    if vo not in document.get("registry", {}):
        source.note(path, f"left out: its VO {vo or '(none)'} is not there")
        return
    group: Tree = {"properties": source.properties(many(source.get(*path, "Properties") or ()), path)}
    source.take(group, GROUP, *path)
    ours = document["registry"][vo]
    ours.setdefault("groups", {})[name] = group
    for user in many(source.get(*path, "Users") or ()):
        sub, person = _person(source, user)
        ours.setdefault("users", {}).setdefault(sub, person).setdefault("groups", []).append(name)


def _person(source: Source, user: str) -> tuple[str, Tree]:
    path = ("Registry", "Users", user)
    person: Tree = {"preferred_username": user}
    source.take(person, (("DN", "dns", lambda dn: [dn]), ("Email", "email", text), ("Quota", "quota", whole)), *path)
    sub = source.get(*path, "ID") or source.get(*path, "Subject")
    if not sub and not any(note.place.endswith(f"/{user}") for note in source.notes):
        source.note(path, "no subject of a provider is known: kept under the user name, to be corrected")
    return str(sub or user), person


def _site(source: Source, *path: str) -> Tree:
    ours: Tree = {}
    source.take(ours, SITE, *path)
    source.get(*path, "Name"), source.get(*path, "CE")
    for host in source.sections(*path, "CEs"):
        here = (*path, "CEs", host)
        given = str(source.get(*here, "CEType") or "")
        kind = CE_TYPES.get(given.lower())
        if kind is None:
            source.note((*here, "CEType"), f"there is no type {given or '(none)'}: taken as SSH")
        ce: Tree = {"type": kind or "SSH"}
        source.take(ce, SLOTS, *here)
        for name in source.sections(*here, "Queues"):
            ce.setdefault("queues", {})[name] = _queue(source, *here, "Queues", name)
        ours.setdefault("ces", {})[host] = ce
    return ours


def _queue(source: Source, *path: str) -> Tree:
    ours: Tree = {}
    source.take(ours, QUEUE, *path)
    speed = float(source.get(*path, "SI00") or 2500)
    ours["benchmark"] = speed / SI00_OF_ONE
    if minutes := source.get(*path, "maxCPUTime"):
        ours["max_cpu_time"] = round(float(minutes) * MINUTES_TO_SECONDS * speed / SI00_OF_ONE)
    return ours


def _storage(source: Source, name: str) -> Tree:
    path = ("Resources", "StorageElements", name)
    backend = str(source.get(*path, "BackendType") or "").lower()
    ours: Tree = {"backend": "tape" if "tape" in backend or name.lower().endswith("-tape") else "disk"}
    source.take(ours, (("VO", "vos", many), ("ChecksumType", "checksum", lambda kind: str(kind).lower())), *path)
    for section in source.sections(*path):
        access = _access(source, *path, section)
        if access:
            ours.setdefault("access", []).append(access)
    return ours


def _access(source: Source, *path: str) -> Tree | None:
    said: dict[str, Any] = {}
    for option in ("Protocol", "Host", "Port", "Path", "Access", "PluginName", "SpaceToken", "WSUrl"):
        said[option] = source.get(*path, option)
    if not said["Protocol"]:
        return None
    port = f":{said['Port']}" if said["Port"] else ""
    return {
        "protocol": str(said["Protocol"]),
        "url": f"{said['Protocol']}://{said['Host'] or ''}{port}{said['Path'] or '/'}",
    }


def _operations(source: Source, vo: str) -> Tree:
    path = ("Operations", vo)
    ours = operations(source, *path)
    if catalogs := source.sections(*path, "Services", "Catalogs"):
        put(ours, ("services", "catalogs"), catalogs)
    for theirs, name in (("RunningLimit", "running"), ("MatchingDelay", "delay")):
        for site in source.sections(*path, "JobScheduling", theirs):
            for attribute in source.sections(*path, "JobScheduling", theirs, site):
                _limits(source, ours, (*path, "JobScheduling", theirs, site, attribute), site, name)
    return ours


def _limits(source: Source, ours: Tree, path: tuple[str, ...], site: str, name: str) -> None:
    known = {"JobType": "job_type", "Owner": "owner", "OwnerGroup": "owner_group", "GridCE": "ce",
             "Platform": "platform", "Tag": "tag"}  # fmt: skip
    if (attribute := known.get(path[-1])) is None:
        source.note(path, "no limit can be set on this attribute")
        source.get(*path)
        return
    for value in source.names(*path):
        number = whole(source.get(*path, value))
        put(ours, ("job_scheduling", "sites", site, name, attribute, value), number)
