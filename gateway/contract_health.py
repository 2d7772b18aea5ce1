"""The probes of DiracX's contract: does this process live, is it ready, has it started?"""

from fastapi import APIRouter, Depends
from sqlalchemy import select

from gateway.ports import Outside, World
from gateway.rights import public
from projections.sessions import sessions

router = APIRouter(prefix="/api/health", tags=["health"], dependencies=[Depends(public)], include_in_schema=False)


@router.get("/live")
async def live() -> dict[str, str]:
    """This process answers, and so has read its configuration: it does not listen before."""
    return {"status": "live"}


@router.get("/ready")
async def ready(outside: Outside) -> dict[str, str]:
    """The database answers."""
    await _asked(outside)
    return {"status": "ready"}


@router.get("/startup")
async def startup(outside: Outside) -> dict[str, str]:
    """Everything has begun."""
    await _asked(outside)
    return {"status": "startup complete"}


async def _asked(world: World) -> None:
    """Raises Refused(DATABASE_AWAY)."""
    await world.read(select(sessions.c.session).limit(1))
