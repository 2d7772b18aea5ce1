"""The sessions: who is logged in, as what, since when; one row a login."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Column, DateTime, Index, Integer, Select, Table, Text, Uuid, func, select

from domain.messages import Recorded
from domain.session import Session
from projections.jobs import metadata
from projections.projection import Key, Projection, Values

sessions = Table(
    "sessions",
    metadata,
    Column("session", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("vo", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("sub", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("group_name", Text, nullable=False),
    Column("groups", Text, nullable=False),  # those of the provider's claims, as JSON
    Column("asked", Text, nullable=False),  # properties beyond the group's, as JSON
    Column("how", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("refreshed_at", DateTime(timezone=True)),
    Column("until", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("reason", Text),
    Index("sessions_by_subject", "vo", "subject", "until"),
)


def of_session(event: Recorded[Any]) -> Key:
    """The row of the session whose event it is."""
    return (event.event.session,)


projection = Projection(sessions, log="identity", key=of_session, inline=True)


@projection.creates
def opened(event: Recorded[Session.Opened]) -> Values:
    facts = event.event
    return {
        "vo": event.vo, "subject": facts.subject, "sub": facts.sub, "name": facts.name, "group_name": facts.group,
        "groups": msgspec.json.encode(facts.groups).decode(), "asked": msgspec.json.encode(facts.asked).decode(),
        "how": facts.how, "client": facts.client, "generation": 1, "opened_at": event.at, "until": facts.until,
    }  # fmt: skip


@projection
def refreshed(event: Recorded[Session.Refreshed]) -> Values:
    return {"generation": event.event.generation, "refreshed_at": event.at}


@projection
def ended(event: Recorded[Session.Ended]) -> Values:
    return {"ended_at": event.at, "reason": event.event.reason}


def one(session: UUID) -> Select[Any]:
    """One session."""
    return select(sessions).where(sessions.c.session == session)


def of_vo(
    vo: str, *, subject: str = "", group: str = "", alive: bool = True, limit: int = 1000
) -> Select[Any]:  # fmt: skip
    """Sessions of a VO, newest first: of one subject, of a group, only those that live."""
    query = select(sessions).where(sessions.c.vo == vo).order_by(sessions.c.opened_at.desc()).limit(limit)
    if subject:
        query = query.where(sessions.c.subject == subject)
    if group:
        query = query.where(sessions.c.group_name == group)
    if alive:
        query = query.where(sessions.c.ended_at.is_(None), sessions.c.until > func.now())
    return query


def names(vo: str, subjects: Iterable[str]) -> Select[Any]:
    """How these people of a VO are called."""
    wanted = sessions.c.subject.in_(sorted(subjects))
    return select(sessions.c.subject, sessions.c.name).where(sessions.c.vo == vo, wanted).distinct()
