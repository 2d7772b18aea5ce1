"""Fields of requests about transformations, and what somebody may see of one."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import Field

from domain.errors import Code, Refused
from domain.transformations.transformation import MANAGERS
from gateway.keys import Key
from gateway.ports import Answer, Principal, Row, World
from projections.transformations import transformations

Json = dict[str, Any]
NameInPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$", description="the transformation's name")]
Tasks = Annotated[tuple[Annotated[int, Field(ge=1, le=2**31 - 1)], ...], Field(max_length=500)]


def manages(who: Principal) -> bool:
    """Whether all transformations of the VO are in this one's care."""
    return bool(who.rights & MANAGERS)


async def visible(world: World, who: Principal, name: str) -> Row:
    """The row of a transformation of the VO: its members see what is done with their files.

    Raises:
        Refused: TRANSFORMATION_UNKNOWN.
    """
    rows = await world.read(transformations.one(who.vo, name))
    if not rows:
        raise Refused(Code.TRANSFORMATION_UNKNOWN, transformation=name)
    return rows[0]


async def asked(world: World, who: Principal, key: Key, verb: str, command: Any) -> Answer:
    """Have one command decided; raises what it is refused for."""
    (answer,) = await world.ask(who, [(key.id(who, "transformations", verb, command.name), command)])
    if answer.refusal:
        raise answer.refusal
    return answer
