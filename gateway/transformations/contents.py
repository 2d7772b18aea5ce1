"""What a transformation consists of: its files with their states, its tasks with their jobs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from domain.data.names import file_stream
from domain.errors import Code, Refused
from gateway.data.catalogue import open_to
from gateway.data.fields import AfterName, fast
from gateway.fields import Filter, Page
from gateway.ports import Outside
from gateway.rights import User
from gateway.transformations.fields import NameInPath, visible
from projections.transformations import tasks

router = APIRouter(prefix="/api/v1/transformations", tags=["transformations"])
SHOWN = ("lfn", "state", "task", "job", "target", "code")


@router.get("/{name}/files")
async def files(
    who: User, outside: Outside, name: NameInPath, state: Filter = "",
    lfn: Annotated[str, Query(max_length=1025)] = "", after: AfterName = "", limit: Page = 1000,
) -> Response:  # fmt: skip
    """Its inputs that the asker may read: Unused, Assigned, Processed, Quarantined or Cancelled, each with its task and
    job. A page may have fewer than asked for and not be the last one."""
    row = await visible(outside, who, name)
    file = file_stream(lfn) if lfn else None
    start = _start(after) if after else None
    query = tasks.page_of_inputs(who.vo, name, row["stream"], state=state, file=file, after=start, limit=limit)
    page = await outside.read(query)
    readable = await open_to(outside, who, [each["lfn"] for each in page])
    shown = [{column: each[column] for column in SHOWN} for each in page if each["lfn"] in readable]
    return fast({"files": shown, "next": "{file}/{target}".format_map(page[-1]) if len(page) == limit else None})


def _start(after: str) -> tuple[UUID, str]:
    """The last input of the page before: a file may be an input once for each of several targets."""
    file, _, target = after.partition("/")
    try:
        return UUID(file), target
    except ValueError:
        raise Refused(Code.MALFORMED, problem="after: expected the `next` of the page before") from None


@router.get("/{name}/tasks")
async def of_tasks(
    who: User, outside: Outside, name: NameInPath, status: Filter = "",
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0, limit: Page = 100,
) -> Response:  # fmt: skip
    """Its tasks by number, each with its job."""
    await visible(outside, who, name)
    rows = await outside.read(tasks.of_transformation(who.vo, name, status=status, after=after, limit=limit))
    page = [{column: value for column, value in row.items() if column not in ("vo", "version")} for row in rows]
    return fast({"tasks": page, "next": page[-1]["task"] if len(page) == limit else None})
