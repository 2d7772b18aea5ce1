"""The routes of storage elements that are directories of ours."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse

from gateway.data.places import PREFIX
from gateway.multipart import read_form
from gateway.objects import body_of
from gateway.ports import Outside
from gateway.rights import signed

router = APIRouter(prefix=PREFIX, tags=["storage"], dependencies=[Depends(signed)])


@router.post("/{vo}/{se}", status_code=204)
async def upload(outside: Outside, request: Request, vo: str, se: str) -> None:
    """Take a file: the signed fields, then the part `file`. The signature is the right."""
    store = outside.storages.directory(vo, se)
    form = await read_form(request.headers.get("content-type", ""), body_of(request))
    await store.receive(form.fields, form.file)


@router.get("/{vo}/{se}/{lfn:path}", response_class=FileResponse)
async def download(
    outside: Outside, vo: str, se: str, lfn: str, expires: str = "", signature: str = ""
) -> FileResponse:  # fmt: skip
    """Give a file. The signature is the right."""
    path = await outside.storages.directory(vo, se).find(f"/{lfn}", expires, signature)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private"}
    return FileResponse(path, headers=headers, media_type="application/octet-stream", filename=path.name)
