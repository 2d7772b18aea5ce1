"""The HTTP application: routes of the system and its extensions, behind one edge and one form of refusal."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from domain.errors import Refused
from domain.limits import Limits
from domain.sandbox import LIMIT
from gateway import (
    acts,
    audit,
    bulk,
    configuration,
    contract_config,
    contract_health,
    documents,
    errors,
    events,
    guide,
    jobs,
    own_data,
    own_job,
    page,
    piloting,
    pilots,
    plan,
    resources,
    rss,
    sandboxes,
    submissions,
    suspensions,
    system,
    waiting,
    why,
)
from gateway.auth.routes import AUTH
from gateway.edge import MIB, Edge
from gateway.holding import Holding
from gateway.objects import PREFIX
from gateway.ports import World
from gateway.rights import signed

ROUTERS = (
    *AUTH,
    configuration.router, contract_config.router,
    submissions.router, plan.router, jobs.router, acts.router, bulk.router, why.router, pilots.router, piloting.router,
    sandboxes.router, system.router, events.router, page.router, guide.router, suspensions.router, resources.router,
    own_job.router, own_data.router, waiting.router, rss.router,
    audit.router, contract_health.router,
)  # fmt: skip
LIMITS = {  # bytes of a body, by path
    "/api/v1/jobs": 64 * MIB,
    "/api/v1/jobs/plan": 64 * MIB,
    "/api/v1/data/": 16 * MIB,
    "/api/v1/storage/": 1024 * 1024 * MIB,  # held to the announced size as it comes
    "/api/v1/pilot/reports": 8 * MIB,
    PREFIX: LIMIT + MIB,
    "/api/v1/config": 32 * MIB,
    "/api/v1/config/preview": 32 * MIB,
}


def create(
    world: World,
    routers: Sequence[APIRouter] = ROUTERS,
    objects_router: APIRouter | None = None,
    limits: Limits | None = None,
    origins: Sequence[str] = (),
) -> FastAPI:
    """The application over a world. `limits` are what descriptions are held to; routers name their rules themselves.

    `origins`: web applications elsewhere whose browsers may ask (CORS); a program needs no such permission.
    """
    app = FastAPI(title="Spinor", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.world = world
    app.state.limits = limits or Limits()
    app.state.holding = Holding()
    for router in (documents.router, *routers):
        app.include_router(router)
    if objects_router is not None:
        app.include_router(objects_router, dependencies=[Depends(signed)])
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_middleware(Edge, limits=LIMITS)
    if origins:  # outside of the edge, so that its refusals can be read there, too
        app.add_middleware(
            CORSMiddleware, allow_origins=list(origins), allow_credentials=True, allow_methods=["*"],
            allow_headers=["*"], expose_headers=["Content-Range", "ETag"],
        )  # fmt: skip
    return app


async def _refused(request: Request, refused: Any) -> Response:
    return errors.problem(refused)


async def _invalid(request: Request, fault: Any) -> Response:
    return errors.invalid(fault.errors())


async def _unrouted(request: Request, fault: Any) -> Response:
    return errors.unrouted(request, fault.status_code, str(fault.detail))
