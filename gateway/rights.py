"""Access rules: every route names exactly one, and `walk` shows which."""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from domain.errors import Code, Refused
from domain.job import HELD_BY_PILOT
from gateway.ports import Outside, Principal, Row, World
from projections import jobs

ADMINISTRATORS = frozenset({"JobAdministrator"})
OPERATORS = frozenset({"Operator", "ServiceAdministrator"})
KEEPERS = OPERATORS | {"SiteManager"}
MANAGERS = OPERATORS | {"UserManager"}
SEE_ALL = ADMINISTRATORS | OPERATORS | {"JobMonitor"}
_bearer = HTTPBearer(auto_error=False, description="an access token of this installation")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def working(world: World, vo: str) -> None:
    """Nothing is done for a VO whose configuration cannot be read: who may do what is not known there.

    Raises:
        Refused: VO_BROKEN.
    """
    if problems := world.configuration().broken.get(vo):
        raise Refused(Code.VO_BROKEN, vo=vo, field=problems[0].field, problem=problems[0].problem)


class Rule:
    """Who may use a route. As a dependency it gives the one who asks, or refuses."""

    def __init__(self, name: str) -> None:
        self.name = name


class Anybody(Rule):
    """No token is asked for: there is nothing to protect, or a signature in the request is the right."""

    async def __call__(self) -> None:
        """Let everybody in."""


class Holder(Rule):
    """Whoever holds a token of one of these kinds, with one of these rights where any are named.

    `mending`: also when their VO's configuration cannot be read, for they look at it, mend it, or leave.
    """

    mending = False

    def __init__(self, name: str, kind: str | tuple[str, ...], rights: frozenset[str] = frozenset()) -> None:
        super().__init__(name)
        self.kinds = (kind,) if isinstance(kind, str) else kind
        self.rights = rights

    async def __call__(self, outside: Outside, bearer: Bearer) -> Principal:
        """Who asks; raises Refused(NO_TOKEN) or Refused(FORBIDDEN)."""
        if bearer is None:
            raise Refused(Code.NO_TOKEN)
        who = outside.verify(bearer.credentials)
        if who.kind not in self.kinds:
            raise Refused(Code.FORBIDDEN, right=f"the token of a {' or a '.join(self.kinds)}")
        if self.rights and not self.rights & who.rights:
            raise Refused(Code.FORBIDDEN, right=" or ".join(sorted(self.rights)))
        if refusal := self._suspended(outside, who):
            raise refusal
        if not self.mending and who.kind != "pilot":  # a pilot ends what it runs; its offers are refused
            working(outside, who.vo)
        return who

    def _suspended(self, outside: World, who: Principal) -> Refused | None:
        """A suspended user's token opens nothing. A pilot goes on for the jobs that it runs, and gets no new ones."""
        return None if who.kind == "pilot" else outside.suspended(who.vo, who.subject, who.group)


class Mending(Holder):
    """Who looks at a configuration and mends it, is told who they are, or ends their sessions."""

    mending = True


class Managing(Holder):
    """Who suspends and resumes: kept out when suspended themselves, but not with their group or VO, or nobody could
    ever resume it."""

    def _suspended(self, outside: World, who: Principal) -> Refused | None:
        return outside.suspended(who.vo, who.subject, alone=True)


class Own(NamedTuple):
    """A running job that asks for itself: who it is, and its row."""

    who: Principal
    row: Row


class Payload(Holder):
    """A running job, by the token that its pilot handed to it. The token is dead as soon as the attempt is over,
    another pilot has the job, or its owner, group or VO is suspended: that is looked up at every use."""

    async def __call__(self, outside: Outside, bearer: Bearer) -> Own:  # type: ignore[override]
        """The job; raises Refused(JOB_TOKEN) besides."""
        who = await super().__call__(outside, bearer)
        rows = await outside.read(jobs.one(who.vo, who.job))
        now = {name: rows[0][name] for name in ("owner", "owner_group", "attempt", "pilot")} if rows else {}
        told = {"owner": who.subject, "owner_group": who.group, "attempt": who.attempt, "pilot": who.pilot}
        if now != told or rows[0]["status"] not in HELD_BY_PILOT:
            raise Refused(Code.JOB_TOKEN, job=who.job, attempt=who.attempt)
        return Own(who, rows[0])


class Piloting(Holder):
    """A pilot; or, where the VO allows that legacy (`pilots.generic`, off by default), whoever has GenericPilot: they
    may report for any job of the VO that a pilot holds, and every event names them."""

    async def __call__(self, outside: Outside, bearer: Bearer) -> Principal:
        """Who reports."""
        if bearer and (who := outside.verify(bearer.credentials)).kind != "pilot" and generic(outside, who):
            if refusal := outside.suspended(who.vo, who.subject, who.group):
                raise refusal
            return who
        return await super().__call__(outside, bearer)


def generic(world: World, who: Principal) -> bool:
    """Whether somebody is a generic pilot of a VO that still has such."""
    if who.kind not in PEOPLE or "GenericPilot" not in who.rights:
        return False
    registry = world.configuration().registry.get(who.vo)
    return registry is not None and registry.pilots.generic


public = Anybody("public")
signed = Anybody("signed")
PEOPLE = ("user", "service")  # a service is a client with a secret of its own; its group says what it may do
user = Holder("user", PEOPLE)
resident = Mending("resident", PEOPLE)
administrator = Holder("administrator", PEOPLE, ADMINISTRATORS | OPERATORS)
manager = Managing("manager", PEOPLE, MANAGERS)
keeper = Holder("keeper", PEOPLE, KEEPERS)
operator = Holder("operator", PEOPLE, OPERATORS)
pilot = Piloting("pilot", "pilot")
job = Payload("job", "job")

User = Annotated[Principal, Depends(user)]
Resident = Annotated[Principal, Depends(resident)]
Administrator = Annotated[Principal, Depends(administrator)]
Manager = Annotated[Principal, Depends(manager)]
Keeper = Annotated[Principal, Depends(keeper)]
Operator = Annotated[Principal, Depends(operator)]
Pilot = Annotated[Principal, Depends(pilot)]
Job = Annotated[Own, Depends(job)]


def sees(who: Principal, owner: str, group: str) -> bool:
    """Whether somebody may read a job of this owner and group."""
    return bool(who.rights & SEE_ALL) or owner == who.subject or ("JobSharing" in who.rights and group == who.group)


def only(who: Principal) -> dict[str, str]:
    """The columns that restrict a list to what somebody may read."""
    if who.rights & SEE_ALL:
        return {}
    return {"owner_group": who.group} if "JobSharing" in who.rights else {"owner": who.subject}


class Walked(NamedTuple):
    """A route, and the names of the rules it asks."""

    methods: str
    path: str
    rules: tuple[str, ...]


def walk(app: FastAPI | APIRouter) -> Iterator[Walked]:
    """Every route of an application or of a router; one without exactly one rule is a hole or a contradiction."""
    for route in iter_route_contexts(app.routes):
        found: Any = route
        dependant: Dependant | None = getattr(found, "dependant", None)
        rules = sorted(set(_rules(dependant))) if dependant else []
        yield Walked(",".join(sorted(found.methods or ["*"])), found.path, tuple(rules))


def _rules(dependant: Dependant) -> Iterator[str]:
    for inner in dependant.dependencies:
        if isinstance(inner.call, Rule):
            yield inner.call.name
        yield from _rules(inner)
