"""The status of resources in the form of DiracX: /api/rss/storage, compute, site and fts, for the asker's VO.

A resource of the configuration of which nothing was said is allowed. Of what is said for the VO and for all VOs the
worse counts.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from domain.resource import STORAGE, Access, ResourceKind, ResourceStatus
from domain.usable import Standing, Statuses, usable
from gateway.contract_config import FORM, unchanged
from gateway.ports import Outside, Principal, World
from gateway.rights import User
from projections import resource_status

router = APIRouter(prefix="/api/rss", tags=["rss"])
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
Json = dict[str, Any]


@router.get("/storage", operation_id="rss_get_storage_status")
async def storage(who: User, outside: Outside, request: Request) -> Response:
    """Storage elements: what may be done for each of read, write, check and remove."""
    return await _answered(who, outside, request, ResourceKind.SE)


@router.get("/compute", operation_id="rss_get_compute_status")
async def compute(who: User, outside: Outside, request: Request) -> Response:
    """Computing elements."""
    return await _answered(who, outside, request, ResourceKind.CE)


@router.get("/site", operation_id="rss_get_site_status")
async def site(who: User, outside: Outside, request: Request) -> Response:
    """Sites."""
    return await _answered(who, outside, request, ResourceKind.SITE)


@router.get("/fts", operation_id="rss_get_fts_status")
async def fts(who: User, outside: Outside, request: Request) -> Response:
    """Transfer services: none has a status yet."""
    return _cached(request, {}, NEVER, f"empty-0-{who.vo}")


async def _answered(who: Principal, world: World, request: Request, kind: ResourceKind) -> Response:
    rows = await world.read(resource_status.of_vo(who.vo, kind=kind, limit=100_000))
    found = [resource_status.standing(row) for row in rows]
    configured = set(_configured(world, who.vo, kind))
    names = sorted(configured | {each.name for each in found})
    newest = max((each.since for each in found if each.since), default=NEVER)
    revision = world.configuration().revision if configured else 0
    tag = f"{newest.isoformat() if found else 'empty'}-{len(names)}{f'.{revision}' if revision else ''}-{who.vo}"
    return _cached(request, dict(_told(found, who.vo, kind, names)), newest, tag)


def _told(found: Iterable[Standing], vo: str, kind: ResourceKind, names: Iterable[str]) -> Iterator[tuple[str, Json]]:
    known = {(each.scope, each.kind, each.name, each.access): each for each in found}
    accesses = STORAGE if kind is ResourceKind.SE else (Access.ALL,)
    for name in names:
        yield name, {access.value: _status(known, vo, kind, name, access) for access in accesses}


def _status(known: Statuses, vo: str, kind: ResourceKind, name: str, access: Access) -> Json:
    standing = usable(known, vo, [(kind, name)], access).standing
    if standing is None or standing.status is ResourceStatus.ACTIVE:
        return {"allowed": True, "warnings": None}
    if standing.status is ResourceStatus.DEGRADED:
        return {"allowed": True, "warnings": standing.reason}
    return {"allowed": False, "reason": standing.reason}


def _configured(world: World, vo: str, kind: ResourceKind) -> Iterable[str]:
    known = world.configuration().vo(vo)
    if known is None:
        return ()
    resources = known.resources
    if kind is ResourceKind.SE:
        return resources.storage_elements
    if kind is ResourceKind.SITE:
        return resources.sites
    return [ce for each in resources.sites.values() for ce in each.ces]


def _cached(request: Request, body: Json, modified: datetime, tag: str) -> Response:
    """The answer, or 304 for who has it."""
    modified = modified.replace(microsecond=0)
    headers = {"ETag": tag, "Last-Modified": modified.strftime(FORM), "Vary": "Authorization",
               "Cache-Control": "private, no-cache"}  # fmt: skip
    if unchanged(request, tag, modified):
        return Response(status_code=304, headers=headers)
    return JSONResponse(body, headers=headers)
