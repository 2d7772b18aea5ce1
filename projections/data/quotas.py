"""The quotas in force."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, Select, Table, Text, select

from domain.data.quota import Quota
from domain.messages import Recorded
from projections.jobs import metadata
from projections.projection import Key, Projection, Values

quotas = Table(
    "data_quotas",
    metadata,
    Column("vo", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("most_bytes", BigInteger),
    Column("most_files", BigInteger),
)


def of_scope(event: Recorded[Any]) -> Key:
    """The row of the quota whose event it is."""
    return (event.vo, event.event.scope, event.event.name)


projection = Projection(quotas, log="files", key=of_scope, inline=True)


@projection.creates
def was_set(event: Recorded[Quota.Set]) -> Values:
    return {"most_bytes": event.event.most_bytes, "most_files": event.event.most_files}


def of_vo(vo: str) -> Select[Any]:
    """The quotas of a VO."""
    return select(quotas).where(quotas.c.vo == vo).order_by(quotas.c.scope, quotas.c.name)
