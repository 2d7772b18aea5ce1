"""The configuration of an installation: read from a document in parts, so that one broken part stops only its VO."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from pydantic import Field, ValidationError

from domain.operations import Operations
from domain.problems import Problem, broken, problem
from domain.registry import VoRegistry
from domain.section import Free, Line, Section, Url, VoName, Vos
from domain.sites import Catalog, Resources, Site, StorageElement, of_vo
from domain.tree import Tree, merged

DEFAULTS = "Defaults"
M = TypeVar("M", bound=Section)


class Systems(Section):
    """The installation itself."""

    administrators: Vos = Field(
        default=(),
        description="VOs whose CSAdministrators may change what belongs to nobody's VO; "
        "needed as soon as there are two VOs",
    )
    name: Line = Field(default="", description="name of the installation, for people")
    security_contact: Line = Field(default="", description="whom to tell of security problems: mail address or URL")
    web: Url | None = Field(default=None, description="public URL of the installation")
    extra: Free = Field(default={}, description="options of extensions")


class Document(Section):
    """The whole configuration of an installation, as it is written."""

    registry: dict[VoName, VoRegistry] = Field(default={}, description="who belongs to the VOs, by VO")
    operations: dict[VoName, Operations] = Field(
        default={}, description="how VOs work: Defaults, and over them each VO's own"
    )
    resources: Resources = Field(
        default=Resources(), description="sites, storage elements and catalogs of the installation"
    )
    overrides: dict[VoName, Free] = Field(default={}, description="what is different in `resources` for one VO, by VO")
    systems: Systems = Field(default=Systems(), description="the installation itself")


class Vo(NamedTuple):
    """What holds for one VO, everything merged."""

    name: str
    registry: VoRegistry
    operations: Operations
    resources: Resources


BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)  # of the built-in configuration


@dataclass(frozen=True, eq=False)
class Configuration:
    """The configuration in force. A VO of which a part cannot be read is in `broken`, and in nothing else."""

    revision: int = 0
    document: Tree = field(default_factory=dict, repr=False)
    registry: Mapping[str, VoRegistry] = field(default_factory=dict, repr=False)
    operations: Mapping[str, Operations] = field(default_factory=dict, repr=False)  # merged, by VO
    resources: Resources = field(default_factory=Resources, repr=False)
    systems: Systems = field(default_factory=Systems)
    broken: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)  # by VO; "" for what belongs to no VO
    at: datetime = BEGINNING  # when it came into force
    special: Mapping[str, Resources] = field(default_factory=dict, repr=False)  # of VOs with overrides

    @property
    def vos(self) -> list[str]:
        """The VOs that work."""
        return sorted(self.registry)

    def vo(self, name: str) -> Vo | None:
        """What holds for a VO; None for one that is unknown or broken."""
        if (found := self._seen.get(name)) is None and (registry := self.registry.get(name)):
            found = Vo(name, registry, self.operations[name], of_vo(self.special.get(name, self.resources), name))
            self._seen[name] = found
        return found

    @cached_property
    def memo(self) -> dict[Any, Any]:
        """What others have made of this configuration and will want again; goes with it."""
        return {}

    @cached_property
    def _seen(self) -> dict[str, Vo]:
        return {}

    @property
    def problems(self) -> list[Problem]:
        """Everything that cannot be read."""
        return [each for problems in self.broken.values() for each in problems]

    @property
    def administrators(self) -> tuple[str, ...]:
        """VOs whose administrators govern the installation: the only one there is needs not to be named."""
        known = [*self.registry, *(vo for vo in self.broken if vo and vo not in self.registry)]
        return self.systems.administrators or (tuple(known) if len(known) == 1 else ())


def read(
    document: Tree, revision: int = 0, before: Configuration | None = None, at: datetime = BEGINNING
) -> Configuration:
    """The configuration in a document. What is the same object as in the one `before` is not read again."""
    reader = _Reader(document, before or Configuration())
    return reader.read(revision, at)


class _Reader:
    def __init__(self, document: Tree, before: Configuration) -> None:
        self.document = document
        self.before = before
        self.broken: dict[str, list[Problem]] = {}
        self.former = before.document

    def read(self, revision: int, at: datetime) -> Configuration:
        for name in self.document.keys() - Document.model_fields.keys():
            self._wrong("", problem((name,), "there is no such section", name, Document.model_fields))
        registry = {vo: found for vo in self._keys("registry") if (found := self._vo(vo)) is not None}
        operations = {vo: how for vo in registry if (how := self._operations(vo)) is not None}
        self._strangers(registry)
        resources = self._resources()
        systems = self._part(Systems, ("systems",), "") or Systems()
        special = {vo: over for vo in registry if (over := self._override(vo, resources)) is not None}
        whole = [vo for vo in registry if vo not in self.broken]
        return Configuration(
            revision,
            self.document,
            {vo: registry[vo] for vo in whole},
            {vo: operations[vo] for vo in whole},
            resources,
            systems,
            {vo: tuple(found) for vo, found in self.broken.items()},
            at,
            special,
        )

    def _section(self, name: str) -> Tree:
        found = self.document.get(name)
        return found if isinstance(found, dict) else {}

    def _keys(self, name: str) -> Iterable[str]:
        if not isinstance(self.document.get(name, {}), dict):
            self._wrong("", problem((name,), "expected a section"))
        return self._section(name)

    def _wrong(self, vo: str, *problems: Problem) -> None:
        self.broken.setdefault(vo, []).extend(problems)

    def _unchanged(self, *path: str) -> bool:
        """Whether a part is the same as before."""
        return _at(self.document, path) is _at(self.former, path)

    def _vo(self, vo: str) -> VoRegistry | None:
        if self._unchanged("registry", vo) and vo in self.before.registry:
            return self.before.registry[vo]
        if named := name_of_vo(vo):
            self._wrong(vo, named)
        if (found := self._part(VoRegistry, ("registry", vo), vo)) is not None:
            for at, what, name, known in found.contradictions():
                self._wrong(vo, problem(("registry", vo, *at), what, name, known))
        return found

    def _operations(self, vo: str) -> Operations | None:
        path, defaults = ("operations", vo), ("operations", DEFAULTS)
        if self._unchanged(*path) and self._unchanged(*defaults) and vo in self.before.operations:
            return self.before.operations[vo]
        mine = _at(self.document, path)
        written = merged(_at(self.document, defaults) or {}, mine or {})
        return self._parsed(Operations, written, path if mine else defaults, vo)

    def _strangers(self, registry: Mapping[str, VoRegistry]) -> None:
        """Sections of VOs that are not in the registry: they stop nobody, and are told."""
        known = self._section("registry")
        for section in ("operations", "overrides"):
            for vo in self._keys(section):
                if vo not in known and not (section == "operations" and vo == DEFAULTS):
                    self._wrong("", problem((section, vo), "there is no VO {}", vo, known))

    def _override(self, vo: str, resources: Resources) -> Resources | None:
        written = self._section("overrides").get(vo)
        if not written:
            return None
        if self._unchanged("overrides", vo) and self._unchanged("resources") and vo in self.before.special:
            return self.before.special[vo]
        if found := list(_beyond(self._section("resources"), written, ("overrides", vo))):
            self._wrong(vo, *found)
            return None
        return self._parsed(Resources, merged(self._section("resources"), written), ("overrides", vo), vo)

    def _resources(self) -> Resources:
        """Part by part, so that one broken site is left out and the others serve."""
        if self._unchanged("resources") and "" not in self.before.broken:
            return self.before.resources
        written = self._section("resources")
        if not isinstance(self.document.get("resources", {}), dict):
            self._wrong("", problem(("resources",), "expected a section"))
        kinds: dict[str, type[Section]] = {"sites": Site, "storage_elements": StorageElement, "catalogs": Catalog}
        parts: dict[str, Any] = {}
        for kind, model in kinds.items():
            entries = written.get(kind, {})
            if not isinstance(entries, dict):
                self._wrong("", problem(("resources", kind), "expected a section"))
            parts[kind] = self._entries(model, kind, entries if isinstance(entries, dict) else {})
        rest = self._parsed(Resources, {**written, **{kind: {} for kind in parts}}, ("resources",), "") or Resources()
        return rest.model_copy(update=parts)

    def _entries(self, model: type[Section], kind: str, entries: Tree) -> dict[str, Any]:
        former: Mapping[str, Any] = getattr(self.before.resources, kind)
        found = {}
        for name, written in entries.items():
            path = ("resources", kind, name)
            if self._unchanged(*path) and name in former:
                found[name] = former[name]
            elif self._named(kind, name) and (part := self._parsed(model, written, path, "")) is not None:
                found[name] = part
        return found

    def _named(self, kind: str, name: str) -> bool:
        """Whether the name of a part may be one: asked of the section that holds it, alone."""
        return self._parsed(Resources, {kind: {name: {}}}, ("resources",), "") is not None

    def _part(self, model: type[M], path: tuple[str, ...], vo: str) -> M | None:
        return self._parsed(model, _at(self.document, path) or {}, path, vo)

    def _parsed(self, model: type[M], written: Any, path: tuple[str, ...], vo: str) -> M | None:
        try:
            return model.model_validate(written)
        except ValidationError as fault:
            self._wrong(vo, *broken(model, fault, path))
            return None


def name_of_vo(vo: str) -> Problem | None:
    """What is wrong with the name of a VO."""
    try:
        Document.model_validate({"overrides": {vo: {}}})
    except ValidationError:
        return problem(("registry", vo), "a VO's name has letters, digits, dots, dashes, and begins with a letter")
    return problem(("registry", vo), "this name is taken by the section for all VOs") if vo == DEFAULTS else None


def _at(tree: Any, path: Iterable[str]) -> Any:
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _beyond(below: Any, above: Any, path: tuple[str, ...], depth: int = 0) -> Iterable[Problem]:
    """What an override may not do: name what is not there, or say who may use something."""
    if not isinstance(above, dict):
        return
    for name, value in above.items():
        here = (*path, name)
        if name == "vos":
            yield problem(here, "who may use it is for the installation to say")
        elif name in FIXED or name.endswith("_env"):
            yield problem(here, "where it is, and with what secret it is used, is for the installation to say")
        elif depth in NAMED.get(path[2] if len(path) > 2 else "", ()) and name not in (below or {}):
            yield problem(here, "there is no {} to override", name, below or {})
        else:
            yield from _beyond(below.get(name) if isinstance(below, dict) else None, value, here, depth + 1)


FIXED = ("access", "url", "endpoint")  # an override must not lead the installation's credentials elsewhere
# below which sections of resources, and how deep, an override only names what is there: site, computing element, queue
NAMED = {"sites": (1, 3, 5), "storage_elements": (1,), "catalogs": (1,)}


def builtin(vo: str) -> Tree:
    """What holds before anybody has configured anything: one VO with the development identity."""
    everything = ["NormalUser", "JobAdministrator", "Operator", "ServiceAdministrator", "CSAdministrator"]
    groups = {"developers": {"properties": everything}, "users": {"properties": ["NormalUser"]}}
    return {
        "registry": {vo: {"default_group": "developers", "groups": groups}},
        "resources": {
            "sites": {
                "Laptop": {
                    "description": "the machine itself",
                    "ces": {"localhost": {"type": "Local", "queues": {"fork": {}}}},
                }
            }
        },
    }
