"""Sandboxes of users: where to put one, where to get one. The bytes never pass here."""

from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Query
from pydantic import Field

from domain.errors import Code, Refused
from domain.sandbox import FORMATS, LIMIT, LONGEST_PFN, Pfn, check_announced, parse_pfn
from domain.sandbox import pfn as made
from domain.stored_sandbox import NoteSandbox
from gateway.fields import Body
from gateway.objects import LIFETIME
from gateway.ports import Outside, Principal, World
from gateway.rights import ADMINISTRATORS, User

router = APIRouter(prefix="/api/jobs/sandbox", tags=["sandboxes"])
BUCKET = "sandboxes"  # part of every name; where a store really keeps them is its own affair
NO_GROUP = "none"
NAMED = r"^(:?SB:[A-Za-z]+\|)?/S3/[a-z0-9\.\-]{3,63}(?:/[^/]+){3}/[a-z0-9]{3,10}:[0-9a-f]{64}\.[a-z0-9\.]+$"
Named = Annotated[str, Query(max_length=LONGEST_PFN, pattern=NAMED)]
Json = dict[str, Any]


class Announced(Body):
    """A sandbox that somebody wants to upload."""

    checksum_algorithm: Literal["sha256"] = "sha256"
    checksum: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=1)]
    format: Literal[FORMATS]  # type: ignore[valid-type]


@router.post("")
async def upload(who: User, outside: Outside, body: Announced) -> Json:
    """The sandbox's name, and the form to post it with (`url` null: it is there already)."""
    return await placed(outside, who, body, who.group, who.subject)


@router.get("")
async def download(who: User, outside: Outside, pfn: Named) -> Json:
    """Where a sandbox can be fetched from, for a few minutes, without a token."""
    parts = readable(pfn, who)
    if not await outside.objects.exists(parts.key):
        raise Refused(Code.SANDBOX_UNKNOWN, pfn=pfn)
    return {"url": await outside.objects.download_url(parts.key, LIFETIME), "expires_in": LIFETIME}


def readable(pfn: str, who: Principal) -> Pfn:
    """The parts of a pfn that `who` may read; raises Refused(MALFORMED), Refused(FORBIDDEN)."""
    parts = parse_pfn(pfn)
    if parts.vo != who.vo or (parts.owner != who.subject and not who.rights & ADMINISTRATORS):
        raise Refused(Code.FORBIDDEN, right="to be the owner of the sandbox, or JobAdministrator")
    return parts


async def placed(outside: World, who: Principal, body: Announced, group: str, owner: str) -> Json:
    """Where to put a sandbox of this owner. The owner is a pseudonym: names of people never get into the log.

    It is noted before the form is given: what nobody noted would never be taken away.
    """
    found = outside.configuration().vo(who.vo)
    check_announced(body.checksum, body.size, found.operations.data_management.sandbox_bytes if found else LIMIT)
    name = made(BUCKET, who.vo, group or NO_GROUP, owner, body.checksum, body.format)
    parts = parse_pfn(name)
    (answer,) = await outside.ask(who, [(uuid4(), NoteSandbox(parts.path, body.size))])
    if answer.refusal:
        raise answer.refusal
    form = await outside.objects.upload_form(parts.key, body.checksum, body.size, LIFETIME)
    return {"pfn": name, "url": form.url if form else None, "fields": form.fields if form else {}}
