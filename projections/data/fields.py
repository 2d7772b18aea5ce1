"""The metadata fields of the VOs."""

from typing import Any

from sqlalchemy import Column, DateTime, Integer, Select, Table, Text, select

from domain.data.field import Field
from domain.messages import Recorded
from projections.jobs import metadata
from projections.projection import Key, Projection, Values

fields = Table(
    "data_fields",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("declared_at", DateTime(timezone=True), nullable=False),
)


def of_field(event: Recorded[Any]) -> Key:
    """The row of the field whose event it is."""
    return (event.vo, event.event.name)


projection = Projection(fields, log="files", key=of_field, inline=True)


@projection.creates
def declared(event: Recorded[Field.Declared]) -> Values:
    return {"type": event.event.type, "holder": event.event.holder, "declared_at": event.at}


def of_vo(vo: str) -> Select[Any]:
    """The fields of a VO."""
    return select(fields.c.name, fields.c.type, fields.c.holder).where(fields.c.vo == vo).order_by(fields.c.name)
