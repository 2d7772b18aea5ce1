"""The YAML configuration of a DiracX installation, as ours."""

from domain.tree import Tree
from gateway.cli.importing import GROUP, Source, compatible, many, operations, put, real, text, whole

VO = (
    ("IdP/URL", "idp/issuer", text), ("IdP/ClientID", "idp/client_id", text),
    ("Support/Email", "support/email", text), ("Support/Webpage", "support/webpage", text),
    ("Support/Message", "support/message", text), ("DefaultGroup", "default_group", text),
    ("DefaultStorageQuota", "default_storage_quota", real), ("DefaultProxyLifeTime", "default_proxy_lifetime", whole),
    ("VOMSName", "voms_name", text),
)  # fmt: skip
USER = (
    ("PreferedUsername", "preferred_username", text), ("Email", "email", text), ("DNs", "dns", many),
    ("Quota", "quota", whole),
)  # fmt: skip
KEPT = (
    "Cloud", "DataConsistency", "GaudiExecution", "Hospital", "JobTypeMapping", "LogFiles", "LogStorage", "Logging",
    "Matching", "MonitoringBackends", "NagiosConnector", "Productions", "Shares", "SiteSEMappingByProtocol",
    "TransformationPlugins",
)  # fmt: skip


def converted(tree: Tree) -> tuple[Tree, Source]:
    """Our document, and the source with what was not understood."""
    source, document = Source(tree), Tree()
    for vo in source.sections("Registry"):
        document.setdefault("registry", {})[vo] = _vo(source, vo)
    for vo in source.sections("Operations"):
        ours = operations(source, "Operations", vo)
        for name in KEPT:
            if found := source.get("Operations", vo, name):
                put(ours, ("extra", name), found)
        if ours:
            document.setdefault("operations", {})[vo] = ours
    compatible(source, document, "Resources", "Computing", "OSCompatibility")
    for path in (("DIRAC", "NoSetup"),):
        source.get(*path)
    return document, source


def _vo(source: Source, vo: str) -> Tree:
    ours: Tree = {}
    source.take(ours, VO, "Registry", vo)
    for sub in source.sections("Registry", vo, "Users"):
        person: Tree = {}
        source.take(person, USER, "Registry", vo, "Users", sub)
        if source.get("Registry", vo, "Users", sub, "Suspended"):
            person["suspended"] = True
        ours.setdefault("users", {})[sub] = person
    for name in source.sections("Registry", vo, "Groups"):
        path = ("Registry", vo, "Groups", name)
        group: Tree = {"properties": source.properties(many(source.get(*path, "Properties") or ()), path)}
        source.take(group, GROUP, *path)
        ours.setdefault("groups", {})[name] = group
        for sub in many(source.get(*path, "Users") or ()):
            if sub in ours.get("users", {}):
                ours["users"][sub].setdefault("groups", []).append(name)
            else:
                source.note((*path, "Users"), f"there is no user {sub}")
    return ours
