"""Registry: who belongs to a VO: its identity provider, groups, users, and what its provider's claims mean."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field

from domain.section import Count, Free, Line, Mail, Name, Names, Seconds, Section, Share, Url, Variable

Property = Literal[
    "AccountingMonitor",
    "AlarmsManagement",
    "BookkeepingManagement",
    "CSAdministrator",
    "FileCatalogManagement",
    "FullDelegation",
    "GenericPilot",
    "JobAdministrator",
    "JobMonitor",
    "JobSharing",
    "LimitedDelegation",
    "NormalUser",
    "Operator",
    "Pilot",
    "PPGAuthority",
    "PrivateLimitedDelegation",
    "ProductionManagement",
    "ProxyManagement",
    "ServiceAdministrator",
    "SiteManager",
    "StageAllowed",
    "TrustedHost",
    "UserManager",
]
PROPERTIES: tuple[str, ...] = get_args(Property)


def _sorted(value: tuple[Property, ...]) -> tuple[Property, ...]:
    return tuple(sorted(dict.fromkeys(value)))


Properties = Annotated[tuple[Property, ...], AfterValidator(_sorted)]


class IdentityProvider(Section):
    """The OpenID provider that knows the people of the VO."""

    issuer: Url = Field(description="its URL; the discovery document lies below it")
    client_id: Line = Field(description="the id under which this installation is registered there")
    client_secret_env: Variable = Field(
        default="",
        description="name of the environment variable with the client secret, never the secret; empty: a public client",
    )
    scopes: tuple[Line, ...] = Field(default=("openid", "profile"), description="scopes asked of the provider")
    compute_client_id: Line = Field(
        default="", description="client id for tokens towards computing elements; empty: client_id"
    )
    compute_secret_env: Variable = Field(default="", description="environment variable with the secret of that client")


class Support(Section):
    """Whom people of the VO may ask."""

    message: Line = Field(default="Please contact system administrator", description="shown at login")
    webpage: Line | None = Field(default=None, description="URL")
    email: Mail | None = Field(default=None, description="mail address")


class Group(Section):
    """A group: what its members may do, and their share of the resources."""

    properties: Properties = Field(description="what members may do")
    job_share: Share = Field(default=1000, description="weight among the groups of the VO")
    suspended: bool = Field(default=False, description="whether the whole group is suspended")
    quota: Count | None = Field(default=None, description="storage in MB")
    voms_role: Line | None = Field(default=None, description="role in VOMS, for proxies")
    allow_background_tqs: bool = Field(default=False, description="whether its jobs may run when nobody else's fit")
    auto_add_voms: bool = Field(default=False, description="add the VOMS extension to proxies")
    auto_upload_proxy: bool = Field(default=False, description="upload proxies at login")
    auto_upload_pilot_proxy: bool = Field(default=False, description="upload pilot proxies at login")
    auto_sync_voms: bool = Field(default=False, description="follow VOMS")


class User(Section):
    """A person, by the subject that the provider gives."""

    preferred_username: Name = Field(description="the name people know; one of a kind in the VO")
    groups: Names = Field(default=(), description="groups of the VO")
    email: Mail | None = Field(default=None, description="mail address")
    suspended: bool = Field(default=False, description="whether the person is suspended in this VO")
    dns: tuple[Line, ...] = Field(default=(), description="distinguished names of X.509 certificates")
    quota: Count | None = Field(default=None, description="storage in MB")


class Rule(Section):
    """People whose token has this claim belong to this group."""

    claim: Line = Field(description="name of the claim, such as groups or eduperson_entitlement")
    value: Line = Field(description="the value; * stands for any text")
    group: Name = Field(description="the group they get")


class Suspension(Section):
    """What happens to the jobs of somebody who is suspended. Waiting ones are always held."""

    running_jobs: Literal["finish", "kill"] = Field(default="finish", description="finish: they may end; kill: at once")


class PilotPolicy(Section):
    """How pilots of the VO prove themselves."""

    generic: bool = Field(
        default=False, description="legacy: a pilot may touch every job of the VO (property GenericPilot)"
    )


class VoRegistry(Section):
    """One VO. Without `idp` it has the development identity, which only works on this machine."""

    model_config = ConfigDict(ignored_types=(cached_property,))

    idp: IdentityProvider | None = Field(default=None, description="its OpenID provider")
    support: Support = Field(default=Support(), description="whom its people may ask")
    default_group: Name = Field(description="the group of those who ask for none")
    groups: dict[Name, Group] = Field(default={}, description="groups by name")
    users: dict[Line, User] = Field(default={}, description="people typed by hand, by the provider's subject")
    rules: tuple[Rule, ...] = Field(
        default=(), description="what the provider's claims mean; comes before typed groups"
    )
    suspended: bool = Field(default=False, description="whether the whole VO is suspended")
    suspension: Suspension = Field(default=Suspension(), description="what happens to running jobs of suspended people")
    pilots: PilotPolicy = Field(default=PilotPolicy(), description="how its pilots prove themselves")
    default_proxy_lifetime: Seconds = Field(default=43200, description="seconds")
    default_storage_quota: Share = Field(default=0, description="MB; 0: none")
    voms_name: Line | None = Field(default=None, description="its name in VOMS")
    extra: Free = Field(default={}, description="options of extensions")

    @cached_property
    def members(self) -> dict[str, tuple[str, ...]]:
        """Subjects by group, as typed."""
        found: dict[str, list[str]] = {name: [] for name in self.groups}
        for sub, user in self.users.items():
            for group in user.groups:
                found.setdefault(group, []).append(sub)
        return {group: tuple(sorted(subs)) for group, subs in found.items()}

    def properties(self, group: str) -> frozenset[str]:
        """What members of a group may do; nothing for a group that is not there."""
        found = self.groups.get(group)
        return frozenset(found.properties) if found else frozenset()

    def whom_to_ask(self) -> str:
        """Who can help people of the VO, in one line."""
        told = self.support
        return ", ".join(each for each in (told.email, told.webpage) if each) or told.message

    def contradictions(self) -> Iterator[tuple[tuple[str, ...], str, str, tuple[str, ...]]]:
        """What does not fit together inside: the names that lead there, the problem, what was meant, what there is."""
        known = tuple(self.groups)
        if self.default_group not in self.groups:
            yield ("default_group",), "there is no group {}", self.default_group, known
        for sub, user in self.users.items():
            for group in user.groups:
                if group not in self.groups:
                    yield ("users", sub, "groups"), "there is no group {}", group, known
        for number, rule in enumerate(self.rules):
            if rule.group not in self.groups:
                yield ("rules", str(number), "group"), "there is no group {}", rule.group, known
        yield from self._twice()

    def _twice(self) -> Iterator[tuple[tuple[str, ...], str, str, tuple[str, ...]]]:
        names: dict[str, str] = {}
        dns: dict[str, str] = {}
        for sub, user in self.users.items():
            if (first := names.setdefault(user.preferred_username, sub)) != sub:
                yield (
                    ("users", sub, "preferred_username"),
                    f"{{}} is the name of {first} already",
                    user.preferred_username,
                    (),
                )
            for dn in user.dns:
                if (first := dns.setdefault(dn, sub)) != sub:
                    yield ("users", sub, "dns"), f"{{}} belongs to {first} already", dn, ()
