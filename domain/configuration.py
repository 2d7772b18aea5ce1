"""The configuration of an installation as an aggregate: who may change what, what is refused, and every revision."""

from collections.abc import Iterator
from typing import Any, Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.errors import Code, Refused
from domain.hygiene import unclean
from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.problems import MOST, Problem
from domain.references import contradictions
from domain.schema import DEFAULTS, Configuration, read
from domain.tree import Changes, Tree, applied, difference, leaves, names, pointer
from domain.values import NAMES

STREAM = uuid5(NAMES, "configuration")
ADMINISTRATOR = "CSAdministrator"
OF_A_VO = ("registry", "operations", "overrides")  # sections that have one part for each VO
BEYOND = frozenset({"ServiceAdministrator", "TrustedHost"})  # properties that reach beyond the VO of who has them
KEPT = 4  # configurations that were read already
_read: dict[UUID, Configuration] = {}  # by the event that made them: reading 10 000 users again takes 0.1 s


class ChangeConfiguration(Command, frozen=True):
    """Set and remove places, all or none. `expected` is the revision that the asker has seen."""

    TOPIC = "configuration.change"
    expected: int
    put: dict[str, Any] = {}
    removed: tuple[str, ...] = ()
    reason: str = ""

    @property
    def stream(self) -> UUID:
        return STREAM


class RollBackConfiguration(Command, frozen=True):
    """Make a section what it was at a revision; the empty section is all of it."""

    TOPIC = "configuration.roll-back"
    expected: int
    revision: int
    section: str = ""
    reason: str = ""

    @property
    def stream(self) -> UUID:
        return STREAM


