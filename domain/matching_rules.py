"""The matching policy that a configuration asks for."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from domain.match_policy import MatchingDelay, MatchPolicy, RunningLimit
from domain.registry import VoRegistry
from domain.schema import Configuration
from domain.values import subject

FIELDS = {"owner_group": "group"}  # attributes that rules call otherwise
Origin = Callable[[list[str]], dict[str, str]]  # who introduced what stands there
DEVELOPMENT = "spinor"  # the issuer of the identity of a VO that has no provider; its subjects are names


def policy_of(configuration: Configuration, origin: Origin = lambda path: {}) -> MatchPolicy:
    """Shares of groups, limits and delays of sites, and which platform runs what."""
    limits: list[RunningLimit] = []
    delays: list[MatchingDelay] = []
    for vo, operations in configuration.operations.items():
        wanted = operations.job_scheduling
        for site, rules in wanted.sites.items():
            for fields, most in _scopes(vo, configuration.registry[vo], site, "running", rules.running, origin):
                if wanted.check_job_limits:
                    limits.append(RunningLimit(**fields, most=int(most)))
            for fields, seconds in _scopes(vo, configuration.registry[vo], site, "delay", rules.delay, origin):
                if wanted.check_matching_delay and seconds > 0:
                    delays.append(MatchingDelay(**fields, seconds=float(seconds)))
    return MatchPolicy(
        revision=configuration.revision,
        shares=dict(_shares(configuration)),
        limits=tuple(limits),
        delays=tuple(delays),
        platforms={name: tuple(runs) for name, runs in configuration.resources.os_compatibility.items()},
    )


def _shares(configuration: Configuration) -> Iterator[tuple[str, float]]:
    for vo, registry in configuration.registry.items():
        for name, group in registry.groups.items():
            yield f"{vo}/{name}", float(group.job_share)


def _scopes(
    vo: str, registry: VoRegistry, site: str, what: str, rules: Mapping[Any, Mapping[str, float]], origin: Origin
) -> Iterator[tuple[dict[str, Any], float]]:
    """Each rule as the fields of its scope; its name is where it stands in the configuration."""
    for attribute, values in rules.items():
        for value, number in values.items():
            path = ["operations", vo, "job_scheduling", "sites", site, what, attribute, value]
            meant = _pseudonym(vo, registry, value) if attribute == "owner" else value
            about = {"name": ".".join(path), "vo": vo, "site": site, FIELDS.get(attribute, attribute): meant}
            yield about | origin(path), number


def _pseudonym(vo: str, registry: VoRegistry, name: str) -> str:
    """An owner as events call them; a configuration says the subject or the name."""
    issuer = registry.idp.issuer if registry.idp else DEVELOPMENT
    named = (sub for sub, user in registry.users.items() if name in (sub, user.preferred_username))
    return subject(vo, issuer, next(named, name))
