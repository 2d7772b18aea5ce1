"""What is used, what may be used, and where files can lie."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, Field

from domain.data.names import check_name
from domain.data.quota import SetQuota
from domain.errors import Code, Refused
from gateway.data.fields import LARGEST, Json, Path, fast
from gateway.fields import Body, clean
from gateway.keys import Keyed
from gateway.ports import Outside
from gateway.rights import Operator, User
from projections.data import directory_usage, quotas, usage

router = APIRouter(prefix="/api/v1/data", tags=["data"])
GROUPINGS = ("owner", "owner_group", "se")
Limit = Annotated[int, Field(ge=0, le=LARGEST)]


class Limits(Body):
    """What a VO (its name), a group or an owner may have; null lifts a limit."""

    scope: Literal["vo", "group", "owner"]
    name: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(clean)]
    most_bytes: Limit | None = None
    most_files: Limit | None = None


@router.get("/usage")
async def used(who: User, outside: Outside, by: Annotated[str, Query(max_length=100)] = "owner_group,se") -> Response:
    """Files and bytes by some of owner, owner_group, se; without se files are counted, with it their replicas."""
    names = [name for name in by.split(",") if name]
    if not names or not set(names) <= set(GROUPINGS):
        raise Refused(Code.MALFORMED, problem=f"by: expected some of {', '.join(GROUPINGS)}")
    return fast({"by": names, "usage": await outside.read(usage.of_vo(who.vo, *names))})


@router.get("/usage/directory")
async def held(who: User, outside: Outside, path: Path) -> Response:
    """What a directory holds with all below it: files (se empty), and replicas by storage element."""
    path = check_name(who.vo, path)
    return fast({"path": path, "usage": await outside.read(directory_usage.below(path))})


@router.get("/quotas")
async def limits(who: User, outside: Outside) -> Response:
    """The quotas in force."""
    return fast({"quotas": await outside.read(quotas.of_vo(who.vo))})


@router.post("/quotas")
async def limit(who: Operator, key: Keyed, outside: Outside, body: Limits) -> Json:
    """Set or lift a quota."""
    if body.scope == "vo" and body.name != who.vo:
        raise Refused(Code.FORBIDDEN, right="a token of that VO")
    command = SetQuota(who.vo, body.scope, body.name, body.most_bytes, body.most_files)
    (answer,) = await outside.ask(who, [(key.id(who, "quota", body.scope, body.name), command)])
    if answer.refusal:
        raise answer.refusal
    return body.model_dump()
