"""The web page and what it is made of: files of this package, served as they are under a strict content policy."""

from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, Depends, Request, Response

from domain.errors import Code, Refused
from gateway.rights import public

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Nothing inline, nothing from elsewhere, and no way to turn a string into markup or script.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # asked for each time, sent only when changed: a new release is seen at once
}


class Asset(NamedTuple):
    """One file, ready to be sent."""

    kind: str
    tag: str
    data: bytes


def assets() -> dict[str, Asset]:
    """Every file of the page by its name."""
    found = {}
    for file in files("gateway").joinpath("web").iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in KINDS:
            data = file.read_bytes()
            found[file.name] = Asset(KINDS[suffix], f'"{sha256(data).hexdigest()[:32]}"', data)
    return found


ASSETS = assets()
router = APIRouter(include_in_schema=False, dependencies=[Depends(public)])


@router.get("/")
async def page(request: Request) -> Response:
    """The page itself; it asks for a token by explaining how to get one, so anybody may have it."""
    return _sent(request, ASSETS["index.html"])


@router.get("/favicon.ico")
async def icon(request: Request) -> Response:
    """What browsers ask for unasked."""
    return _sent(request, ASSETS["icon.svg"])


@router.get("/web/{name}")
async def asset(request: Request, name: str) -> Response:
    """A style sheet, module or picture of the page; raises Refused(NOT_FOUND)."""
    if name not in ASSETS:
        raise Refused(Code.NOT_FOUND, thing="file", name=name)
    return _sent(request, ASSETS[name])


def _sent(request: Request, asset: Asset) -> Response:
    headers = HEADERS | {"ETag": asset.tag}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=304, headers=headers)
    return Response(asset.data, headers=headers, media_type=asset.kind)
