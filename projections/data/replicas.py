"""The replicas: on which storage element each file lies, and whether it can be relied on there."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Column, DateTime, Select, Table, Text, Uuid, select

from domain.data.file import File, Held
from domain.messages import Recorded
from projections.data.directories import among
from projections.jobs import metadata
from projections.projection import Key, Projection, Put, Values

replicas = Table(
    "data_replicas",
    metadata,
    Column("file", Uuid, primary_key=True),
    Column("se", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("sure_at", DateTime(timezone=True)),  # when storage, or who registered it, last said that it is there
    Column("reason", Text),
)


def of_replica(event: Recorded[Any]) -> Key:
    """The row of the replica whose event it is."""
    return (event.stream, event.event.se)


projection = Projection(replicas, log="files", key=of_replica, inline=True)


@projection.creates
def registered(event: Recorded[File.Registered]) -> list[Put]:
    return [Put((event.stream, se), _sure(event), True) for se in event.event.ses]


@projection.creates
def intended(event: Recorded[File.Announced | File.ReplicaIntended]) -> Values:
    return {"state": Held.INTENDED.value, "since": event.at, "sure_at": None, "reason": None}


@projection.creates
def there(event: Recorded[File.Stored | File.ReplicaAdded | File.ReplicaTrusted]) -> Values:
    return _sure(event)


@projection
def doubted(event: Recorded[File.ReplicaDoubted]) -> Values:
    state = Held.LOST if event.event.lost else Held.SUSPECT
    return {"state": state.value, "since": event.at, "reason": event.event.reason}


@projection
def not_stored(event: Recorded[File.NotStored]) -> Values:
    return {"reason": event.event.problem}


@projection
def not_cleared(event: Recorded[File.NotCleared]) -> Values:
    return {"reason": event.event.reason}


@projection
def dropped(event: Recorded[File.ReplicaDropped]) -> Values:
    return {"state": Held.REMOVING.value, "since": event.at, "reason": None}


@projection
def cleared(event: Recorded[File.ReplicaCleared]) -> None:
    return None


@projection
def restored(event: Recorded[File.Restored]) -> list[Put]:
    return [Put((event.stream, se), None) for se in event.event.lost]


def _sure(event: Recorded[Any]) -> Values:
    return {"state": Held.ACTIVE.value, "since": event.at, "sure_at": event.at, "reason": None}


def of_ids(ids: Sequence[UUID]) -> Select[Any]:
    """The replicas of some files, by their ids."""
    return select(replicas).where(among(replicas.c.file, ids))
