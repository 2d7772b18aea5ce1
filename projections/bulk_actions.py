"""Acts on many jobs: who meant what, how far it is, and whether it was taken back."""

from typing import Any

from sqlalchemy import Column, DateTime, Integer, Select, Table, Text, Uuid, select

from domain.bulk_action import BulkAction, Status
from domain.messages import Recorded
from projections.jobs import metadata
from projections.projection import Key, Projection, Values

bulk_actions = Table(
    "bulk_actions",
    metadata,
    Column("action", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("vo", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("jobs", Integer, nullable=False),
    Column("acted", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("planned_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)


def of_action(event: Recorded[Any]) -> Key:
    """The row of the action whose event it is."""
    return (event.stream,)


projection = Projection(bulk_actions, log="bulk", key=of_action, inline=True)


@projection.creates
def planned(event: Recorded[BulkAction.Planned]) -> Values:
    facts = event.event
    said = {"verb": facts.verb.value, "query": facts.query, "reason": facts.reason, "jobs": len(facts.jobs)}
    return _now(event, Status.PLANNED) | said | {
        "vo": event.vo, "author": event.actor, "acted": 0, "planned_at": event.at,
    }  # fmt: skip


@projection
def confirmed(event: Recorded[BulkAction.Confirmed]) -> Values:
    return _now(event, Status.RUNNING)


@projection
def undo_asked(event: Recorded[BulkAction.UndoAsked]) -> Values:
    return _now(event, Status.UNDOING)


@projection
def part(event: Recorded[BulkAction.Part]) -> Values:
    return {"acted": event.event.end, "updated_at": event.at}


@projection
def finished(event: Recorded[BulkAction.Finished]) -> Values:
    return _now(event, Status.UNDONE if event.event.undoing else Status.DONE)


@projection
def dropped(event: Recorded[BulkAction.Dropped]) -> Values:
    return _now(event, Status.DROPPED)


def _now(event: Recorded[Any], status: Status) -> Values:
    return {"status": status.value, "updated_at": event.at}


def one(vo: str, action: Any) -> Select[Any]:
    """One action."""
    return select(bulk_actions).where(bulk_actions.c.vo == vo, bulk_actions.c.action == action)


def of_vo(vo: str, author: str = "", limit: int = 100) -> Select[Any]:
    """Actions of a VO, newest first; only those of one author where one is named."""
    query = select(bulk_actions).where(bulk_actions.c.vo == vo).order_by(bulk_actions.c.planned_at.desc()).limit(limit)
    return query.where(bulk_actions.c.author == author) if author else query
