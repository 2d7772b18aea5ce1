"""The only place where a refusal becomes an HTTP answer: its status, its problem+json, when to come again."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import Request, Response

from domain.errors import Code, Refused
from domain.taxonomy import kind, retryable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 5  # seconds
AGAIN = frozenset({Code.BUS_AWAY, Code.DATABASE_AWAY, Code.OBJECTS_AWAY, Code.BUSY, Code.DEADLINE, Code.TOO_MANY_HELD,
                   Code.TOO_MANY_GUESSES})  # fmt: skip
LATER = AGAIN | {Code.BROKEN}  # says nothing about the request itself: the same one may succeed another time

OF_DATA: Mapping[Code, int] = {
    **dict.fromkeys((Code.FILE_UNKNOWN, Code.DIRECTORY_UNKNOWN, Code.REPLICA_UNKNOWN, Code.SE_UNKNOWN), 404),
    **dict.fromkeys((Code.FILE_EXISTS, Code.FILE_STATE, Code.FILE_LOST, Code.REPLICA_STATE, Code.REPLICA_LAST), 409),
    **dict.fromkeys((Code.FIELD_TAKEN, Code.NOT_STORED, Code.REMOVAL_STATE), 409),
    Code.REMOVAL_UNKNOWN: 404,
    **dict.fromkeys((Code.DATA_FORBIDDEN, Code.QUOTA), 403),
    **dict.fromkeys((Code.FILE_NAME, Code.FIELD_UNKNOWN, Code.FIELD_VALUE, Code.QUERY), 422),
    **dict.fromkeys((Code.SE_REFUSES, Code.STORAGE_AWAY), 503),
    Code.STORAGE_REFUSED: 502,
}
OF_TRANSFORMATIONS: Mapping[Code, int] = {
    Code.TRANSFORMATION: 422,
    Code.TRANSFORMATION_UNKNOWN: 404,
    **dict.fromkeys((Code.TRANSFORMATION_EXISTS, Code.TRANSFORMATION_STATE, Code.TASK_STATE), 409),
}
STATUS: Mapping[Code, int] = {
    **OF_DATA,
    **OF_TRANSFORMATIONS,
    **dict.fromkeys((Code.NO_TOKEN, Code.TOKEN_REUSED, Code.TOKEN_INVALID, Code.PROVIDER_REFUSED), 401),
    Code.JOB_TOKEN: 401,
    **dict.fromkeys((Code.NOT_MEMBER, Code.NOT_REGISTERED, Code.PROPERTY_NOT_YOURS, Code.SESSION_NOT_YOURS), 403),
    Code.PROVIDER_AWAY: 502,
    Code.TOO_MANY_GUESSES: 429,
    **dict.fromkeys((Code.FORBIDDEN, Code.JOB_NOT_YOURS, Code.PILOT_SECRET, Code.PILOT_JOB, Code.SUSPENDED), 403),
    **dict.fromkeys((Code.JOB_UNKNOWN, Code.PILOT_UNKNOWN, Code.SANDBOX_UNKNOWN, Code.NOT_FOUND), 404),
    **dict.fromkeys((Code.NO_OUTPUT, Code.TOPIC_UNKNOWN), 404),
    **dict.fromkeys((Code.JOB_EXISTS, Code.JOB_STATE, Code.JOB_ATTEMPT, Code.RESCHEDULED_TOO_OFTEN), 409),
    **dict.fromkeys((Code.REVISION_UNKNOWN, Code.VO_UNKNOWN), 404),
    Code.NOT_YOUR_SECTION: 403,
    Code.REVISION: 409,
    Code.CONFIGURATION: 422,
    Code.VO_BROKEN: 503,
    Code.NOT_RUNNING: 409,
    Code.BULK_GONE: 409,
    Code.NOT_UNDONE: 409,
    Code.COMPUTE_TOKEN: 502,
    Code.METHOD: 405,
    Code.PILOT_SECRET_OLD: 403,
    Code.PILOT_GONE: 410,
    **dict.fromkeys((Code.TOO_LARGE, Code.SANDBOX_TOO_LARGE), 413),
    Code.MEDIA_TYPE: 415,
    **dict.fromkeys((Code.DESCRIPTION, Code.JDL_SYNTAX, Code.KEY_REUSED, Code.TOO_MANY), 422),
    Code.TOO_MANY_HELD: 429,
    **dict.fromkeys((Code.BROKEN, Code.SETTING), 500),
    Code.OBJECTS_REFUSED: 502,
    **dict.fromkeys((Code.BUS_AWAY, Code.DATABASE_AWAY, Code.OBJECTS_AWAY, Code.BUSY), 503),
    Code.DEADLINE: 504,
}
USUAL = 400


def explained(refused: Refused) -> dict[str, Any]:
    """A refusal as fields, for one item among others; a parameter `status` is a state, never the one of HTTP."""
    parameters = {"state" if name == "status" else name: value for name, value in refused.parameters.items()}
    return parameters | {
        "code": refused.code.slug,
        "detail": refused.what,
        "who": refused.code.value.who.value,
        "next": refused.next,
    }


def problem(refused: Refused, status: int = 0, **more: Any) -> Response:
    """A refusal as the whole answer; `more` fields are added. 400 unless the code or `status` says otherwise."""
    status = status or STATUS.get(refused.code, USUAL)
    slug = refused.code.slug
    frame: dict[str, Any] = {"type": f"urn:spinor:{slug}", "title": slug, "status": status}
    frame |= {"class": kind(slug, refused.code.value.who).value, "retryable": retryable(slug)}
    frame["help"] = f"/guide/errors/{slug}"
    headers = {}
    if refused.code in AGAIN:
        headers["Retry-After"] = str(RETRY_AFTER)
    if refused.code in (Code.NO_TOKEN, Code.TOKEN_REUSED, Code.TOKEN_INVALID):
        headers["WWW-Authenticate"] = "Bearer"
    # Plain ASCII: what is refused may hold text that no encoding can write.
    body = json.dumps(more | explained(refused) | frame, default=str).encode()
    return Response(body, status, headers, MEDIA_TYPE)


def invalid(faults: Iterable[Mapping[str, Any]]) -> Response:
    """A request that does not have the documented form; values are never repeated, they may be secrets."""
    fields = [{"field": ".".join(map(str, fault["loc"][1:])) or str(fault["loc"][0]), "problem": str(fault["msg"])}
              for fault in faults]  # fmt: skip
    first = fields[0] if fields else {"field": "body", "problem": "it is not valid"}
    refused = Refused(Code.MALFORMED, problem=f"{first['field']}: {first['problem']}"[:300])
    return problem(refused, 422, fields=fields[:50])


def unrouted(request: Request, status: int, detail: str) -> Response:
    """What the framework itself refuses: unknown paths, wrong methods, bodies it cannot read."""
    path, method = request.url.path[:200], request.method
    if status == 404:
        return problem(Refused(Code.NOT_FOUND, thing="route", name=path))
    if status == 405:
        return problem(Refused(Code.METHOD, method=method, path=path))
    return problem(Refused(Code.MALFORMED, problem=detail[:300]), status)