class Installation(Aggregate, frozen=True):
    """The configuration of an installation at its newest revision."""

    TOPIC = "configuration"
    LOG = "system"

    revision: int = 0
    head: UUID = STREAM  # the event that made it what it is
    document: Tree = {}
    past: tuple[Changes, ...] = ()

    class Changed(Event, frozen=True):
        """Places were set and removed. `rolled_back` is the revision that was gone back to, 0 when none was."""

        TOPIC = "configuration.changed"
        revision: int
        put: dict[str, Any] = {}
        removed: tuple[str, ...] = ()
        reason: str = ""
        rolled_back: int = 0

    def change(self, command: ChangeConfiguration, origin: Origin) -> Decision:
        """A change that validates and that the asker may make; one that changes nothing is no event."""
        self._expected(command.expected)
        well_formed([*command.put, *command.removed])
        old = self._configuration()
        wanted = applied(Changes(command.put, command.removed), old.document)
        yield from self._to(wanted, old, origin, command.reason)

    def roll_back(self, command: RollBackConfiguration, origin: Origin) -> Decision:
        """Going back is a change like any other: checked, recorded, and itself to be gone back from."""
        self._expected(command.expected)
        well_formed([command.section] if command.section else [])
        if not 0 < command.revision <= self.revision:
            raise Refused(Code.REVISION_UNKNOWN, revision=command.revision, newest=self.revision)
        old = self._configuration()
        back = difference(old.document, self.at(command.revision))
        chosen = Changes(
            {place: value for place, value in back.put.items() if _below(place, command.section)},
            tuple(place for place in back.removed if _below(place, command.section)),
        )
        yield from self._to(applied(chosen, old.document), old, origin, command.reason, command.revision)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The configuration after the event."""
        match event.event:
            case Installation.Changed() as facts:
                changes = Changes(facts.put, facts.removed)
                document = applied(changes, self.document)
                return replace(
                    self, revision=facts.revision, head=event.id, document=document, past=(*self.past, changes)
                )
        return self

    def at(self, revision: int) -> Tree:
        """The document as it was at a revision."""
        document: Tree = {}
        for changes in self.past[:revision]:
            document = applied(changes, document)
        return document

    def _expected(self, revision: int) -> None:
        if revision != self.revision:
            raise Refused(Code.REVISION, expected=revision, newest=self.revision)

    def _to(self, wanted: Tree, old: Configuration, origin: Origin, reason: str, back: int = 0) -> Decision:
        changes = difference(old.document, wanted)
        if not changes:
            return
        if (denied := allowed(origin, changes, old)) is not None:
            raise denied
        new = read(wanted, self.revision + 1, old)
        if found := list(objections(old, new, changes))[:MOST]:
            raise refused(found)
        yield Installation.Changed(self.revision + 1, changes.put, changes.removed, reason[:1000], back)

    def _configuration(self) -> Configuration:
        if (found := _read.get(self.head)) is None or found.document != self.document:
            while len(_read) >= KEPT:
                _read.pop(next(iter(_read)))
            found = _read[self.head] = read(self.document, self.revision)
        return found


def objections(old: Configuration, new: Configuration, changes: Changes) -> Iterator[Problem]:
    """What speaks against a change: what it makes worse, and what is wrong in the places it touches.

    What was wrong before, elsewhere, does not keep anybody from changing the own section.
    """
    yield from unclean(changes)
    before = {*old.problems, *contradictions(old)}
    touched = changes.places
    for found in dict.fromkeys((*new.problems, *contradictions(new))):
        near = any(_below(found.field, place) or _below(place, found.field) for place in touched)
        if near or found not in before:
            yield found


def refused(problems: list[Problem]) -> Refused:
    """The refusal for a configuration with problems."""
    first = problems[0]
    return Refused(
        Code.CONFIGURATION, field=first.field, problem=first.problem, count=len(problems),
        problems=[each.plain() for each in problems],
    )  # fmt: skip


def governs(vo: str, rights: frozenset[str], found: Configuration) -> bool:
    """Whether an asker may change what belongs to no VO. Only the operator's own shell has no VO.

    Before anything is configured there is only the built-in VO, whose administrators may begin.
    """
    return ADMINISTRATOR in rights and (not vo or not found.document or vo in found.administrators)


def allowed(origin: Origin, changes: Changes, old: Configuration) -> Refused | None:
    """Why somebody may not make these changes: each place is their VO's own, or they govern the installation."""
    if governs(origin.vo, origin.rights, old):
        return None
    if ADMINISTRATOR not in origin.rights:
        return Refused(Code.FORBIDDEN, right=ADMINISTRATOR)
    for place in changes.places:
        section, *path = names(place)
        own = (
            section in OF_A_VO
            and path[:1] == [origin.vo]
            and origin.vo != DEFAULTS
            and origin.vo in old.document.get("registry", {})
        )
        if not own or (section == "registry" and len(path) == 1 and place in changes.removed):
            return Refused(Code.NOT_YOUR_SECTION, place=place, vo=origin.vo)
    new = applied(changes, old.document)
    if leaked := _variables(new, origin.vo) - _variables(old.document, origin.vo):
        return Refused(Code.NOT_YOUR_SECTION, place=pointer("registry", origin.vo, *min(leaked)[0]), vo=origin.vo)
    granted = _granted(new, origin.vo) - _granted(old.document, origin.vo)
    if granted:
        place = pointer("registry", origin.vo, "groups", min(granted)[0], "properties")
        return Refused(Code.NOT_YOUR_SECTION, place=place, vo=origin.vo)
    return None


def _variables(document: Tree, vo: str) -> set[tuple[tuple[str, ...], str]]:
    """Which secrets of the environment a VO's registry names: whoever names one can have it sent to their provider."""
    registry = document.get("registry", {}).get(vo)
    return {(path, str(name)) for path, name in leaves(registry) if path and path[-1].endswith("_env") and name}


def _granted(document: Tree, vo: str) -> set[tuple[str, str]]:
    """Which groups of a VO have which properties that reach beyond it."""
    registry = document.get("registry", {}).get(vo)
    groups = registry.get("groups", {}) if isinstance(registry, dict) else {}
    found = set()
    for name, group in groups.items() if isinstance(groups, dict) else ():
        given = group.get("properties", []) if isinstance(group, dict) else []
        found |= {(name, each) for each in given if isinstance(each, str) and each in BEYOND}
    return found


def well_formed(places: list[str]) -> None:
    """Raises Refused(CONFIGURATION) for a place that is none."""
    for place in places:
        parts = place.split("/")
        if len(parts) < 2 or parts[0] or not all(parts[1:]):
            raise Refused(Code.CONFIGURATION, field=place[:200], problem="a place has the form /section/name", count=1)


def _below(place: str, section: str) -> bool:
    return not section or place == section or place.startswith(section + "/")
