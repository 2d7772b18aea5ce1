"""Who belongs to which group of a VO, what that gives, and what a scope asks for."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from domain.errors import Code, Refused
from domain.registry import PROPERTIES, VoRegistry

MOST = 2000  # values of one claim that are looked at
LONGEST = 1024  # characters of a scope, or of one value
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


class Wish(NamedTuple):
    """What a scope asks for; the group is the VO's default where none was named."""

    vo: str
    group: str
    properties: tuple[str, ...]
    scope: str


class Person(NamedTuple):
    """Somebody who proved who they are to a VO's identity provider."""

    sub: str
    name: str
    groups: tuple[str, ...]  # those that the provider's claims gave


def wish(scope: str, registries: Mapping[str, VoRegistry]) -> Wish:
    """What `vo:X group:G property:P …` asks for.

    Raises:
        Refused: SCOPE, it asks for something that is not here.
    """
    words = scope[:LONGEST].split()
    kinds: dict[str, list[str]] = {"vo": [], "group": [], "property": []}
    strange = []
    for word in words:
        kind, _, value = word.partition(":")
        kinds[kind].append(value) if kind in kinds and value else strange.append(word)
    if strange:
        raise _scope(f"Unrecognised scopes: {strange}")
    vo = _one_vo(kinds["vo"], registries)
    group = _one_group(kinds["group"], vo, registries[vo])
    if unknown := sorted(set(kinds["property"]) - set(PROPERTIES)):
        raise _scope(f"{{{', '.join(map(repr, unknown))}}} are not valid properties")
    properties = tuple(sorted(set(kinds["property"])))
    return Wish(vo, group, properties, " ".join([f"vo:{vo}", f"group:{group}", *(f"property:{p}" for p in properties)]))


def person(vo: str, registry: VoRegistry, claims: Mapping[str, Any], other: str) -> Person:
    """Who these verified claims speak of. `other` tells people apart who would have the same name."""
    sub = str(claims["sub"])[:255]
    if typed := registry.users.get(sub):
        return Person(sub, typed.preferred_username, claimed(registry, claims))
    given = str(claims.get("preferred_username") or "")
    name = given if NAME.fullmatch(given) else (sub if NAME.fullmatch(sub) else f"user-{other}")
    if any(user.preferred_username == name for user in registry.users.values()):
        name = f"{name}-{other}"  # nobody looks like somebody else
    return Person(sub, name, claimed(registry, claims))


def claimed(registry: VoRegistry, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The groups that the provider's claims give, by the rules of the VO."""
    found = {rule.group for rule in registry.rules if _matches(rule.value, claims.get(rule.claim))}
    return tuple(sorted(found & registry.groups.keys()))


def groups(registry: VoRegistry, sub: str, given: Iterable[str]) -> frozenset[str]:
    """The groups somebody is in now: those of the claims at login, as far as rules still give them, and typed ones."""
    by_rule = {rule.group for rule in registry.rules} & set(given)
    typed = registry.users.get(sub)
    return frozenset((by_rule | set(typed.groups if typed else ())) & registry.groups.keys())


def rights(vo: str, registry: VoRegistry, who: Person, group: str, asked: Iterable[str] = ()) -> frozenset[str]:
    """What somebody may do in a group: its properties, and those asked for that another of their groups has.

    Raises:
        Refused: SUSPENDED, NOT_REGISTERED, NOT_MEMBER or PROPERTY_NOT_YOURS.
    """
    support = registry.support.email or registry.support.webpage or registry.support.message
    if found := _suspended(vo, registry, who, group):
        raise Refused(Code.SUSPENDED, kind=found[0], name=found[1], until="", reason="configured", support=support)
    mine = groups(registry, who.sub, who.groups)
    if not mine:
        raise Refused(Code.NOT_REGISTERED, name=who.name, vo=vo, support=support)
    if group not in mine:
        raise Refused(Code.NOT_MEMBER, name=who.name, group=group, vo=vo, support=support)
    available = frozenset(each for name in mine for each in registry.properties(name))
    if beyond := sorted(set(asked) - available):
        told = " ".join(sorted(available))
        raise Refused(Code.PROPERTY_NOT_YOURS, wanted=" ".join(beyond), name=who.name, available=told)
    return registry.properties(group) | set(asked)


def _suspended(vo: str, registry: VoRegistry, who: Person, group: str) -> tuple[str, str] | None:
    """What the configuration itself keeps out."""
    if registry.suspended:
        return "VO", vo
    if group in registry.groups and registry.groups[group].suspended:
        return "group", group
    return ("user", who.name) if who.sub in registry.users and registry.users[who.sub].suspended else None


def _matches(pattern: str, value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    wanted = _pattern(pattern)
    return any(isinstance(v, str) and len(v) <= LONGEST and wanted.fullmatch(v) for v in values[:MOST])


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    """`*` stands for any text, everything else for itself."""
    return re.compile(".*".join(re.escape(part) for part in re.sub(r"\*+", "*", text).split("*")))


def _one_vo(named: list[str], registries: Mapping[str, VoRegistry]) -> str:
    if not named:
        known = " ".join(f"'vo:{vo}'" for vo in sorted(registries))
        raise _scope(f"No vo scope requested, available values: {known}")
    if len(named) > 1:
        raise _scope(f"Only one vo is allowed but got {named}")
    if named[0] not in registries:
        raise _scope(f"VO {named[0]} is not known to this installation")
    return named[0]


def _one_group(named: list[str], vo: str, registry: VoRegistry) -> str:
    if len(named) > 1:
        raise _scope(f"Only one DIRAC group allowed but got {named}")
    group = named[0] if named else registry.default_group
    if group not in registry.groups:
        raise _scope(f"{group} not in {vo} groups")
    return group


def _scope(problem: str) -> Refused:
    return Refused(Code.SCOPE, problem=problem[:500])
