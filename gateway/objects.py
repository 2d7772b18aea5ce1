"""What a route may ask of an object store, and the routes of the store that keeps objects in files of its own."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from domain.errors import Code, Refused
from gateway.errors import problem
from gateway.multipart import read_form

PREFIX = "/api/v1/objects"
LIFETIME = 300  # seconds that a form or a URL is good for


class Form(NamedTuple):
    """Where to post an object: multipart/form-data, all fields, then the part `file`."""

    url: str
    fields: dict[str, str]


class Objects(Protocol):
    """An object store: clients move the bytes, we hand out what lets them. Keys are `part/part/name`.

    Every call raises Refused(MALFORMED) for a key that is none, Refused(OBJECTS_AWAY) when the store does not answer
    and Refused(OBJECTS_REFUSED) when it answers with a refusal of its own.
    """

    async def upload_form(self, key: str, sha256_hex: str, size: int, expires: int = LIFETIME) -> Form | None:
        """A form that takes exactly these bytes, for `expires` seconds; None when the object is there already.

        Raises Refused(SANDBOX_TOO_LARGE) above `domain.sandbox.LIMIT`.
        """

    async def download_url(self, key: str, expires: int = LIFETIME) -> str:
        """A URL that gives the object to whoever has it, for `expires` seconds; the object need not exist."""

    async def exists(self, key: str) -> bool:
        """Whether the object is there, complete."""

    async def remove(self, keys: Iterable[str]) -> None:
        """Take these away; those that are not there are no fault."""

    async def get(self, key: str) -> bytes:
        """The whole object, in memory; raises Refused(SANDBOX_UNKNOWN)."""

    async def put(self, key: str, data: bytes) -> None:
        """Write an object from memory, in the place of an older one."""


class SignedFiles(Protocol):
    """The other side of the local store's forms and URLs: what the routes below need of it."""

    async def receive(self, fields: Mapping[str, str], chunks: AsyncIterator[bytes]) -> None:
        """Check the form, then keep what comes if it is what the form announced.

        Raises Refused(FORBIDDEN), Refused(SANDBOX_TOO_LARGE), Refused(SANDBOX_MISMATCH); then nothing is kept.
        """

    async def find(self, key: str, expires: str, signature: str) -> Path:
        """The file a signed URL names; raises Refused(FORBIDDEN), Refused(SANDBOX_UNKNOWN)."""


class Explained(APIRoute):
    """Answers refusals itself (problem+json), so that these routes can be mounted anywhere."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, with refusals turned into answers."""
        handler = super().get_route_handler()

        async def explained(request: Request) -> Response:
            try:
                return await handler(request)
            except Refused as refused:
                return problem(refused)

        return explained


def routes(store: SignedFiles) -> APIRouter:
    """The routes that serve this store. No token is asked for: the signature in the form or URL is the right."""
    router = APIRouter(prefix=PREFIX, tags=["objects"], route_class=Explained)

    @router.post("", status_code=204)
    async def upload(request: Request) -> None:
        """Take an object: the signed fields, then the part `file`."""
        form = await read_form(request.headers.get("content-type", ""), body_of(request))
        await store.receive(form.fields, form.file)

    @router.get("/{key:path}", response_class=FileResponse)
    async def download(key: str, expires: str = "", signature: str = "") -> FileResponse:
        """Give an object."""
        path = await store.find(key, expires, signature)
        # Users wrote these bytes: a browser must never take them for a page of ours.
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private"}
        return FileResponse(path, headers=headers, media_type="application/octet-stream", filename=path.name)

    return router


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes; raises Refused(MALFORMED) when it ends too early."""
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect as gone:
        raise Refused(Code.MALFORMED, problem="the body ended too early") from gone
