"""POST /jobs: one request becomes jobs, all or none, once however often it is sent."""

import asyncio
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from domain.description import JobDescription
from domain.errors import Code, Refused
from domain.limits import Limits
from domain.submission import Source
from gateway import intake
from gateway.errors import problem
from gateway.intake import Accepted, first_fault, limits_of, understood
from gateway.keys import Keyed
from gateway.ports import Outside, Principal, World
from gateway.rights import User

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
ASIDE = 64 * 1024  # bytes of a body that are read beside the event loop: others must not wait for it
JSON, TEXTS = "application/json", ("text/plain", "application/jdl")
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"type": "object", "properties": {"jobs": {"type": "array", "items": {"type": "object"}},
                                                               "jdl": {"type": "string"}}}},
            "text/plain": {"schema": {"type": "string", "description": "JDL"}},
        },
    }
}  # fmt: skip


@router.post("", status_code=201, openapi_extra=BODY)
async def submit(
    who: User, key: Keyed, request: Request, outside: Outside, partial: Annotated[bool, Query()] = False
) -> Response:
    """Submit jobs: `{"jobs": [description, …]}`, `{"jdl": "…"}`, or JDL as text/plain.

    When one description is wrong nothing is submitted, unless `partial` is true. The same request with the same
    `Idempotency-Key` (or `x-ms-client-request-id`) gives the same jobs again; with another body it is refused. The
    answer comes when every job is recorded, also with `Prefer: respond-async`.
    """
    body = await request.body()
    accepted = await accepted_of(request, outside, who)
    if accepted.rejected and (not partial or not accepted.jobs):
        first, all_of_them = first_fault(accepted)
        return problem(first, 422, **all_of_them)
    submission = key.id(who, "submission")
    digest = sha256(b"\0".join((_kind(request).encode(), body))).hexdigest()
    answer = await intake.submit(outside, who, submission, digest, accepted)
    return Response(msgspec.json.encode(answer, enc_hook=str), 201, media_type=JSON)


@router.get("/schema")
async def schema(who: User) -> dict[str, Any]:
    """All fields of a description, with their types and limits, as JSON Schema. JDL has other spellings of the same."""
    return JobDescription.model_json_schema()


async def accepted_of(request: Request, outside: World, who: Principal) -> Accepted:
    """What can be submitted of the request's body; raises Refused when it cannot be taken as a whole."""
    limits = limits_of(outside.configuration(), who.vo, request.app.state.limits)
    return await _read(await request.body(), _kind(request), limits, who)


def _kind(request: Request) -> str:
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower()


async def _read(body: bytes, kind: str, limits: Limits, who: Principal) -> Accepted:
    def work() -> Accepted:
        return understood(_source(body, kind), limits, who)

    return work() if len(body) < ASIDE else await asyncio.to_thread(work)


def _source(body: bytes, kind: str) -> Source:
    try:
        if kind in TEXTS:
            return body.decode()
        if kind != JSON:
            raise Refused(Code.MEDIA_TYPE, given=kind[:100], accepted=f"{JSON} and {TEXTS[0]}")
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Refused(Code.MALFORMED, problem=str(fault)[:200]) from None
    if isinstance(content, list):
        return content
    match content:
        case {"jobs": list(jobs), **others} if not others:
            return jobs
        case {"jdl": str(jdl), **others} if not others:
            return jdl
    raise Refused(Code.MALFORMED, problem='expected {"jobs": [description, …]} or {"jdl": "text"}')
