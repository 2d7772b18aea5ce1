"""What somebody may see of a configuration: their own VO's sections, what belongs to all, never another VO's."""

from typing import Any

from domain.configuration import governs
from domain.errors import Code, Refused
from domain.schema import DEFAULTS, Configuration, Vo
from domain.sites import Resources, of_vo
from domain.tree import Tree
from gateway.ports import Principal


def own(found: Configuration, vo: str) -> Vo:
    """What holds for a VO.

    Raises:
        Refused: VO_UNKNOWN; VO_BROKEN, its section cannot be read.
    """
    if (here := found.vo(vo)) is not None:
        return here
    if problems := found.broken.get(vo):
        raise Refused(Code.VO_BROKEN, vo=vo, field=problems[0].field, problem=problems[0].problem)
    raise Refused(Code.VO_UNKNOWN, vo=vo)


def sees_all(who: Principal, found: Configuration) -> bool:
    """Whether somebody governs the installation, and so sees all of it."""
    return bool(who.vo) and governs(who.vo, who.rights, found)


def visible(document: Tree, found: Configuration, who: Principal) -> Tree:
    """The document, of this or an earlier revision, without what is not for this asker."""
    if sees_all(who, found):
        return document
    kept: Tree = {}
    for name, section in document.items():
        if not isinstance(section, dict):
            continue
        if name in ("registry", "operations", "overrides"):
            mine = {key: part for key, part in section.items() if key in (who.vo, DEFAULTS)}
            if mine:
                kept[name] = mine
        elif name == "resources":
            kept[name] = _open(section, of_vo(found.resources, who.vo))
        else:
            kept[name] = section
    return kept


def _open(section: Tree, resources: Resources) -> Tree:
    """Resources as they are written, without those that the VO may not use."""
    kept = dict(section)
    for kind in ("sites", "storage_elements", "catalogs"):
        if isinstance(parts := section.get(kind), dict):
            allowed = getattr(resources, kind)
            kept[kind] = {name: part for name, part in parts.items() if name in allowed}
    for name, site in resources.sites.items():
        written = kept.get("sites", {}).get(name, {})
        if isinstance(ces := written.get("ces"), dict):
            kept["sites"][name] = {**written, "ces": {host: _queues(ces[host], ce) for host, ce in site.ces.items()
                                                       if host in ces}}  # fmt: skip
    return kept


def _queues(written: Tree, ce: Any) -> Tree:
    if not isinstance(queues := written.get("queues"), dict):
        return written
    return {**written, "queues": {name: queue for name, queue in queues.items() if name in ce.queues}}
