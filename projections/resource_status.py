"""What may be used: the status of every resource of which one was said, with its reason, author, begin and end."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Column, DateTime, Index, Integer, Select, Table, Text, Uuid, and_, false, or_, select, true

from domain.messages import Recorded
from domain.resource import EVERYWHERE, OPEN, PART, UNUSABLE, Access, Resource
from domain.resource import ResourceKind as Kind
from domain.resource import ResourceStatus as Status
from domain.usable import Place, Standing
from projections.jobs import jobs, metadata
from projections.projection import Key, Projection, Values

resource_status = Table(
    "resource_status",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("access", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("former", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("until", DateTime(timezone=True)),
    Column("round", Integer, nullable=False),
    Column("event", Uuid, nullable=False),
)
Index("resource_status_not_active", resource_status.c.scope, postgresql_where=resource_status.c.status != "Active")


def of_resource(event: Recorded[Any]) -> Key:
    """The row of the access to the resource whose event it is."""
    facts = event.event
    return (facts.scope, facts.kind.value, facts.name, facts.access.value)


projection = Projection(resource_status, log="resources", key=of_resource, inline=True)


@projection.creates
def said(event: Recorded[Resource.StatusSet | Resource.StatusExpired]) -> Values:
    facts = event.event
    told = {"status": facts.status.value, "former": facts.former.value, "reason": facts.reason, "round": facts.round}
    whose = {"author": facts.author, "author_name": facts.author_name}
    return told | whose | {"since": event.at, "until": getattr(facts, "until", None), "event": event.id}


def not_active() -> Select[Any]:
    """What every process must know: all that is not as it should be, in every VO."""
    return select(resource_status).where(resource_status.c.status != Status.ACTIVE.value)


def of_vo(
    vo: str, *, kind: str = "", name: str = "", status: str = "", every: bool = True, limit: int = 1000
) -> Select[Any]:
    """What is said to a VO; `every`: also what is Active (again)."""
    table = resource_status.c
    query = select(resource_status).where(table.scope.in_([EVERYWHERE, vo]))
    for column, value in ((table.kind, kind), (table.name, name), (table.status, status)):
        query = query.where(column == value) if value else query
    query = query if every else query.where(table.status != Status.ACTIVE.value)
    return query.order_by(table.kind, table.name, table.access, table.scope).limit(limit)


def one(scope: str, kind: str, name: str) -> Select[Any]:
    """One resource, a row for each access."""
    table = resource_status.c
    query = select(resource_status).where(table.scope == scope, table.kind == kind, table.name == name)
    return query.order_by(table.access)


def at(vo: str, places: Iterable[Place]) -> Select[Any]:
    """What is said to a VO of any of these places and is not Active, worst places first as they were named."""
    table = resource_status.c
    here = or_(*(and_(table.kind == kind.value, table.name == name) for kind, name in places), false())
    return not_active().where(table.scope.in_([EVERYWHERE, vo]), here).order_by(table.kind.desc(), table.scope)


# Look-ups of policies


def unusable_sites(event: Recorded[Any]) -> Select[Any]:
    """Which of the sites that a job asks for may not be used by its VO."""
    table, wanted = resource_status.c, event.event.requirements.sites
    closed = table.status.not_in([status.value for status in OPEN])
    query = select(table.name, table.status, table.reason).where(table.kind == Kind.SITE.value, closed)
    return query.where(table.name.in_(wanted), table.scope.in_([EVERYWHERE, event.vo])).order_by(table.name)


def held_for_site(event: Recorded[Any]) -> Select[Any]:
    """The next jobs that are held because a site that can be used now could not be used."""
    facts, last = event.event, getattr(event.event, "after", 0)
    query = select(jobs.c.job).where(jobs.c.held.is_not(None), jobs.c.job > last).order_by(jobs.c.job).limit(PART)
    if facts.kind is not Kind.SITE or getattr(facts, "status", Status.ACTIVE) not in OPEN:
        return query.where(false())
    here = jobs.c.site.in_([facts.name, "Multiple"])
    mine = jobs.c.vo == facts.scope if facts.scope else true()
    return query.where(here, mine, jobs.c.held.contains(UNUSABLE))


def standing(row: Any) -> Standing:
    """What a row says, for the rules of the domain."""
    event = row["event"]
    return Standing(
        row["scope"], Kind(row["kind"]), row["name"], Access(row["access"]), Status(row["status"]), row["reason"],
        row["author"], row["since"], row["until"], event if isinstance(event, UUID) else UUID(str(event)),
    )  # fmt: skip
