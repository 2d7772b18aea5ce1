"""How often commands were refused: counted by the command side as it decides, so no view and never rebuilt."""

from datetime import date
from typing import Any

from sqlalchemy import BigInteger, Date, Select, Text, column, select, table

refusals = table(
    "refusals",
    column("day", Date),
    column("vo", Text),
    column("topic", Text),
    column("code", Text),
    column("count", BigInteger),
)


def since(vo: str, day: date) -> Select[Any]:
    """The counts of a VO since a day, newest day and highest count first."""
    query = select(refusals.c.day, refusals.c.topic, refusals.c.code, refusals.c.count)
    return query.where(refusals.c.vo == vo, refusals.c.day >= day).order_by(
        refusals.c.day.desc(), refusals.c.count.desc(), refusals.c.topic, refusals.c.code
    )
