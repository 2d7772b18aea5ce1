"""What a transformation consists of: its files with their states, its tasks with their jobs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from domain.data.names import file_stream
from gateway.data.fields import fast
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
    lfn: Annotated[str, Query(max_length=1025)] = "", after: UUID | None = None, limit: Page = 1000,
) -> Response:  # fmt: skip
    """Its inputs: Unused, Assigned, Processed, Quarantined or Cancelled, each with its task and job."""
    row = await visible(outside, who, name)
    file = file_stream(lfn) if lfn else None
    query = tasks.page_of_inputs(who.vo, name, row["stream"], state=state, file=file, after=after, limit=limit)
    page = await outside.read(query)
    shown = [{column: each[column] for column in SHOWN} for each in page]
    return fast({"files": shown, "next": page[-1]["file"] if len(page) == limit else None})


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
